"""Coding rates without each block against those of the samples that are left, and where the short way is not taken."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapkit.scores import coding_blocks
from gapkit.scores.coding import coding_rate, rate_of_rows
from gapkit.scores.coding_blocks import rates_without
from gapkit.scores.inputs import ScoreInputs
from gapkit.scores.transrate import TransRate
from gapkit.statistics.jackknife import deal_classes, kept

BLOCKS = 6


def world(seed, m, d):
    """A class of m samples, others beside it, and blocks of all of them."""
    rng = np.random.default_rng([seed, m, d])
    rows, others = rng.normal(size=(m, d)) + 0.3, rng.normal(size=(2 * m, d))
    return rows, others, rng.permutation(m) % (BLOCKS + 1) - 1, rng.permutation(2 * m) % BLOCKS


def both(rows, others, ids, of_others, epsilon=1e-2):
    """Without each block: by what blocks share, and anew."""
    everything, of_all = np.vstack([rows, others]), np.concatenate([ids, of_others])
    centres = np.array([everything[of_all != block].mean(axis=0) for block in range(BLOCKS)])
    found = rates_without(rows, ids, everything.mean(axis=0), centres, epsilon)
    parts = [rows[ids != block] - centres[block] for block in range(BLOCKS)]
    return found, np.array([coding_rate(part, epsilon) if len(part) else 0.0 for part in parts])


@pytest.fixture
def anew(monkeypatch):
    """How often a block is coded by itself."""
    calls = []

    def counted(rows, index, epsilon):
        calls.append(len(index))
        return rate_of_rows(rows, index, epsilon)

    monkeypatch.setattr(coding_blocks, "rate_of_rows", counted)
    return calls


@pytest.mark.parametrize(("m", "d"), [(30, 80), (33, 33), (50, 8), (40, 35), (7, 20), (9, 1)])
@pytest.mark.parametrize("epsilon", [1e-4, 1.0])
def test_equal_those_of_what_is_left(anew, m, d, epsilon):
    for seed in range(3):
        found, expected = both(*world(seed, m, d), epsilon)
        assert found == pytest.approx(expected, rel=1e-11)
    assert not anew


def test_the_mean_that_moves_is_told(anew):
    """With the mean of all samples instead of that of what is left, rates differ by far more than rounding."""
    for m, d in ((30, 80), (50, 8)):
        rows, others, ids, of_others = world(0, m, d)
        others[of_others == 2] += 3.0
        found, expected = both(rows, others, ids, of_others)
        assert found == pytest.approx(expected, rel=1e-11)
        centre = np.vstack([rows, others]).mean(axis=0)
        unmoved = rates_without(rows, ids, centre, np.tile(centre, (BLOCKS, 1)), 1e-2)
        assert np.abs(unmoved - expected).max() > 1e-3
    assert not anew


@pytest.mark.parametrize(("m", "d"), [(30, 80), (50, 8)])
@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_very_small_and_very_large_features(m, d, scale):
    rows, others, ids, of_others = world(1, m, d)
    found, expected = both(scale * rows, scale * others, ids, of_others)
    assert found == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("m", "d"), [(30, 80), (50, 8)])
@pytest.mark.parametrize("of_class", [True, False])
@pytest.mark.parametrize("size", [1e8, 1e12])
def test_without_an_outlier_the_others_keep_their_digits(anew, m, d, of_class, size):
    rows, others, ids, of_others = world(2, m, d)
    if of_class:
        rows[np.flatnonzero(ids == 3)[0]] = size
    else:
        others[np.flatnonzero(of_others == 3)[0]] = size
    found, expected = both(rows, others, ids, of_others)
    assert found == pytest.approx(expected, rel=1e-10)
    assert anew


@pytest.mark.parametrize(("m", "d"), [(30, 80), (50, 8)])
def test_samples_that_are_alike(m, d):
    rows, others, ids, of_others = world(3, m, d)
    for alike in (np.zeros_like(rows), np.full_like(rows, 0.1), rows[np.arange(m) // 5], rows[:, :1] * np.ones(d)):
        for scale in (1e-8, 1.0, 1e8):
            found, expected = both(scale * alike, scale * others, ids, of_others)
            assert found == pytest.approx(expected, rel=1e-8)
    found, expected = both(np.full_like(rows, 0.1), np.full_like(others, 0.1), ids, of_others)
    assert found == pytest.approx(expected, abs=1e-12)


def test_a_class_of_few_samples():
    for m in (1, 2, 3):
        rows, others, ids, of_others = world(4, m, 5)
        for own in (ids, np.full(m, -1), np.zeros(m, dtype=np.int64)):
            found, expected = both(rows, others, own, of_others)
            assert found == pytest.approx(expected, rel=1e-11)


@settings(derandomize=True, deadline=None, max_examples=15)
@given(seed=st.integers(0, 10**6), n=st.integers(40, 90), d=st.integers(1, 60), normalise=st.booleans())
def test_the_score_without_a_block_is_that_of_what_is_left(seed, n, d, normalise):
    rng = np.random.default_rng(seed)
    labels = np.sort(np.append(np.repeat(np.arange(3), 8), rng.integers(4, size=n - 24)))
    features = rng.normal(size=(n, d)) + rng.normal(size=(4, d))[labels]
    inputs, score = ScoreInputs(features=features, labels=labels), TransRate(normalise=normalise)
    blocks = deal_classes(labels, 5, seed=seed)
    short = score.on(inputs).without(blocks)
    for block in range(len(blocks.layers)):
        part = inputs.take(kept(blocks.ids, block))
        assert short(block, part) == pytest.approx(score.on(part)(part.labels), rel=1e-9, abs=1e-9)


def test_features_that_change_their_unit_without_a_block():
    rng, labels = np.random.default_rng(0), np.arange(60) % 2
    features = rng.normal(size=(60, 4))
    features[0] = 1e90
    inputs, score = ScoreInputs(features=features, labels=labels), TransRate(epsilon=1e-4, normalise=False)
    blocks = deal_classes(labels, 5)
    block = int(blocks.ids[0])
    part = inputs.take(kept(blocks.ids, block))
    assert part.unit != inputs.unit
    assert score.on(inputs).without(blocks)(block, part) == score.on(part)(part.labels)
