"""The partition: search against brute force over all partitions, bounds against every move, and its symmetries."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapkit.gap.label_maps import injection as injections
from gapkit.gap.label_maps.partition import IGNORED, _fit, fit_in_sample, fit_partition, fit_parts
from gapkit.gap.label_maps.partition_mixed import Search
from gapkit.gap.label_maps.partition_moves import best_gains, best_move, descend
from gapkit.gap.label_maps.partition_problem import (
    assignment_reading,
    group,
    make_problem,
    move,
)
from gapkit.gap.label_maps.partition_search import search_partition
from gapkit.gap.label_maps.parts import fold_parts, whole_part
from gapkit.gap.label_maps.tempering import log_of, sort_samples
from gapkit.statistics.folds import stratified_folds

KINDS = ("sparse", "flat", "even", "signal", "none", "overconfident", "zeros and ones")


def draw(seed, n_source, n_target, n):
    """Probabilities of a kind that goes with the seed, and labels with every class."""
    rng = np.random.default_rng([seed, 3])
    kind = KINDS[seed % len(KINDS)]
    labels = np.append(np.arange(n_target), rng.integers(n_target, size=n - n_target))
    if kind in ("sparse", "flat", "even"):
        return rng.dirichlet(np.full(n_source, {"sparse": 0.1, "flat": 1.0, "even": 10.0}[kind]), size=n), labels
    known = {"signal": 1.5, "none": 0.0, "overconfident": 1.0, "zeros and ones": 1.0}[kind]
    logits = rng.normal(size=(n, n_source)) + known * rng.normal(size=(n_target, n_source))[labels]
    if kind == "zeros and ones":
        return np.eye(n_source)[logits.argmax(axis=1)], labels
    logits *= 12.0 if kind == "overconfident" else 2.0
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    return probs / probs.sum(axis=1, keepdims=True), labels


def small_world(seed):
    """K_s <= 5 and K_t <= 3."""
    rng = np.random.default_rng([seed, 4])
    n_target = int(rng.integers(2, 4))
    n_source = int(rng.integers(n_target, 6))
    return draw(seed, n_source, n_target, int(rng.choice([12, 30, 80])))


def problem_of(probs, labels, temperature=1.0):
    samples, _ = sort_samples(log_of(probs), labels, int(labels.max()) + 1)
    tempered = samples.temper(temperature)
    return make_problem(tempered, np.ones(len(labels), dtype=bool)), tempered.p, samples.labels


def naive_loss(p, labels, reading):
    """Mean over samples of -log (mass read as the own class / mass read at all), summed entry by entry."""
    total = 0.0
    for row, y in zip(p, labels, strict=True):
        own = sum(row[z] for z in range(len(row)) if reading[z] == y)
        read = sum(row[z] for z in range(len(row)) if reading[z] != IGNORED)
        total -= np.log(own / read)
    return total / len(labels)


def quick_loss(p, labels, reading):
    n_target = int(labels.max()) + 1
    sums = np.stack([p[:, reading == y].sum(axis=1) for y in range(n_target)], axis=1)
    return float(np.mean(np.log(sums.sum(axis=1)) - np.log(sums[np.arange(len(labels)), labels])))


def complete(reading, n_target):
    return set(range(n_target)) <= set(np.asarray(reading).tolist())


def brute_force(p, labels):
    n_target = int(labels.max()) + 1
    readings = product(range(IGNORED, n_target), repeat=p.shape[1])
    return min(quick_loss(p, labels, np.array(reading)) for reading in readings if complete(reading, n_target))


def random_reading(rng, n_source, n_target):
    reading = rng.integers(IGNORED, n_target, size=n_source)
    reading[rng.permutation(n_source)[:n_target]] = np.arange(n_target)
    return reading


def found_without_enumeration(seeds):
    """How often the search without enumeration finds the optimum; it never finds less than it starts from."""
    equal = 0
    for seed in seeds:
        probs, labels = small_world(seed)
        problem, p, labels = problem_of(probs, labels)
        start = assignment_reading(problem)
        found = search_partition(problem, [start], enumeration=0)
        assert not found.optimal
        assert complete(found.reading, int(labels.max()) + 1)
        assert found.loss <= quick_loss(p, labels, start) + 1e-12
        equal += found.loss <= brute_force(p, labels) + 1e-9
    return equal


def test_search_without_enumeration_equals_brute_force_in_nearly_all_worlds():
    assert found_without_enumeration(range(70)) >= 67


@pytest.mark.slow
def test_search_without_enumeration_equals_brute_force_in_95_percent_of_700_worlds():
    assert found_without_enumeration(range(1000, 1700)) >= 665


def test_enumeration_equals_brute_force_and_only_then_says_optimal():
    for seed in range(28):
        problem, p, labels = problem_of(*small_world(seed))
        found = search_partition(problem, [assignment_reading(problem)])
        assert found.optimal
        assert found.loss == pytest.approx(brute_force(p, labels), abs=1e-9)
        assert found.loss == pytest.approx(naive_loss(p, labels, found.reading), abs=1e-9)


def test_sums_and_loss_are_what_the_loops_say():
    for seed in range(len(KINDS)):
        problem, p, labels = problem_of(*draw(seed, 9, 3, 40))
        rng = np.random.default_rng([seed, 6])
        for _ in range(5):
            reading = random_reading(rng, 9, 3)
            assert problem.loss(reading) == pytest.approx(naive_loss(p, labels, reading), rel=1e-12)


@pytest.mark.parametrize("seed", range(2 * len(KINDS)))
def test_bounds_never_rule_out_a_move_that_gains(seed):
    n_source, n_target = 14, 3
    problem, p, labels = problem_of(*draw(seed, n_source, n_target, 60))
    rng = np.random.default_rng([seed, 7])
    for reading in (assignment_reading(problem), random_reading(rng, n_source, n_target)):
        groups = group(problem, reading)
        gains = best_gains(problem, groups)
        for z in range(n_source):
            moved = [np.where(np.arange(n_source) == z, y, reading) for y in range(IGNORED, n_target)]
            losses = [quick_loss(p, labels, r) for r in moved if complete(r, n_target) and r[z] != reading[z]]
            if not losses:
                assert gains[z] == -np.inf
                continue
            best = len(labels) * (groups.loss - min(losses))
            if best > 1e-6:
                assert gains[z] == pytest.approx(best, rel=1e-7, abs=1e-9)
            else:
                assert gains[z] <= 1e-6
            gain, target = best_move(problem, groups, z)
            assert gain == pytest.approx(best, rel=1e-7, abs=1e-7)
            assert quick_loss(p, labels, moved[target + 1]) == pytest.approx(min(losses), rel=1e-7, abs=1e-9)


def test_sums_stay_exact_over_many_moves_even_where_one_class_holds_nearly_everything():
    rng = np.random.default_rng(8)
    logits = 60 * rng.normal(size=(50, 12))
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    problem, p, labels = problem_of(probs / probs.sum(axis=1, keepdims=True), np.arange(50) % 3)
    groups = group(problem, random_reading(rng, 12, 3))
    for _ in range(300):
        z, y = int(rng.integers(12)), int(rng.integers(IGNORED, 3))
        reading = np.where(np.arange(12) == z, y, groups.reading)
        if y != groups.reading[z] and complete(reading, 3):
            groups = move(problem, groups, z, y)
            assert groups.loss == pytest.approx(quick_loss(p, labels, reading), rel=1e-9)


def test_descent_never_raises_the_loss_and_ends_where_no_single_move_gains():
    for seed in range(len(KINDS)):
        problem, p, labels = problem_of(*draw(seed, 40, 4, 150))
        start = random_reading(np.random.default_rng([seed, 9]), 40, 4)
        loss, reading = descend(problem, start)
        assert loss <= quick_loss(p, labels, start)
        assert loss == pytest.approx(quick_loss(p, labels, reading), abs=1e-12)
        for z, y in product(range(40), range(IGNORED, 4)):
            moved = np.where(np.arange(40) == z, y, reading)
            if complete(moved, 4):
                assert quick_loss(p, labels, moved) >= loss - 1e-9


def known_partition(seed=0, n=400):
    """Source classes 0-3 mean target 0, 4-5 target 1, 6-8 target 2; 9-11 say nothing."""
    rng = np.random.default_rng([seed, 10])
    reading = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, IGNORED, IGNORED, IGNORED])
    labels = np.arange(n) % 3
    logits = rng.normal(size=(n, 12))
    chosen = np.array([rng.choice(np.flatnonzero(reading == y)) for y in labels])
    logits[np.arange(n), chosen] += 5
    logits[:, 9:] += 4 * rng.normal(size=(n, 3))
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    return probs / probs.sum(axis=1, keepdims=True), labels, reading


def test_recovers_a_known_partition_where_the_injection_cannot():
    probs, labels, reading = known_partition()
    fitted = fit_partition(probs, labels)
    assert fitted.reading.tolist() == reading.tolist()
    fresh, truth, _ = known_partition(seed=1)
    q = fitted.predict(fresh)
    assert np.allclose(q.sum(axis=1), 1)
    rows = np.arange(len(truth))
    strict = injections.fit_injection(probs, labels).predict(fresh)
    assert -np.log(q[rows, truth]).mean() < 0.6 * -np.log(strict[rows, truth]).mean()
    assert 1 / 401 <= fitted.eps < 0.05


def test_partition_at_a_given_temperature_is_never_worse_than_the_injection_there():
    for seed in range(2 * len(KINDS)):
        probs, labels = draw(seed, 20, 3, 60)
        fitted = fit_partition(probs, labels, temperature=2.0)
        strict = injections.fit_injection(probs, labels, temperature=2.0)
        assert fitted.temperature == 2.0
        assert fitted.loss <= strict.loss + 1e-12


def fit_from(log_p, labels, sigma):
    """The partition of all samples from an injection that is given."""
    samples, order = sort_samples(log_p, labels, len(sigma))
    part = whole_part(labels, n_classes=len(sigma), seed=0).take(order)
    start = injections.fit_parts(samples, [part], injections.Search(seed=0), temperature=1.0)[0]
    given = replace(start, injection=replace(start.injection, sigma=sigma), inner=sigma)
    return fit_parts(samples, [part], [given])[0]


@pytest.mark.parametrize("seed", range(3))
def test_renaming_source_classes_renames_the_map(world, seed):
    made = world(seed=seed, n=120, n_source=30)
    rng = np.random.default_rng([seed, 12])
    order, sigma = rng.permutation(30), rng.permutation(30)[:4]
    plain = fit_from(made.log_p, made.labels, sigma)
    renamed = fit_from(made.log_p[:, order], made.labels, np.argsort(order)[sigma])
    assert np.array_equal(renamed.partition.reading, plain.partition.reading[order])
    assert np.array_equal(renamed.inner, plain.inner[order])
    assert renamed.partition.eps == pytest.approx(plain.partition.eps)
    assert renamed.partition.temperature == plain.partition.temperature


@pytest.mark.parametrize("seed", range(3))
def test_renaming_target_classes_renames_the_map(world, seed):
    made = world(seed=seed, n=120, n_source=30)
    names, sigma = np.array([2, 0, 3, 1]), np.random.default_rng([seed, 12]).permutation(30)[:4]
    plain = fit_from(made.log_p, made.labels, sigma)
    renamed = fit_from(made.log_p, names[made.labels], sigma[np.argsort(names)])
    assert np.array_equal(renamed.partition.reading, np.append(names, IGNORED)[plain.partition.reading])
    assert np.array_equal(renamed.inner, np.append(names, IGNORED)[plain.inner])
    assert renamed.partition.eps == pytest.approx(plain.partition.eps)
    assert renamed.partition.temperature == plain.partition.temperature


def fits_of(log_p, labels, n_classes, folds):
    """Injections and partitions of every part, and the in-sample ones, for samples in the given order."""
    samples, order = sort_samples(log_p, labels, n_classes)
    parts = [part.take(order) for part in folds]
    strict = injections.fit_parts(samples, parts, injections.Search(seed=0))
    best = injections.fit_in_sample(samples, parts[-1].prior, injections.Search(seed=0))
    return fit_parts(samples, parts, strict), fit_in_sample(samples, parts[-1].prior, best)


def test_order_of_samples_does_not_matter_on_the_same_parts(world):
    made = world(n=160, n_source=25)
    parts = fold_parts(made.labels, stratified_folds(made.labels, 3), groups=None, n_classes=4, seed=0)
    order = np.random.default_rng(13).permutation(160)
    plain, plain_in_sample = fits_of(made.log_p, made.labels, 4, parts)
    mixed, mixed_in_sample = fits_of(made.log_p[order], made.labels[order], 4, [part.take(order) for part in parts])
    for a, b in zip(plain, mixed, strict=True):
        assert np.array_equal(a.partition.reading, b.partition.reading)
        assert np.array_equal(a.inner, b.inner)
        assert (a.partition.temperature, a.partition.eps) == pytest.approx((b.partition.temperature, b.partition.eps))
    assert np.array_equal(plain_in_sample.reading, mixed_in_sample.reading)


@pytest.mark.parametrize("n", [120, 6000])
def test_inner_reading_does_not_depend_on_the_validation_samples(world, n):
    made = world(n=n, n_source=30)
    samples, order = sort_samples(made.log_p, made.labels, 4)
    part = whole_part(made.labels, n_classes=4, seed=0).take(order)
    other = samples.log_p.copy()
    rows = np.flatnonzero(part.validation)
    other[rows] = other[rows][:, np.random.default_rng(14).permutation(30)]
    changed, _ = sort_samples(other, samples.labels, 4)
    start = injections.fit_parts(samples, [part], injections.Search(seed=0), temperature=1.0)[0]
    plain = _fit(samples, [part], [start], choose=False, search=Search(enumeration=0, trimmed=False))[0]
    blind = _fit(changed, [part], [start], choose=False, search=Search(enumeration=0, trimmed=False))[0]
    assert np.array_equal(plain.inner, blind.inner)
    assert plain.partition.loss != blind.partition.loss
    assert not np.array_equal(plain.partition.reading, blind.partition.reading)


def test_eps_tells_apart_what_is_known_from_what_is_not(world):
    known, unknown = world(n=800, n_source=30, signal=2.0), world(n=800, n_source=30, signal=0.0)
    assert fit_partition(known.probs, known.labels).eps < 0.1
    nothing = fit_partition(unknown.probs, unknown.labels)
    assert nothing.eps > 0.5
    fresh = world(seed=1, n=800, n_source=30, signal=0.0)
    q, rows = nothing.predict(fresh.probs), np.arange(800)
    assert -np.log(q[rows, fresh.labels]).mean() < 1.05 * np.log(4)


def mixed_loss(fitted, samples):
    q = fitted.predict_log(samples.log_p)
    return float(-np.log(q[np.arange(len(q)), samples.labels]).mean())


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), n_target=st.integers(2, 4), more=st.integers(0, 12), n=st.integers(8, 60))
def test_in_sample_loss_never_rises_from_injection_to_partition(seed, n_target, more, n):
    probs, labels = draw(seed, n_target + more, n_target, n)
    samples, _ = sort_samples(log_of(probs), labels, n_target)
    prior = whole_part(labels, n_classes=n_target, seed=0).prior
    strict = injections.fit_in_sample(samples, prior, injections.Search(seed=0))
    fitted = fit_in_sample(samples, prior, strict)
    assert mixed_loss(fitted, samples) <= mixed_loss(strict, samples) + 1e-12
    assert complete(fitted.reading, n_target)


def test_in_sample_partition_finds_what_the_injection_cannot():
    probs, labels, reading = known_partition()
    samples, _ = sort_samples(log_of(probs), labels, 3)
    prior = whole_part(labels, n_classes=3, seed=0).prior
    strict = injections.fit_in_sample(samples, prior, injections.Search(seed=0))
    fitted = fit_in_sample(samples, prior, strict)
    assert mixed_loss(fitted, samples) < 0.6 * mixed_loss(strict, samples)
    assert fitted.reading[:9].tolist() == reading[:9].tolist()
    assert fitted.loss == pytest.approx(
        quick_loss(samples.temper(fitted.temperature).p, samples.labels, fitted.reading)
    )


def test_twice_the_samples_give_the_same_reading_and_loss():
    for seed in range(len(KINDS)):
        probs, labels = draw(seed, 12, 3, 40)
        once, p, _ = problem_of(probs, labels)
        twice, _, _ = problem_of(np.concatenate([probs, probs]), np.concatenate([labels, labels]))
        a = search_partition(once, [assignment_reading(once)])
        b = search_partition(twice, [assignment_reading(twice)])
        assert b.loss == pytest.approx(a.loss, abs=1e-9)
        if KINDS[seed] != "zeros and ones":  # where several readings are equally good
            assert np.array_equal(a.reading, b.reading)
