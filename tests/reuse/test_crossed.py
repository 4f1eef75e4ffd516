"""Variances over samples and seeds against enumeration of small worlds, loops over resampled tables, and simulation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gapkit.reuse import crossed
from gapkit.reuse.crossed import (
    Crossed,
    cross,
    crossed_error,
    crossed_estimates,
    influences,
    total_variance,
    unrejected_shares,
    variance_parts,
)


def mean_of_seeded(means):
    """The mean of the only seeded number."""
    gradient = np.zeros(means.shape)
    gradient[:, -1] = 1.0
    return means[:, -1], gradient


def ratio(means):
    """(second - seeded) / (first - seeded)."""
    t, p, r = means.T
    value = (p - r) / (t - r)
    return value, np.stack([-value, np.ones(len(value)), value - 1], axis=1) / (t - r)[:, None]


def product(means):
    """A function that is no ratio: first^2 times seeded."""
    t, _, r = means.T
    return t**2 * r, np.stack([2 * t * r, 0 * t, t**2], axis=1)


def draw(seed, n=30, s=5, groups=None):
    rng = np.random.default_rng([seed, 80])
    fixed = (rng.random((n, 2)) < [0.9, 0.7]).astype(float)
    seeded = (rng.random((n, 1, s)) < 0.3).astype(float)
    return cross(fixed, seeded, groups)


@pytest.mark.parametrize(("g", "s"), [(2, 2), (3, 2), (2, 3)])
def test_the_variance_is_without_bias_over_all_samples_of_a_small_world(g, s):
    world = np.array([[0.0, 1.0, 4.0], [1.0, 1.0, 0.0], [5.0, -2.0, 1.0], [2.0, 2.0, 7.0]])
    means, estimates = [], []
    for units in itertools.product(range(4), repeat=g):
        for seeds in itertools.product(range(3), repeat=s):
            table = world[np.ix_(units, seeds)]
            means.append(table.mean())
            units_part, seeds_part, rest = variance_parts(table)
            estimates.append(units_part + seeds_part - rest)
    assert np.mean(estimates) == pytest.approx(np.var(means), rel=1e-12)


def naive_parts(table):
    """The two-way analysis of variance, by loops."""
    g, s = len(table), len(table[0])
    grand = sum(map(sum, table)) / (g * s)
    rows = [sum(row) / s for row in table]
    columns = [sum(row[j] for row in table) / g for j in range(s)]
    rest = sum((table[i][j] - rows[i] - columns[j] + grand) ** 2 for i in range(g) for j in range(s))
    return (
        sum((row - grand) ** 2 for row in rows) / (g - 1) / g,
        sum((column - grand) ** 2 for column in columns) / (s - 1) / s,
        rest / ((g - 1) * (s - 1)) / (g * s),
    )


@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), g=st.integers(2, 7), s=st.integers(2, 6), power=st.sampled_from([-8, 0, 8]))
def test_parts_equal_loops_and_the_total_is_never_below_one_of_them(seed, g, s, power):
    table = np.random.default_rng(seed).normal(size=(g, s)) * 10.0**power + 3
    parts = variance_parts(table)
    assert parts == pytest.approx(naive_parts((table - 3).tolist()), rel=1e-6)
    assert total_variance(parts) >= parts.max() * (1 - 1e-12)
    assert variance_parts(table.T) == pytest.approx(parts[[1, 0, 2]], rel=1e-9)


def test_without_seeds_it_is_the_usual_standard_error():
    hits = (np.random.default_rng(1).random(50) < 0.6).astype(float)
    data = cross(np.stack([hits, hits], axis=1), np.zeros((50, 1, 5)))
    error = crossed_error(data, lambda m: (m[:, 0], np.tile([1.0, 0.0, 0.0], (len(m), 1))))
    assert error == pytest.approx(hits.std(ddof=1) / np.sqrt(50), rel=1e-12)


def test_without_samples_that_differ_it_is_that_of_the_seeds():
    rates = np.array([0.1, 0.5, 0.2, 0.9, 0.4])
    data = cross(np.zeros((40, 1)), np.tile(rates, (40, 1, 1)))
    assert crossed_error(data, mean_of_seeded) == pytest.approx(rates.std(ddof=1) / np.sqrt(5), rel=1e-12)


@pytest.mark.parametrize("function", [ratio, product])
def test_influences_are_derivatives_with_respect_to_the_weight_of_a_unit(function):
    data = draw(2, groups=np.arange(30) % 11)
    found = influences(data, function)
    step = 1e-6
    for unit in range(11):
        weights = np.ones(11)
        weights[unit] += step * 11
        moved = Crossed(
            fixed=data.fixed * weights[:, None],
            seeded=data.seeded * weights[:, None, None],
            sizes=data.sizes * weights,
        )
        slope = (function(moved.means[None])[0][0] - function(data.means[None])[0][0]) / step
        assert found[unit].mean() == pytest.approx(slope, abs=1e-4)
    assert found.mean() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("function", [ratio, product])
@pytest.mark.parametrize("groups", [None, np.arange(30) % 7])
def test_resampled_statistics_equal_those_of_tables_that_are_written_out(function, groups):
    data = draw(3, groups=groups)
    (block,) = crossed._resampled(data, 40, 9)
    found = crossed._statistics(data.means, block, function, 0.0)
    counts = next(crossed.resampling_counts(len(data.sizes), 40, seed=9))
    for b in range(40):
        units = np.repeat(np.arange(len(data.sizes)), counts[b].astype(int))
        seeds = np.repeat(np.arange(5), block.seeds[b].astype(int))
        again = Crossed(fixed=data.fixed[units], seeded=data.seeded[units][:, :, seeds], sizes=data.sizes[units])
        value, observed = (function(one.means[None])[0][0] for one in (again, data))
        error = np.sqrt(total_variance(np.array(naive_parts(influences(again, function).tolist()))))
        assert found[b] == pytest.approx((value - observed) / error, rel=1e-7)


def test_the_interval_is_that_of_the_formula():
    data = draw(4)
    (found,) = crossed_estimates(data, [ratio], resamples=300, seed=2)
    table = influences(data, ratio)
    units, seeds, rest = naive_parts(table.tolist())
    variance = max(units, rest) + max(seeds, rest) - rest
    share = max(seeds, rest) / variance
    student = stats.t.ppf(0.975, 1 / ((1 - share) ** 2 / 29 + share**2 / 4))
    shares = [np.sum(m**4) / np.sum(m**2) ** 2 for m in (table.mean(axis=1), table.mean(axis=0))]
    least = units * shares[0] + seeds * shares[1]
    (block,) = crossed._resampled(data, 300, 2)
    low, high = np.quantile(crossed._statistics(data.means, block, ratio, least), [0.025, 0.975])
    error = np.sqrt(variance)
    assert found.standard_error == pytest.approx(error, rel=1e-10)
    assert found.low == pytest.approx(found.value - max(high, student) * error, rel=1e-10)
    assert found.high == pytest.approx(found.value - min(low, -student) * error, rel=1e-10)
    assert crossed_estimates(data, [product, ratio], resamples=300, seed=2)[1] == found


def test_a_resample_without_variance_has_what_one_unit_and_one_seed_bring():
    fixed = np.zeros((30, 2))
    fixed[0] = 1.0  # a third of the resamples lack it
    data = cross(fixed, np.zeros((30, 1, 5)))

    def first(means):
        return means[:, 0], np.tile([1.0, 0.0, 0.0], (len(means), 1))

    (block,) = crossed._resampled(data, 200, 1)
    table = influences(data, first).mean(axis=1)
    least = np.square(table).sum() / (30 * 29) * np.sum(table**4) / np.sum(table**2) ** 2
    assert crossed._least(influences(data, first)) == pytest.approx(least, rel=1e-12)
    lacking = block.shift[:, 0] < -1 / 30 + 1e-12
    assert 40 < lacking.sum() < 100
    found = crossed._statistics(data.means, block, first, least)
    assert found[lacking] == pytest.approx(-1 / 30 / np.sqrt(least), rel=1e-9)
    (estimate,) = crossed_estimates(data, [first], resamples=200, seed=1)
    expected = 1 / 30 + estimate.standard_error / 30 / np.sqrt(least)
    assert estimate.high == pytest.approx(max(expected, estimate.value + stats.t.ppf(0.975, 29) * 1 / 30), rel=1e-9)


def test_what_does_not_vary_is_a_point():
    data = cross(np.ones((20, 2)), np.zeros((20, 1, 5)))
    (found,) = crossed_estimates(data, [ratio], resamples=50, seed=0)
    assert (found.value, found.standard_error, found.low, found.high) == (1.0, 0.0, 1.0, 1.0)


def above(means):
    return means[:, 1] - means[:, 2], np.tile([0.0, 1.0, -1.0], (len(means), 1))


def below(means):
    return means[:, 0] - means[:, 2], np.tile([1.0, 0.0, -1.0], (len(means), 1))


@pytest.mark.parametrize(("seed", "n"), [(5, 12), (6, 30), (7, 200)])
def test_unrejected_shares_are_those_of_a_test_at_each_share(seed, n):
    data = draw(seed, n=n)
    kept = []
    for share in np.linspace(0, 1, 1001):

        def difference(means, share=share):
            return above(means)[0] - share * below(means)[0], above(means)[1] - share * below(means)[1]

        units, seeds, rest = naive_parts(influences(data, difference).tolist())
        variance = max(units, rest) + max(seeds, rest) - rest
        part = max(seeds, rest) / variance
        freedom = 1 / ((1 - part) ** 2 / (n - 1) + part**2 / 4)
        if abs(difference(data.means[None])[0][0]) <= stats.t.ppf(0.975, freedom) * np.sqrt(variance):
            kept.append(share)
    assert unrejected_shares(data, above, below) == pytest.approx((min(kept), max(kept)), abs=1e-12)
    assert kept[0] < kept[-1]


def test_a_denominator_that_may_be_zero_leaves_every_share():
    rng = np.random.default_rng(8)
    hits = (rng.random((40, 2)) < 0.5).astype(float)
    data = cross(hits, (rng.random((40, 1, 5)) < 0.5).astype(float))
    assert unrejected_shares(data, above, below) == (0.0, 1.0)
    certain = cross(np.ones((20, 2)) * [1.0, 3.0], np.zeros((20, 1, 5)))  # a share of 3
    assert unrejected_shares(certain, above, below) == (1.0, 0.0)


def test_groups_are_units_whatever_their_codes_and_order():
    codes = np.arange(30) % 7
    order = np.random.default_rng(9).permutation(30)
    rng = np.random.default_rng(10)
    fixed, seeded = rng.random((30, 2)), rng.random((30, 1, 5))
    first = cross(fixed, seeded, codes)
    again = cross(fixed[order], seeded[order], (codes * 3 + 5)[order])
    assert first.sizes.tolist() == again.sizes.tolist() == [5, 5, 4, 4, 4, 4, 4]
    np.testing.assert_allclose(first.fixed, again.fixed, rtol=1e-12)
    np.testing.assert_allclose(first.seeded, again.seeded, rtol=1e-12)
    assert first.means == pytest.approx([*fixed.mean(axis=0), seeded.mean()])
