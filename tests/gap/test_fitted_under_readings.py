"""Injections and partitions under other losses than KL: against brute force over all maps and a fine grid of eps."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapkit.gap.discrepancy import find_discrepancy
from gapkit.gap.label_maps import injection as injections
from gapkit.gap.label_maps.mixing import class_prior
from gapkit.gap.label_maps.partition_problem import IGNORED, read_injection
from gapkit.gap.label_maps.tempering import TEMPERATURES, log_of, sort_samples
from gapkit.gap.label_maps.under import CRITERIA, answers_of, choose_eps, find_criterion, fit_eps
from gapkit.gap.label_maps.under_finder import find_injections, find_partitions
from gapkit.gap.label_maps.under_fits import injection_in_sample
from gapkit.gap.label_maps.under_moves import move_losses, sweep
from gapkit.gap.label_maps.under_readings import make_task, search_mixture
from gapkit.gap.label_maps.under_substitutions import all_injections, mass_assignment, sigma_of, substitute

NAMES = [criterion.name for criterion in CRITERIA]
GRID = np.linspace(0, 1, 41)
worlds = st.integers(0, 10**6)


def draw(seed, n_source=5, n_target=3, n=40):
    """A tempered world of a kind that goes with the seed, with its class prior."""
    rng = np.random.default_rng([seed, 17])
    labels = np.append(np.arange(n_target), rng.integers(n_target, size=n - n_target))
    known = (0.0, 1.0, 2.0)[seed % 3]
    logits = rng.normal(size=(n, n_source)) + known * rng.normal(size=(n_target, n_source))[labels]
    logits *= (1.0, 4.0, 60.0)[seed // 3 % 3]
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    samples, _ = sort_samples(log_of(probs / probs.sum(axis=1, keepdims=True)), labels, n_target)
    return samples.temper((0.25, 1.0, 4.0)[seed // 9 % 3]), class_prior(np.bincount(labels).astype(float))


def everything(tempered):
    return np.ones(len(tempered.p), dtype=bool)


def mapped(tempered, reading, n_target):
    """q_A (n, K_t), summed class by class."""
    sums = np.stack([tempered.p[:, reading == y].sum(axis=1) for y in range(n_target)], axis=1)
    return sums / sums.sum(axis=1, keepdims=True)


def loss_at(name, tempered, prior, reading, eps):
    """The mean discrepancy of the mixed conditional, from its definition."""
    q = (1 - eps) * mapped(tempered, reading, len(prior)) + eps * prior
    return find_discrepancy(name).losses(q, tempered.samples.labels).mean()


def brute_force(name, tempered, prior, readings):
    least, losses = np.inf, find_discrepancy(name).losses
    for reading in readings:
        q = mapped(tempered, reading, len(prior))
        least = min(least, *(losses((1 - eps) * q + eps * prior, tempered.samples.labels).mean() for eps in GRID))
    return least


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=10, deadline=None)
@given(seed=worlds)
def test_injection_is_the_best_of_all_injections_and_eps(name, seed):
    tempered, prior = draw(seed)
    finder = find_injections(find_criterion(name), seed=0)
    found = finder.run(tempered, everything(tempered), prior, [])
    assert found.optimal
    assert found.loss == pytest.approx(loss_at(name, tempered, prior, found.reading, found.eps), abs=1e-12)
    sigmas = [read_injection(np.array(sigma), 5) for sigma in permutations(range(5), 3)]
    assert found.loss <= brute_force(name, tempered, prior, sigmas) + 1e-12


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=5, deadline=None)
@given(seed=worlds)
def test_partition_is_the_best_of_all_partitions_and_eps(name, seed):
    tempered, prior = draw(seed, n_source=4, n=30)
    found = find_partitions(find_criterion(name)).run(tempered, everything(tempered), prior, [])
    assert found.optimal
    readings = [np.array(own) for own in product(range(IGNORED, 3), repeat=4) if {0, 1, 2} <= set(own)]
    assert found.loss <= brute_force(name, tempered, prior, readings) + 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_strict_injection_is_the_best_of_all_at_eps_zero(name):
    for seed in range(9):
        tempered, prior = draw(seed)
        finder = find_injections(find_criterion(name), seed=0, mixed=False)
        found = finder.run(tempered, everything(tempered), prior, [])
        least = min(loss_at(name, tempered, prior, reading, 0.0) for reading in all_injections(5, 3))
        assert (found.eps, found.loss) == (0.0, pytest.approx(least, abs=1e-12))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("strict", [False, True])
def test_in_sample_injection_is_the_best_at_all_temperatures(name, strict):
    tempered, prior = draw(1)
    samples = tempered.samples
    known = injections.fit_in_sample(samples, prior, injections.Search(seed=0), strict=strict)
    found = injection_in_sample(samples, prior, known, find_criterion(name), seed=0, strict=strict)
    least = min(
        find_discrepancy(name).losses((1 - eps) * q + eps * prior, samples.labels).mean()
        for value in TEMPERATURES
        for reading in all_injections(5, 3)
        for q in (mapped(samples.temper(value), reading, 3),)
        for eps in ([0.0] if strict else GRID[::4])
    )
    q = found.predict_log(samples.log_p)
    assert found.optimal
    assert find_discrepancy(name).losses(q, samples.labels).mean() <= least + 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_moves_alone_nearly_always_find_the_best_injection(name):
    # 210 injections; from the exact assignment and five random starts, without enumeration.
    hits = 0
    for seed in range(20):
        tempered, prior = draw(seed, n_source=7, n=60)
        task, rng = make_task(tempered, everything(tempered), prior, find_criterion(name)), np.random.default_rng(0)
        starts = [mass_assignment(task), *(read_injection(rng.permutation(7)[:3], 7) for _ in range(5))]
        found = search_mixture(task, starts, substitute)
        hits += found.loss <= min(task.mixture(reading).loss for reading in all_injections(7, 3)) + 1e-9
    assert hits >= 18


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=12, deadline=None)
@given(seed=worlds, eps=st.sampled_from([0.0, 0.3]))
def test_losses_of_moves_are_those_of_the_moved_readings(name, seed, eps):
    tempered, prior = draw(seed, n_source=6)
    reading = np.random.default_rng(seed).integers(IGNORED, 3, size=6)
    reading[:3] = np.arange(3)
    task = make_task(tempered, everything(tempered), prior, find_criterion(name))
    losses = move_losses(task, reading, eps, np.arange(6))
    for z, y in product(range(6), range(IGNORED, 3)):
        moved = reading.copy()
        moved[z] = y
        if {0, 1, 2} <= set(moved.tolist()):
            assert losses[z, y - IGNORED] == pytest.approx(loss_at(name, tempered, prior, moved, eps), abs=1e-10)
        else:
            assert losses[z, y - IGNORED] == np.inf


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=8, deadline=None)
@given(seed=worlds, eps=st.sampled_from([0.0, 0.3]))
def test_nothing_gains_once_a_search_stops(name, seed, eps):
    tempered, prior = draw(seed, n_source=8)
    task = make_task(tempered, everything(tempered), prior, find_criterion(name))
    found = sweep(task, mass_assignment(task), eps)
    assert move_losses(task, found, eps, np.arange(8)).min() >= task.loss(found, eps) - 1e-10
    assert task.loss(found, eps) <= task.loss(mass_assignment(task), eps) + 1e-12
    sigma = sigma_of(substitute(task, mass_assignment(task), eps))
    loss = loss_at(name, tempered, prior, read_injection(sigma, 8), eps)
    for y, z in product(range(3), set(range(8)) - set(sigma.tolist())):
        moved = np.where(np.arange(3) == y, z, sigma)
        assert loss_at(name, tempered, prior, read_injection(moved, 8), eps) >= loss - 1e-10
    for permuted in permutations(sigma):
        assert loss_at(name, tempered, prior, read_injection(np.array(permuted), 8), eps) >= loss - 1e-10


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=20, deadline=None)
@given(seed=worlds, pseudo=st.sampled_from([0.0, 1.0]))
def test_eps_is_the_minimum_on_a_fine_grid(name, seed, pseudo):
    tempered, prior = draw(seed)
    criterion, labels = find_criterion(name), tempered.samples.labels
    q = mapped(tempered, mass_assignment(make_task(tempered, everything(tempered), prior, criterion)), 3)
    eps, loss = fit_eps(criterion, answers_of(criterion, q, labels, prior), pseudo=pseudo)
    floor = pseudo / (len(labels) + pseudo)
    losses = [find_discrepancy(name).losses((1 - e) * q + e * prior, labels).mean() for e in np.maximum(GRID, floor)]
    assert floor <= eps <= 1
    assert loss <= min(losses) + 1e-12
    assert loss == pytest.approx(find_discrepancy(name).losses((1 - eps) * q + eps * prior, labels).mean(), abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_map_is_used_only_where_it_has_shown_its_worth(name):
    criterion, labels, prior = find_criterion(name), np.arange(60) % 2, np.array([0.5, 0.5])
    good = np.where(np.eye(2)[labels] > 0, 0.9, 0.1)
    assert choose_eps(criterion, answers_of(criterion, good, labels, prior)) < 0.1
    useless = good.copy()
    useless[:30] = useless[:30, ::-1]
    assert choose_eps(criterion, answers_of(criterion, useless, labels, prior)) == 1.0
