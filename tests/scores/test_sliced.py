"""Sliced Wasserstein: POT's value along the same directions, exact transport in one dimension, and its invariances."""

from __future__ import annotations

import numpy as np
import ot
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from gapkit.errors import DataError, OptionError
from gapkit.scores import sliced
from gapkit.scores.inputs import PairInputs
from gapkit.scores.sliced import SlicedWasserstein, directions, sliced_wasserstein


def two_samples(seed, n=15, m=11, d=4):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), 0.5 + 1.3 * rng.normal(size=(m, d))


@pytest.mark.parametrize("p", [1, 2, 3.5])
@pytest.mark.parametrize(("n", "m"), [(20, 20), (20, 13), (1, 7), (30, 12)])
def test_it_is_pot_s_along_the_same_directions(n, m, p):
    x, y = two_samples(0, n, m)
    along = directions(4, 30, seed=2)
    expected = ot.sliced_wasserstein_distance(x, y, projections=along, p=p)
    assert sliced_wasserstein(x, y, projections=30, p=p, seed=2) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize(("n", "m"), [(9, 9), (9, 6), (8, 5), (1, 4)])
def test_in_one_dimension_it_is_the_optimum_over_all_couplings(n, m, p):
    x, y = two_samples(1, n, m, 1)
    cost = np.abs(x - y.T) ** p
    optimum = ot.emd2(np.full(n, 1 / n), np.full(m, 1 / m), cost) ** (1 / p)
    assert sliced_wasserstein(x, y, projections=3, p=p) == pytest.approx(optimum, rel=1e-8)
    if p == 1:
        assert optimum == pytest.approx(scipy.stats.wasserstein_distance(x[:, 0], y[:, 0]), rel=1e-8)


@pytest.mark.parametrize("entries", [1, 100])
def test_blocks_of_directions_change_nothing(monkeypatch, entries):
    x, y = two_samples(2)
    expected = sliced_wasserstein(x, y)
    monkeypatch.setattr(sliced, "BLOCK_ENTRIES", entries)
    assert sliced_wasserstein(x, y) == pytest.approx(expected, rel=1e-12)


def test_directions_are_uniform_on_the_sphere():
    along = directions(3, 20000, seed=0)
    assert np.square(along).sum(axis=0) == pytest.approx(1.0)
    assert np.abs(along @ along.T / 20000 - np.eye(3) / 3).max() < 0.01
    assert np.abs(along.mean(axis=1)).max() < 4 * np.sqrt(1 / 3 / 20000)
    assert np.square(np.square(along[0])).mean() == pytest.approx(1 / 5, abs=0.01)  # E t^4 = 3 / (d (d + 2))


def test_a_shift_costs_its_length_over_the_root_of_the_dimension():
    x = np.random.default_rng(3).normal(size=(10, 5))
    along = directions(5, 4000, seed=0)
    shift = np.arange(5.0)
    expected = np.sqrt(np.square(shift @ along).mean())
    assert sliced_wasserstein(x, x + shift, projections=4000) == pytest.approx(expected, rel=1e-8)
    assert expected == pytest.approx(np.linalg.norm(shift) / np.sqrt(5), rel=0.05)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 12),
    m=st.integers(1, 12),
    d=st.integers(1, 6),
    p=st.sampled_from([1, 2, 3]),
)
def test_order_sides_and_shifts_change_nothing_and_scales_multiply(seed, n, m, d, p):
    x, y = two_samples(seed, n, m, d)
    rng, options = np.random.default_rng(seed), {"projections": 20, "p": p, "seed": seed}
    expected = sliced_wasserstein(x, y, **options)
    near = pytest.approx(expected, rel=1e-8)
    assert sliced_wasserstein(rng.permutation(x), rng.permutation(y), **options) == near
    assert sliced_wasserstein(y, x, **options) == near
    assert sliced_wasserstein(x + 100, y + 100, **options) == near
    for scale in (1e-8, 1e8):
        assert sliced_wasserstein(scale * x, scale * y, **options) / scale == near


def test_copies_of_a_sample_are_the_same_distribution():
    x, y = two_samples(4)
    assert sliced_wasserstein(np.tile(x, (3, 1)), y) == pytest.approx(sliced_wasserstein(x, y), rel=1e-8)
    assert sliced_wasserstein(np.tile(x, (3, 1)), x) == pytest.approx(0.0, abs=1e-12)


def test_the_estimator_is_the_function_with_the_seed_of_the_pair():
    x, y = two_samples(5)
    pair = PairInputs(target=x, surrogate=y, seed=7)
    assert SlicedWasserstein().between(pair) == sliced_wasserstein(x, y, seed=7)
    assert SlicedWasserstein(projections=9, p=1.0).between(pair) == sliced_wasserstein(x, y, projections=9, p=1, seed=7)
    assert SlicedWasserstein().between(pair) != sliced_wasserstein(x, y, seed=8)


@pytest.mark.filterwarnings("error")
def test_degenerate_samples_and_high_orders():
    same = np.full((4, 2), 0.1)
    assert sliced_wasserstein(same, same[:3]) == 0.0
    x = np.array([[0.0], [1.0]])
    assert sliced_wasserstein(1e8 * x, 1e8 * x + 3e8, p=200) == pytest.approx(3e8, rel=1e-8)
    first, second = (np.round(1024 * side) / 1024 for side in two_samples(6))  # a shift by 2^30 is exact
    expected = sliced_wasserstein(first, second)
    assert sliced_wasserstein(first + 2.0**30, second + 2.0**30) == pytest.approx(expected, rel=1e-12)


def test_what_cannot_be_measured_is_refused_in_words():
    x = np.zeros((3, 2))
    with pytest.raises(DataError, match="x has 2 features and y has 1"):
        sliced_wasserstein(x, x[:, :1])
    with pytest.raises(OptionError, match="projections 2.5; expected a whole number"):
        sliced_wasserstein(x, x, projections=2.5)
    with pytest.raises(OptionError, match="projections 0;"):
        sliced_wasserstein(x, x, projections=0)
    for p in (0.5, np.inf, np.nan):
        with pytest.raises(OptionError, match="p .*; expected a finite number, 1 or more"):
            SlicedWasserstein(p=p).between(PairInputs(target=x, surrogate=x))
