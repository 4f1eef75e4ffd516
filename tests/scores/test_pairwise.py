"""Distances of pairs: their digits, their blocks, their median."""

from __future__ import annotations

import itertools
import statistics
from fractions import Fraction

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist

from gapkit.scores import pairwise
from gapkit.scores.pairwise import mean_between, mean_within, median_square, pooled_median, squared_distances


def exact_squares(x, y):
    """Squared distances of the float64 numbers given, without any rounding until the end."""
    rows = [[[Fraction(v) for v in row] for row in side] for side in (x.tolist(), y.tolist())]
    return np.array([[float(sum((a - b) ** 2 for a, b in zip(u, v, strict=True))) for v in rows[1]] for u in rows[0]])


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("spread", [1.0, 1e-2, 1e-6, 1e-12])
def test_squared_distances_keep_their_digits_however_near_the_samples_are(scale, spread):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 5))
    x, y = (scale * (centres[rng.integers(3, size=12)] + spread * rng.normal(size=(12, 5))) for _ in range(2))
    assert squared_distances(x, y) == pytest.approx(exact_squares(x, y), rel=1e-11, abs=0)


def test_equal_samples_are_exactly_nothing_apart():
    x = np.random.default_rng(1).normal(size=(30, 7))
    assert (np.diag(squared_distances(x, x)) == 0).all()
    assert (squared_distances(x, x[[4]])[[4, 5], 0] == 0).tolist() == [True, False]


@pytest.mark.parametrize("entries", [1, 40, 1 << 20])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_means_over_pairs_are_those_of_all_pairs_whatever_the_blocks(monkeypatch, entries, offset):
    monkeypatch.setattr(pairwise, "BLOCK_ENTRIES", entries)
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(17, 3)) + offset, 2 + rng.normal(size=(23, 3)) + offset
    assert mean_between(x, y, np.sqrt) == pytest.approx(cdist(x, y).mean(), rel=1e-9)
    assert mean_within(x, np.sqrt) == pytest.approx(pdist(x).mean(), rel=1e-9)
    kernel = np.exp(-pdist(y, "sqeuclidean")).mean()
    assert mean_within(y, lambda squares: np.exp(-squares)) == pytest.approx(kernel, rel=1e-8)


def test_samples_far_from_nothing_are_centred_first_as_all_pairs_would_cancel(monkeypatch):
    given = []

    def spy(x, y):
        given.append(max(np.abs(x).max(), np.abs(y).max()))
        return squared_distances(x, y)

    monkeypatch.setattr(pairwise, "squared_distances", spy)
    x = 1e6 + np.random.default_rng(5).normal(size=(50, 3))
    mean_between(x, x[:20], np.sqrt)
    mean_within(x, np.sqrt)
    pooled_median(x, x[:20])
    assert len(given) == 3
    assert max(given) < 10


def test_blocks_bound_what_is_held(monkeypatch):
    monkeypatch.setattr(pairwise, "BLOCK_ENTRIES", 1000)
    held = []

    def value(block):
        held.append(block.size)
        return block

    x = np.random.default_rng(3).normal(size=(100, 2))
    mean_between(x, x, value)
    mean_within(x, value)
    assert max(held) <= 1000
    assert sum(held[:10]) == 100 * 100


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_the_pooled_median_is_that_of_the_squared_distances_of_different_samples(n):
    x = np.random.default_rng(n).normal(size=(n, 2))
    y = np.vstack([x[:1], x[:1] + 3])  # a duplicate across sides
    points = {tuple(row) for row in np.vstack([x, y]).tolist()}
    weights = {tuple(row): 2 if np.array_equal(row, x[0]) else 1 for row in np.vstack([x, y])}
    pairs = [
        sum((a - b) ** 2 for a, b in zip(u, v, strict=True))
        for u, v in itertools.combinations(points, 2)
        for _ in range(weights[u] * weights[v])
    ]
    assert pooled_median(x, y) == pytest.approx(statistics.median(pairs), rel=1e-12)


def test_samples_that_are_all_equal_have_the_median_nothing():
    assert pooled_median(np.full((5, 3), 0.1), np.full((2, 3), 0.1)) == 0.0
    assert median_square(np.zeros((2, 2))) == 0.0


def test_the_median_of_many_samples_is_near_and_does_not_depend_on_their_order(monkeypatch):
    monkeypatch.setattr(pairwise, "MEDIAN_SAMPLES", 200)
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(300, 4)), 1 + rng.normal(size=(250, 4))
    found = pooled_median(x, y)
    assert found == pytest.approx(np.median(pdist(np.vstack([x, y]), "sqeuclidean")), rel=0.1)
    assert found == pytest.approx(pooled_median(rng.permutation(y), rng.permutation(x)), rel=1e-12)
    assert found == pytest.approx(pooled_median(x + 7, y + 7), rel=1e-9)
    assert found != pooled_median(x, y, seed=1)
