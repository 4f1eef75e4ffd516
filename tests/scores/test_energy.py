"""Energy distance: the paper's means, scipy's one-dimensional one, and what it does not depend on."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from gapkit.errors import DataError, UndefinedError
from gapkit.scores.energy import Energy, energy_distance
from gapkit.scores.inputs import PairInputs


def naive_energy(x, y, *, unbiased):
    """Three double loops; a U-statistic leaves each sample beside itself out."""

    def mean(a, b, leave_out):
        pairs = [(i, j) for i in range(len(a)) for j in range(len(b)) if not (leave_out and i == j)]
        return sum(np.sqrt(((a[i] - b[j]) ** 2).sum()) for i, j in pairs) / len(pairs)

    return 2 * mean(x, y, False) - mean(x, x, unbiased) - mean(y, y, unbiased)


def two_samples(seed, n=15, m=11, d=4):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), 0.5 + 1.3 * rng.normal(size=(m, d))


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("d", [1, 4, 40])
def test_it_is_the_paper_s_statistic(unbiased, d):
    x, y = two_samples(0, d=d)
    expected = naive_energy(x, y, unbiased=unbiased)
    assert energy_distance(x, y, unbiased=unbiased) == pytest.approx(expected, rel=1e-8)


def test_in_one_dimension_its_biased_root_is_scipy_s():
    x, y = two_samples(1, n=30, m=17, d=1)
    expected = scipy.stats.energy_distance(x[:, 0], y[:, 0])
    assert np.sqrt(energy_distance(x, y, unbiased=False)) == pytest.approx(expected, rel=1e-8)


def test_of_one_distribution_the_unbiased_one_expects_nothing_and_the_biased_one_something():
    rng = np.random.default_rng(2)
    drawn = np.array(
        [
            [energy_distance(x, y, unbiased=unbiased) for unbiased in (True, False)]
            for x, y in ((rng.normal(size=(6, 3)), rng.normal(size=(9, 3))) for _ in range(1000))
        ]
    )
    assert abs(drawn[:, 0].mean()) < 4 * drawn[:, 0].std() / np.sqrt(1000)
    assert drawn[:, 0].min() < 0
    assert drawn[:, 1].min() >= 0
    assert drawn[:, 1].mean() > 0.3


@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 12), m=st.integers(2, 12), d=st.integers(1, 6))
def test_order_sides_shifts_and_rotations_change_nothing_and_scales_multiply(seed, n, m, d):
    x, y = two_samples(seed, n, m, d)
    rng, expected = np.random.default_rng(seed), energy_distance(x, y)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
    near = pytest.approx(expected, rel=1e-8, abs=1e-9)
    assert energy_distance(rng.permutation(x), rng.permutation(y)) == near
    assert energy_distance(y, x) == near
    assert energy_distance(x @ turn - 5, y @ turn - 5) == near
    for scale in (1e-8, 1e8):
        assert energy_distance(scale * x, scale * y) / scale == near


def test_a_subsample_depends_neither_on_the_order_nor_on_the_sides():
    x, y = two_samples(3, 30, 40, 3)
    rng, distance = np.random.default_rng(3), Energy(limit=20)
    expected = distance.between(PairInputs(target=x, surrogate=y))
    assert expected != energy_distance(x, y)
    assert expected == pytest.approx(energy_distance(x, y), rel=0.5)
    for first, second in [(rng.permutation(x), rng.permutation(y)), (y, x), (x + 3, y + 3)]:
        assert distance.between(PairInputs(target=first, surrogate=second)) == pytest.approx(expected, rel=1e-8)
    assert distance.between(PairInputs(target=x, surrogate=y, seed=1)) != expected


@pytest.mark.filterwarnings("error")
def test_degenerate_samples():
    same = np.full((4, 2), 0.1)
    assert energy_distance(same, same[:2]) == 0.0
    assert energy_distance(same, same[:2] + np.array([3.0, 4.0])) == pytest.approx(10.0, rel=1e-12)
    assert energy_distance(same[:1], same[:1] + np.array([3.0, 4.0]), unbiased=False) == pytest.approx(10.0, rel=1e-12)
    x = np.random.default_rng(0).normal(size=(5, 30))
    assert energy_distance(x, x, unbiased=False) == pytest.approx(0.0, abs=1e-14)
    assert energy_distance(x, x) < 0


def test_what_cannot_be_measured_is_refused_in_words():
    x = np.zeros((3, 2))
    with pytest.raises(UndefinedError, match="1 samples beside 3; .* the unbiased energy distance"):
        energy_distance(x[:1], x)
    with pytest.raises(UndefinedError, match="3 samples beside 1"):
        Energy().between(PairInputs(target=x, surrogate=x[:1]))
    with pytest.raises(DataError, match="y has shape"):
        energy_distance(x, x[0])
