"""The partition on unusual input, and the walk over temperatures."""

from __future__ import annotations

import numpy as np
import pytest

from gapkit.errors import DataError
from gapkit.gap.label_maps import injection as injections
from gapkit.gap.label_maps.partition import IGNORED, fit_partition
from gapkit.gap.label_maps.partition_problem import (
    make_problem,
    read_injection,
)
from gapkit.gap.label_maps.partition_walk import thin, walk_temperatures
from gapkit.gap.label_maps.tempering import TEMPERATURES, log_of, sort_samples

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


def complete(reading, n_target):
    return set(range(n_target)) <= set(np.asarray(reading).tolist())


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


def problem_of(probs, labels, temperature=1.0):
    samples, _ = sort_samples(log_of(probs), labels, int(labels.max()) + 1)
    tempered = samples.temper(temperature)
    return make_problem(tempered, np.ones(len(labels), dtype=bool)), tempered.p, samples.labels


def test_walk_ends_at_a_temperature_whose_neighbours_are_worse(world):
    made = world(n=60, n_source=6)
    samples, _ = sort_samples(made.log_p, made.labels, 4)
    for best in range(len(TEMPERATURES)):
        tried = []

        def loss(k, tempered, reading, best=best, tried=tried):
            tried.append(tempered.temperature)
            return abs(np.log(tempered.temperature / TEMPERATURES[best]))

        walked = walk_temperatures(samples, lambda k, tempered, warm: np.zeros(6, int), np.array([4.0]), loss)
        assert walked[0][0] == TEMPERATURES[best]
        assert len(set(tried)) == len(tried)
        assert set(TEMPERATURES[max(0, best - 1) : best + 2]) <= set(tried)


def test_thinned_samples_keep_the_shares_of_the_classes():
    labels = np.repeat(np.arange(4), [4000, 2000, 1500, 500])
    mask = np.random.default_rng(15).random(8000) < 0.75
    thinned = thin(mask)
    assert not (thinned & ~mask).any()
    assert 1000 <= thinned.sum() < 1250
    shares = np.bincount(labels[thinned]) / thinned.sum()
    assert np.allclose(shares, np.bincount(labels[mask]) / mask.sum(), atol=2e-3)
    assert np.array_equal(thin(mask & (np.arange(8000) < 1500)), mask & (np.arange(8000) < 1500))


def test_as_many_source_as_target_classes_give_the_injection():
    for seed in range(2 * len(KINDS)):
        probs, labels = draw(seed, 4, 4, 50)
        fitted, strict = (
            fit_partition(probs, labels, temperature=1.0),
            injections.fit_injection(probs, labels, temperature=1.0),
        )
        assert sorted(fitted.reading.tolist()) == [0, 1, 2, 3]
        assert fitted.loss == pytest.approx(strict.loss, abs=1e-12)
        assert fitted.optimal


@pytest.mark.parametrize("seed", range(len(KINDS)))
@pytest.mark.parametrize(("n", "n_source", "n_target"), [(20, 8, 2), (20, 30, 3), (60, 5, 5), (40, 40, 2), (9, 3, 3)])
def test_whatever_the_probabilities_the_fit_is_finite(seed, n, n_source, n_target):
    probs, labels = draw(seed, n_source, n_target, n)
    fitted = fit_partition(probs, labels, enumeration=0)
    assert complete(fitted.reading, n_target)
    assert np.isfinite(fitted.loss)
    assert 0 < fitted.eps <= 1
    q = fitted.predict(probs)
    assert np.isfinite(np.log(q)).all()
    assert np.allclose(q.sum(axis=1), 1)


def test_source_classes_that_are_never_predicted_do_no_harm():
    probs, labels, reading = known_partition()
    padded = np.concatenate([probs, np.zeros((len(probs), 3))], axis=1)
    fitted = fit_partition(padded, labels)
    assert fitted.reading[:12].tolist() == reading.tolist()
    assert np.isfinite(fitted.loss)


def test_target_class_without_samples_keeps_a_source_class():
    probs, labels, _ = known_partition()
    fitted = fit_partition(probs, labels, n_classes=4)
    assert complete(fitted.reading, 4)
    assert np.isfinite(fitted.predict(probs)).all()


def test_equal_source_classes_and_equal_samples_are_no_trouble():
    probs = np.tile([[0.25, 0.25, 0.25, 0.25]], (30, 1))
    fitted = fit_partition(probs, np.arange(30) % 3)
    assert complete(fitted.reading, 3)
    assert fitted.loss == pytest.approx(np.log(3), abs=0.1)


def test_injection_is_read_as_a_partition_that_ignores_the_rest():
    assert read_injection(np.array([3, 1]), 5).tolist() == [IGNORED, 1, IGNORED, 0, IGNORED]


@pytest.mark.parametrize(
    ("probs", "labels", "words"),
    [
        (np.zeros((4, 3)), np.zeros(4, dtype=int), "not logits"),
        (np.full((4, 2), 0.5), np.array([0, 1, 2, 0]), "at least as many source as target classes"),
        (np.full((4, 2), 0.5), np.array([0, 1, 0]), "probabilities first, then the target labels"),
    ],
)
def test_unusable_arguments_are_explained(probs, labels, words):
    with pytest.raises(DataError, match=words):
        fit_partition(probs, labels)
