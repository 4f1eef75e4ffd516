"""The jackknife against closed forms: the mean's standard error, its coverage, and how blocks are dealt."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gapkit.arrays import generator
from gapkit.statistics.jackknife import Jackknife, deal, joint_draws, kept


def jackknifed(statistic, x, blocks):
    replicates = [statistic(x[kept(blocks, block)]) for block in range(int(blocks.max()) + 1)]
    return Jackknife(value=float(statistic(x)), replicates=np.array(replicates))


def test_one_sample_a_block_gives_the_standard_error_of_the_mean():
    x = generator(0).normal(size=30)
    found = jackknifed(np.mean, x, np.arange(30))
    assert found.standard_error == pytest.approx(x.std(ddof=1) / np.sqrt(30), rel=1e-12)
    assert found.interval() == pytest.approx(stats.t.interval(0.95, 29, x.mean(), stats.sem(x)), rel=1e-12)


def test_equal_blocks_give_the_standard_error_of_the_mean_of_block_means():
    x = generator(1).normal(size=60)
    blocks = deal(60, 20, seed=0)
    means = np.array([x[blocks == block].mean() for block in range(20)])
    assert jackknifed(np.mean, x, blocks).standard_error == pytest.approx(stats.sem(means), rel=1e-9)


@pytest.mark.parametrize("statistic", [np.mean, lambda x: np.log(x.var()), lambda x: x.mean() ** 3])
def test_intervals_hold_the_truth_as_often_as_they_say(statistic):
    rng, worlds = generator(2), 400
    truth = statistic(rng.gamma(3.0, size=2_000_000))
    hits = 0
    for _ in range(worlds):
        low, high = jackknifed(statistic, rng.gamma(3.0, size=400), deal(400, 20, seed=0)).interval()
        hits += low <= truth <= high
    assert 0.95 - hits / worlds < 3 * np.sqrt(0.95 * 0.05 / worlds) + 0.01


def test_interval_stays_within_the_range_and_holds_the_value():
    found = Jackknife(value=0.9, replicates=np.array([0.5, 0.9, 0.99, 0.7]))
    assert found.interval(within=(None, 1.0))[1] == 1.0
    assert found.interval(within=(0.85, None))[0] == 0.85
    above = Jackknife(value=1.0 + 1e-12, replicates=np.full(4, 1.0))
    assert above.interval(within=(0.0, 1.0)) == (1.0 + 1e-12, 1.0 + 1e-12)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.integers(4, 60), st.integers(2, 20), st.integers(0, 5), st.booleans())
def test_blocks_are_even_spread_strata_and_keep_groups_whole(n, blocks, seed, grouped):
    rng = generator(seed)
    strata = rng.integers(0, 3, n)
    groups = rng.integers(0, 8, n) if grouped else None
    found = deal(n, blocks, strata=strata, groups=groups, seed=seed)
    units = n if groups is None else len(np.unique(groups))
    if min(units, blocks) < 4:
        assert found is None
        return
    assert len(np.unique(found)) == min(units, blocks)
    if groups is None:
        assert np.ptp(np.bincount(found)) <= 1
        for stratum in range(3):
            assert np.ptp(np.bincount(found[strata == stratum], minlength=found.max() + 1)) <= 1
    else:
        assert all(len(np.unique(found[groups == group])) == 1 for group in np.unique(groups))


def test_joint_draws_have_the_covariance_of_the_jackknife():
    rng = generator(3)
    x = rng.normal(size=(200, 2)) @ np.array([[1.0, 0.8], [0.0, 0.6]])
    blocks = deal(200, 20, seed=0)
    estimates = [jackknifed(np.mean, column, blocks) for column in x.T]
    drawn = joint_draws(estimates, 20_000, seed=1)
    assert drawn.mean(axis=0) == pytest.approx([estimate.value for estimate in estimates], abs=0.003)
    wanted = np.sum([np.outer(a, a) for a in zip(*(e.deviations for e in estimates), strict=True)], axis=0)
    assert np.cov(drawn.T) == pytest.approx(wanted, rel=0.05)
    assert (drawn == joint_draws(estimates, 20_000, seed=1)).all()
