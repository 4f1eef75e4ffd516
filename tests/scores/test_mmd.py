"""MMD^2: the paper's sums, its expectation between Gaussians, the median heuristic, and what it does not depend on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from sklearn.metrics.pairwise import rbf_kernel

from gapkit.errors import DataError, OptionError, UndefinedError
from gapkit.scores.inputs import PairInputs
from gapkit.scores.mmd import Mmd, mmd2
from gapkit.scores.subsample import subsample_pair


def naive_mmd2(x, y, bandwidth):
    """Equation 3 of the paper, a loop for each sum."""

    def k(u, v):
        return np.exp(-((u - v) ** 2).sum() / (2 * bandwidth**2))

    n, m = len(x), len(y)
    first = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if j != i) / (n * (n - 1))
    second = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if j != i) / (m * (m - 1))
    return first + second - 2 / (n * m) * sum(k(u, v) for u in x for v in y)


def two_samples(seed, n=15, m=11, d=4):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), 0.5 + 1.3 * rng.normal(size=(m, d))


def rotation(seed, d):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]


@pytest.mark.parametrize("bandwidth", [0.3, 1.0, 4])
@pytest.mark.parametrize("d", [1, 4, 40])
def test_it_is_the_paper_s_unbiased_statistic(bandwidth, d):
    x, y = two_samples(0, d=d)
    assert mmd2(x, y, bandwidth=bandwidth) == pytest.approx(naive_mmd2(x, y, bandwidth), rel=1e-8, abs=1e-14)


def test_it_is_scikit_learn_s_kernel_with_the_median_for_its_width():
    x, y = two_samples(1, n=40, m=30)
    gamma = 1 / (2 * np.median(pdist(np.vstack([x, y]), "sqeuclidean")))
    within = [rbf_kernel(side, gamma=gamma)[~np.eye(len(side), dtype=bool)].mean() for side in (x, y)]
    expected = sum(within) - 2 * rbf_kernel(x, y, gamma=gamma).mean()
    assert mmd2(x, y) == pytest.approx(expected, rel=1e-8)
    assert Mmd().between(PairInputs(target=x, surrogate=y)) == mmd2(x, y)


def test_factors_take_the_mean_of_kernels_around_the_median():
    x, y = two_samples(2)
    median = np.sqrt(np.median(pdist(np.vstack([x, y]), "sqeuclidean")))
    expected = np.mean([naive_mmd2(x, y, factor * median) for factor in (0.5, 1, 2)])
    assert mmd2(x, y, bandwidth=[0.5, 1, 2]) == pytest.approx(expected, rel=1e-8)
    assert mmd2(x, y, bandwidth=[1.0]) == mmd2(x, y)
    assert Mmd(factors=(0.5, 1, 2)).between(PairInputs(target=x, surrogate=y)) == mmd2(x, y, bandwidth=[0.5, 1, 2])


def test_its_expectation_between_gaussians_is_that_of_the_distributions():
    d, shift, s = 3, 0.8, 1.5
    factor = (s**2 / (s**2 + 2)) ** (d / 2)  # E k(u, v) for u - v ~ N(delta, 2 I)
    expected = 2 * factor * (1 - np.exp(-(shift**2) / (2 * (s**2 + 2))))
    rng = np.random.default_rng(3)
    drawn, same = [], []
    for _ in range(800):
        x, y, z = rng.normal(size=(5, d)), rng.normal(size=(7, d)), rng.normal(size=(7, d))
        y[:, 0] += shift
        drawn.append(mmd2(x, y, bandwidth=s))
        same.append(mmd2(x, z, bandwidth=s))
    assert abs(np.mean(drawn) - expected) < 4 * np.std(drawn) / np.sqrt(800)
    assert abs(np.mean(same)) < 4 * np.std(same) / np.sqrt(800)
    assert min(same) < 0


@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 12), m=st.integers(2, 12), d=st.integers(1, 6))
def test_order_sides_shifts_rotations_and_scales_change_nothing(seed, n, m, d):
    x, y = two_samples(seed, n, m, d)
    rng, expected = np.random.default_rng(seed), mmd2(x, y)
    turn = rotation(seed, d)
    assert mmd2(rng.permutation(x), rng.permutation(y)) == pytest.approx(expected, rel=1e-8, abs=1e-10)
    assert mmd2(y, x) == pytest.approx(expected, rel=1e-8, abs=1e-10)
    assert mmd2(x @ turn + 3, y @ turn + 3) == pytest.approx(expected, rel=1e-8, abs=1e-10)
    assert mmd2(1e8 * x, 1e8 * y) == pytest.approx(expected, rel=1e-8, abs=1e-10)
    assert mmd2(1e-8 * x, 1e-8 * y) == pytest.approx(expected, rel=1e-8, abs=1e-10)
    assert -(1 / n + 1 / m) <= expected <= 2


@settings(derandomize=True, deadline=None, max_examples=10)
@given(seed=st.integers(0, 10**6))
def test_a_subsample_changes_none_of_that(seed):
    x, y = two_samples(seed, 30, 40, 3)
    rng, turn, distance = np.random.default_rng(seed), rotation(seed, 3), Mmd(limit=20)
    expected = distance.between(PairInputs(target=x, surrogate=y))
    assert expected != Mmd().between(PairInputs(target=x, surrogate=y))
    for first, second in [
        (rng.permutation(x), rng.permutation(y)),
        (y, x),
        (100 * (x @ turn) + 3, 100 * (y @ turn) + 3),
    ]:
        assert distance.between(PairInputs(target=first, surrogate=second)) == pytest.approx(expected, rel=1e-8)


def test_no_more_than_the_limit_are_read_and_the_seed_says_which():
    x, y = two_samples(5, 60, 50, 3)
    values = [Mmd(limit=10).between(PairInputs(target=x, surrogate=y, seed=seed)) for seed in range(300)]
    assert len(set(values)) == 300
    assert abs(np.mean(values) - mmd2(x, y)) < 0.02
    assert (
        Mmd(limit=10).between(PairInputs(target=x, surrogate=y)) == values[0] == mmd2(*subsample_pair(x, y, 10, seed=0))
    )


def test_the_kernel_of_one_pair_serves_another():
    x, y = two_samples(6, 30, 30)
    bandwidth = np.sqrt(np.median(pdist(np.vstack([x, y]), "sqeuclidean")))
    fixed = Mmd().anchored(PairInputs(target=x, surrogate=y))
    halves = PairInputs(target=x[:15], surrogate=x[15:])
    assert fixed(halves) == pytest.approx(naive_mmd2(x[:15], x[15:], bandwidth), rel=1e-8)
    assert fixed(halves) != Mmd().between(halves)


def test_duplicates_do_not_take_the_scale_away():
    x = np.repeat(np.array([[0.0], [1.0]]), [9, 1], axis=0)
    y = np.repeat(np.array([[0.0], [3.0]]), [9, 1], axis=0)
    # Pairs of different points: 18 of 0 and 1, 18 of 0 and 3, one of 1 and 3: the median square is 4.
    assert mmd2(x, y) == pytest.approx(naive_mmd2(x, y, 2.0), rel=1e-8)


@pytest.mark.filterwarnings("error")
def test_degenerate_samples():
    same = np.full((4, 2), 0.1)
    assert mmd2(same, same[:2]) == 0.0
    assert mmd2(same, same + 1) == pytest.approx(2 - 2 * np.exp(-1 / 2), rel=1e-8)
    constant = np.hstack([np.arange(4.0)[:, None], np.full((4, 1), 1e6)])
    assert mmd2(constant, constant[:3]) == pytest.approx(mmd2(constant[:, :1], constant[:3, :1]), rel=1e-8)
    wide = np.random.default_rng(0).normal(size=(2, 50))
    assert np.isfinite(mmd2(wide, wide + 1))


def test_half_precision_is_computed_in_double():
    x, y = (side.astype(np.float16) for side in two_samples(7))
    assert mmd2(x, y) == mmd2(x.astype(np.float64), y.astype(np.float64))


def test_what_cannot_be_measured_is_refused_in_words():
    x = np.zeros((3, 2))
    with pytest.raises(UndefinedError, match="1 samples beside 3; expected at least 2 on either side for the unbiased"):
        mmd2(x[:1], x)
    with pytest.raises(UndefinedError, match="3 samples beside 1"):
        Mmd().between(PairInputs(target=x, surrogate=x[:1]))
    with pytest.raises(DataError, match="x has 2 features and y has 1"):
        mmd2(x, x[:, :1])
    for bandwidth in (0.0, -1.0, [], [1.0, 0.0], np.inf, None, "mean", ["a"], True):
        with pytest.raises(OptionError, match="bandwidth"):
            mmd2(x, x, bandwidth=bandwidth)


def test_a_bandwidth_may_be_an_array_of_one_number():
    x = np.random.default_rng(0).normal(size=(8, 2))
    assert mmd2(x, x + 1, bandwidth=np.array(2.0)) == mmd2(x, x + 1, bandwidth=2.0)
