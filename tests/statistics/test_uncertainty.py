"""Intervals against a loop, in degenerate cases, and by their coverage."""

from __future__ import annotations

import numpy as np
import pytest

from gapkit.statistics.uncertainty import mean_ratio_interval, ratio_intervals, resampling_counts


def naive_interval(x, y, groups, resamples, seed):
    """The docstring's formulas, one resample at a time, on lists of units."""
    units = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    sums = [(x[unit].sum(), y[unit].sum()) for unit in units]
    g = len(sums)

    def ratio_and_error(chosen, center=None):
        a, b = np.array([pair[0] for pair in chosen]), np.array([pair[1] for pair in chosen])
        ratio = a.sum() / b.sum()
        return ratio, np.sqrt(g / (g - 1) * ((a - ratio * b) ** 2).sum()) / b.sum(), b.sum()

    value, error, _ = ratio_and_error(sums)
    e = np.array([a - value * b for a, b in sums])
    least = g / (g - 1) * (e**4).sum() / (e**2).sum()
    statistics = []
    for counts in resampling_counts(g, resamples, seed=seed):
        for row in counts:
            chosen = [sums[k] for k in range(g) for _ in range(int(row[k]))]
            ratio, spread, total = ratio_and_error(chosen)
            statistics.append((ratio - value) / max(spread, np.sqrt(least) / total))
    low, high = np.quantile(statistics, [0.025, 0.975])
    return value, value - max(high, 0) * error, value - min(low, 0) * error


@pytest.mark.parametrize("grouped", [False, True])
def test_equals_a_naive_loop(grouped):
    rng = np.random.default_rng(0)
    x, y = rng.exponential(size=(2, 40))
    groups = rng.integers(12, size=40) if grouped else np.arange(40)
    found = ratio_intervals(
        np.stack([x, x], axis=1),
        np.stack([np.ones(40), y], axis=1),
        groups=groups if grouped else None,
        resamples=200,
        seed=5,
    )
    for column, denominator in enumerate((np.ones(40), y)):
        expected = naive_interval(x, denominator, groups, 200, 5)
        got = found.value[column], found.low[column], found.high[column]
        assert got == pytest.approx(expected, rel=1e-9)


def test_resamples_draw_n_units_each_and_blocks_do_not_matter(monkeypatch):
    whole = np.concatenate(list(resampling_counts(30, 50, seed=1)))
    assert (whole.sum(axis=1) == 30).all()
    monkeypatch.setattr("gapkit.statistics.uncertainty.BLOCK_ENTRIES", 90)
    pieces = np.concatenate(list(resampling_counts(30, 50, seed=1)))
    assert np.array_equal(whole, pieces)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("x", [np.zeros(20), np.full(20, 0.3), np.eye(20)[0], np.append(np.ones(19), 1e9)])
def test_degenerate_losses(x):
    y = np.linspace(1, 2, 20)
    columns = np.stack([x, x, 0.7 * y], axis=1)
    found = ratio_intervals(columns, np.stack([np.ones(20), y, y], axis=1), resamples=100)
    for array in (found.value, found.low, found.high, found.standard_error):
        assert np.isfinite(array).all()
    assert (found.low <= found.value).all()
    assert (found.value <= found.high).all()
    assert found.low[2] == found.high[2] == pytest.approx(0.7)


@pytest.mark.filterwarnings("error")
def test_a_single_group_has_a_point_interval():
    found = ratio_intervals(np.arange(4.0)[:, None], np.ones((4, 1)), groups=np.zeros(4, dtype=int), resamples=100)
    assert found.low[0] == found.value[0] == found.high[0] == 1.5


def coverage(draw, truth: float, worlds: int) -> float:
    """Share of worlds whose interval of sum x / sum y holds the truth."""
    hits = 0
    for seed in range(worlds):
        x, y, groups = draw(np.random.default_rng([2, seed]))
        found = ratio_intervals(x[:, None], y[:, None], groups=groups, resamples=400, seed=seed)
        hits += found.low[0] <= truth <= found.high[0]
    return hits / worlds


def skewed(rng):
    y = rng.gamma(2.0, size=150)
    return y * rng.exponential(size=150), y, None


def clustered(rng):
    groups = np.repeat(np.arange(30), 5)
    level = rng.normal(size=30)[groups]
    return 2 + level + rng.normal(size=150), np.ones(150), groups


def rare_errors(rng):
    return (rng.random(300) < 0.05).astype(float), np.ones(300), None


@pytest.mark.parametrize(("draw", "truth"), [(skewed, 1.0), (clustered, 2.0), (rare_errors, 0.05)])
def test_intervals_cover(draw, truth):
    # 300 worlds: a coverage of 0.95 falls below 0.91 or above 0.985 with a probability of 0.3 %.
    assert 0.91 <= coverage(draw, truth, 300) <= 0.985


def test_ignoring_groups_would_not_cover():
    def loose(rng):
        x, y, _ = clustered(rng)
        return x, y, None

    assert coverage(loose, 2.0, 100) < 0.85


@pytest.mark.parametrize("grouped", [False, True])
def test_mean_of_one_ratio_is_that_ratio(grouped):
    rng = np.random.default_rng(21)
    x, y = rng.gamma(1, size=(200, 1)), rng.gamma(2, size=(200, 1))
    groups = rng.integers(30, size=200) if grouped else None
    single, mean = (make(x, y, groups=groups, resamples=300) for make in (ratio_intervals, mean_ratio_interval))
    for name in ("value", "standard_error", "low", "high"):
        assert getattr(mean, name) == pytest.approx(getattr(single, name), rel=1e-9)


def test_mean_of_ratios_with_a_common_denominator_is_the_ratio_of_the_mean():
    rng = np.random.default_rng(22)
    x, y = rng.gamma(1, size=(150, 4)), rng.gamma(2, size=(150, 1))
    joint = ratio_intervals(x.mean(axis=1, keepdims=True), y, resamples=300)
    mean = mean_ratio_interval(x, np.tile(y, (1, 4)), resamples=300)
    assert mean.value == pytest.approx(joint.value, rel=1e-12)
    assert (mean.low, mean.high) == (pytest.approx(joint.low, rel=1e-9), pytest.approx(joint.high, rel=1e-9))


def test_mean_of_ratios_covers():
    """Gamma ratios with dependent numerators; the bound is 3 binomial standard errors of 200 trials below 0.95."""
    hits = 0
    for trial in range(200):
        rng = np.random.default_rng([23, trial])
        x = rng.gamma(1, size=(120, 1)) * rng.gamma(1, size=(120, 3))
        found = mean_ratio_interval(x, rng.gamma(2, size=(120, 3)), resamples=300)
        hits += found.low[0] <= 0.5 <= found.high[0]
    assert hits / 200 >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 200)


def test_mean_of_ratios_without_variation_is_a_point():
    y = np.random.default_rng(24).gamma(2, size=(50, 2))
    found = mean_ratio_interval(y * [1.0, 3.0], y)
    assert (found.value[0], found.low[0], found.high[0]) == pytest.approx((2.0, 2.0, 2.0))
