"""The reference implementations of the estimation against closed forms and examples worked by hand."""

from __future__ import annotations

import importlib.util
from collections import Counter
from math import factorial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

_spec = importlib.util.spec_from_file_location("naive_estimates", Path(__file__).with_name("naive_estimates.py"))
estimates = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(estimates)
naive = estimates.naive

LABELS = np.array([0, 0, 0, 1, 1, 2])
FOLDS = np.array([0, 0, 1, 0, 1, -1])


def losses(seed, n=30):
    """(x, y): positive losses of a map and of the prior."""
    rng = np.random.default_rng([seed, 72])
    return rng.exponential(size=n), rng.exponential(size=n) + 0.5


def resamples(seed, n, r):
    return list(np.random.default_rng([seed, 73]).integers(n, size=(r, n)))


def test_cross_fitted_prior_by_hand():
    """Outside fold 0: classes 0, 1, 2; outside fold 1: 0, 0, 1, 2. The last sample is on every fitting side."""
    prior = estimates.cross_fitted_prior(LABELS, FOLDS, 3)
    assert prior[[0, 1, 3]] == pytest.approx(np.full((3, 3), 1 / 3))
    assert prior[[2, 4]] == pytest.approx(np.array([[2.5, 1.5, 1.5]] * 2) / 5.5)
    assert np.isnan(prior[5]).all()
    left_with_fold_0 = estimates.cross_fitted_prior(LABELS, FOLDS, 3, np.array([0, 0, 1, 0, 1, 0]))
    assert left_with_fold_0[0] == pytest.approx(np.array([1.5, 1.5, 0.5]) / 3.5)
    assert left_with_fold_0[2] == pytest.approx(prior[2])


def test_normalised_values_by_hand():
    q = np.array([[0.8, 0.1, 0.1]] * 3 + [[0.5, 0.25, 0.25]] * 2 + [[np.nan] * 3])
    own = -3 * np.log(0.8) - 2 * np.log(0.25)
    prior = 3 * np.log(3) + np.log(5.5 / 2.5) + np.log(5.5 / 1.5)
    assert estimates.raw_value("kl", q, LABELS, FOLDS) == pytest.approx(own / 5)
    assert estimates.normalised_value("kl", q, LABELS, FOLDS) == pytest.approx(own / prior)
    assert estimates.mcfadden_share(q, LABELS, FOLDS) == pytest.approx(1 - own / prior)
    # The modes: a tie of three in fold 0 (error 2 / 3 each), class 0 in fold 1 (one right, one wrong).
    assert estimates.normalised_value("zero_one", q, LABELS, FOLDS) == pytest.approx(2 / 3)


@pytest.mark.parametrize("name", list(naive.DISCREPANCIES))
def test_the_ends_of_the_scale(name):
    prior = estimates.cross_fitted_prior(LABELS, FOLDS, 3)
    assert estimates.normalised_value(name, prior, LABELS, FOLDS) == pytest.approx(1)
    assert estimates.normalised_value(name, np.eye(3)[LABELS], LABELS, FOLDS) == pytest.approx(0, abs=1e-12)
    soft = np.random.default_rng(1).dirichlet(np.ones(3), size=6)
    perfect = estimates.normalised_value(name, soft, LABELS, FOLDS, soft)
    assert (perfect < 1e-12) == (name != "zero_one")  # of a soft conditional even the best guess errs


def test_parts_sum_to_the_injection_for_values_and_for_samples():
    values = dict(zip(("injection", "channel", "linear", "ceiling"), (0.9, 0.7, 0.75, 0.6), strict=True))
    parts = estimates.decomposition(**values)
    assert parts == pytest.approx({"relabelling": 0.2, "readout": -0.05, "nonlinear": 0.15, "absent_or_noise": 0.6})
    assert sum(parts.values()) == pytest.approx(0.9)
    samples = {name: losses(k)[0] for k, name in enumerate(values)}
    assert sum(estimates.decomposition(**samples).values()) == pytest.approx(samples["injection"])


def test_bootstrap_interval_by_hand():
    """Losses 1, 2, 3 of mean 2 and error 1 / sqrt 3; samples (1, 1, 3) have mean 5 / 3, error 2 / 3, so t = -1 / 2.

    (3, 3, 1) has t = 1 / 2; between two statistics the quantiles are 2.5 % inside.
    """
    draws = [np.array([0, 0, 2]), np.array([2, 0, 2])]
    value, low, high = estimates.bootstrap_interval(np.array([1.0, 2, 3]), np.ones(3), draws)
    assert value == 2
    assert (low, high) == pytest.approx((2 - 0.475 / np.sqrt(3), 2 + 0.475 / np.sqrt(3)))


def test_errors_by_hand():
    """A resample of mean 5 / 3: the floor 12 / (sum y)^2 = 4 / 3 under error*^2 makes t = -(1 / 3) / sqrt(4 / 3)."""
    assert estimates.standard_error(np.array([-1.0, 0, 1])) == pytest.approx(np.sqrt(3))
    draws = [np.array([0, 0, 2])]
    _, low, high = estimates.bootstrap_interval(np.array([1.0, 2, 3]), np.ones(3), draws, least=12)
    assert (low, high) == pytest.approx((2 + 1 / 3 / np.sqrt(4 / 3) / np.sqrt(3),) * 2)


def test_interval_of_a_raw_value_is_students_t_of_a_mean():
    x, draws = losses(0)[0], resamples(0, 30, 99)
    t = [(x[d].mean() - x.mean()) / (x[d].std(ddof=1) / np.sqrt(30)) for d in draws]
    expected = x.mean() - x.std(ddof=1) / np.sqrt(30) * np.quantile(t, [0.975, 0.025])
    assert estimates.bootstrap_interval(x, np.ones(30), draws)[1:] == pytest.approx(tuple(expected))


def test_intervals_follow_their_values():
    x, y = losses(1)
    draws = resamples(1, 30, 60)
    found = np.array(estimates.bootstrap_interval(x, y, draws))
    assert np.array(estimates.bootstrap_interval(3 * x, y, draws)) == pytest.approx(3 * found)
    shifted = np.array(estimates.bootstrap_interval(x + 2 * y, y, draws))
    assert shifted == pytest.approx(found + 2)
    mirrored = estimates.bootstrap_interval(-x, y, draws)
    assert mirrored == pytest.approx((-found[0], -found[2], -found[1]))
    assert estimates.bootstrap_interval(0.7 * y, y, draws, least=1e-12) == pytest.approx((0.7, 0.7, 0.7))


def test_copies_in_groups_count_once():
    x, y = losses(2)
    draws = resamples(2, 30, 40)
    copied = estimates.bootstrap_interval(np.repeat(x, 4), np.repeat(y, 4), draws, np.repeat(np.arange(30), 4))
    assert copied == pytest.approx(estimates.bootstrap_interval(x, y, draws))


def test_a_floor_under_the_error_only_draws_statistics_in():
    x, y = losses(3)
    draws = resamples(3, 30, 40)
    value, low, high = estimates.bootstrap_interval(x, y, draws)
    _, inner_low, inner_high = estimates.bootstrap_interval(x, y, draws, least=1e3)
    assert low < inner_low < value < inner_high < high
    assert estimates.bootstrap_interval(x, y, draws, least=1e-9) == pytest.approx((value, low, high))


def test_the_error_is_the_first_order_of_the_macro_ratio():
    """Each unit's share is the derivative of the value by the unit's weight, here by a difference quotient."""
    x, y = (np.stack([losses(4)[k], losses(5)[k]], axis=1) for k in (0, 1))
    value, e, _ = estimates.macro_ratio(x, y)
    assert value == pytest.approx((x[:, 0].sum() / y[:, 0].sum() + x[:, 1].sum() / y[:, 1].sum()) / 2)
    for i in range(5):
        weight = 1 + 1e-6 * (np.arange(30) == i)[:, None]
        assert (estimates.macro_ratio(weight * x, weight * y)[0] - value) / 1e-6 == pytest.approx(e[i], abs=1e-6)


def test_macro_interval_of_equal_labels_is_the_interval_of_one():
    x, y = losses(6)
    draws = resamples(6, 30, 40)
    twice = estimates.macro_interval(np.stack([x, x], axis=1), np.stack([y, y], axis=1), draws)
    assert twice == pytest.approx(estimates.bootstrap_interval(x, y, draws))
    opposed = estimates.macro_interval(np.stack([x, 2 * y - x], axis=1), np.stack([y, y], axis=1), draws, least=1e-12)
    assert opposed == pytest.approx((1.0, 1.0, 1.0))  # only a shared resample lets the labels cancel


def test_intervals_cover_a_ratio():
    """150 worlds of true value 1; a coverage of 0.95 falls outside [0.9, 0.99] with a probability of about 1 %."""
    hits = 0
    for seed in range(150):
        rng = np.random.default_rng([seed, 74])
        y = rng.gamma(2.0, size=60)
        _, low, high = estimates.bootstrap_interval(y * rng.gamma(4.0, 0.25, size=60), y, resamples(seed, 60, 200))
        hits += low <= 1 <= high
    assert 0.9 <= hits / 150 <= 0.99


def test_macro_value_by_hand():
    indicators, folds = np.stack([LABELS == 0, LABELS == 1], axis=1).astype(int), np.stack([FOLDS, FOLDS], axis=1)
    right, prior = np.eye(2)[indicators[:, 0]], estimates.cross_fitted_prior(indicators[:, 1], FOLDS, 2)
    assert estimates.macro_value("kl", [right, prior], indicators, folds) == pytest.approx(0.5)


def test_r_squared_by_hand():
    """Bins of the values 0, 1 | 4, 5 in two folds: on either fitting side the bins' means are one value each."""
    values, bins, folds = np.array([0.0, 1, 4, 5]), np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    around = (0 - 3) ** 2 + (1 - 2) ** 2 + (4 - 3) ** 2 + (5 - 2) ** 2
    assert estimates.binned_r_squared(np.eye(2)[bins], bins, values, folds) == pytest.approx(1 - 4 / around)
    even = np.full((4, 2), 0.5)
    assert estimates.binned_r_squared(even, bins, values, folds) == pytest.approx(0)
    assert estimates.binned_r_squared(even, bins, values, np.array([0, 1, -1, -1])) == pytest.approx(
        1 - (2.75**2 + 1.25**2) / ((10 / 3) ** 2 + 2**2)
    )
    # Bin 0 is empty outside fold 0, where its mean is that of 4 and 5, like bin 1's.
    assert estimates.binned_r_squared(even, bins, values, np.array([0, 0, -1, -1])) == pytest.approx(0)


def test_p_value_by_hand():
    assert estimates.permutation_p_value(0.5, [0.4, 0.5, 0.6]) == 0.75
    assert estimates.permutation_p_value(0.3, [0.4, 0.5, 0.6]) == 0.25
    assert estimates.permutation_p_value(0.5 - 1e-15, [0.5, 0.5, 0.6], tolerance=1e-12) == 0.75


@given(st.lists(st.integers(0, 3), min_size=2, max_size=12))
def test_p_values_are_valid_with_ties(values):
    """Exchangeable statistics: each of them may be the observed one, and at most a share a of them has p <= a."""
    p = [estimates.permutation_p_value(v, values[:i] + values[i + 1 :]) for i, v in enumerate(values)]
    assert all(sum(other <= a + 1e-12 for other in p) <= a * len(values) + 1e-9 for a in p)


def test_relabellings_keep_each_folds_labels_and_are_drawn_as_often_as_they_are_likely():
    labels, folds = np.array([0, 0, 1, 1, 2]), np.array([0, 0, 0, 1, 1])
    likely = Counter(tuple(new) for new in estimates.every_permutation(labels, folds))
    assert sum(likely.values()) == factorial(3) * factorial(2)
    assert all(sorted(new[:3]) == [0, 0, 1] and sorted(new[3:]) == [1, 2] for new in likely)
    rng = np.random.default_rng(8)
    seen = Counter(tuple(estimates.permute_within(labels, folds, rng)) for _ in range(2400))
    assert set(seen) == set(likely)
    assert all(abs(seen[new] / 200 - likely[new]) < 0.2 * likely[new] for new in likely)


def test_relabellings_respect_groups():
    """Constant groups of one fold exchange labels as wholes; beside mixed ones only if they are of equal size."""
    constant, groups = np.array([0, 0, 0, 1, 2, 2]), np.array([0, 0, 0, 1, 2, 2])
    found = {tuple(new) for new in estimates.every_permutation(constant, np.array([0, 0, 0, 0, 1, 1]), groups)}
    assert found == {(0, 0, 0, 1, 2, 2), (1, 1, 1, 0, 2, 2)}
    mixed, groups = np.array([0, 1, 0, 1, 1, 0]), np.array([0, 0, 1, 2, 3, 3])
    mixed[4:] = 1
    found = {tuple(new) for new in estimates.every_permutation(mixed, np.zeros(6, dtype=int), groups)}
    assert found == {(*pair, *singles, 1, 1) for pair in ((0, 1), (1, 0)) for singles in ((0, 1), (1, 0))}
