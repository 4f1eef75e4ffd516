"""The jackknife against closed forms: the mean's standard error, its coverage, and how blocks are dealt."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gapkit.arrays import generator
from gapkit.errors import UndefinedError
from gapkit.statistics.jackknife import Jackknife, deal, deal_classes, joint_draws, kept


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


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 45), min_size=1, max_size=8), st.integers(4, 20), st.integers(0, 5), st.booleans())
def test_blocks_of_a_layer_hold_as_many_of_each_of_its_classes(counts, blocks, seed, grouped):
    rng = generator(seed)
    units = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    groups = np.repeat(np.arange(len(units)), rng.integers(1, 4, len(units))) if grouped else None
    classes = units if groups is None else units[groups]
    if np.mean(np.array(counts) < 4) > 0.25:
        with pytest.raises(UndefinedError, match="[0-9] group" if grouped else "[0-9] sample"):
            deal_classes(classes, blocks, groups=groups, seed=seed)
        return
    found = deal_classes(classes, blocks, groups=groups, seed=seed)
    ids = found.ids if groups is None else found.ids[np.unique(groups, return_index=True)[1]]
    if groups is not None:
        assert (ids[groups] == found.ids).all()
    assert found.alone == counts.count(1)
    assert (np.unique(ids[ids >= 0]) == np.arange(len(found.layers))).all()
    layer_of = {code: set(found.layers[ids[(units == code) & (ids >= 0)]].tolist()) for code in range(len(counts))}
    for layer in set(found.layers.tolist()):
        own = np.flatnonzero(found.layers == layer)
        members = [code for code, layers in layer_of.items() if layer in layers]
        assert len(own) == min(blocks, min(counts[code] for code in members))
        for code in members:
            held = np.bincount(ids[units == code], minlength=len(found.layers))[own]
            assert held.sum() == counts[code]
            assert np.ptp(held) <= 1
    assert all(len(layers) == (counts[code] > 1) for code, layers in layer_of.items())


def test_groups_of_several_classes_are_dealt_in_one_layer():
    groups, classes = np.repeat(np.arange(9), 4), np.tile([0, 0, 1, 2], 9)
    found = deal_classes(classes, 20, groups=groups)
    assert found.layers.tolist() == [0] * 9
    assert all(len(np.unique(found.ids[groups == group])) == 1 for group in range(9))
    with pytest.raises(UndefinedError, match="3 groups"):
        deal_classes(classes[:12], 20, groups=groups[:12])


def test_classes_of_two_layers_give_the_interval_of_welchs_test():
    """Twenty blocks of one sample, and seven of one: standard error and degrees of freedom are exactly Welch's."""
    x, y = generator(4).normal(size=20), 3 * generator(5).normal(size=7)
    values, classes = np.append(x, y), np.repeat([0, 1], [20, 7])
    dealt = deal_classes(classes, 20)

    def difference(index):
        return values[index][classes[index] == 0].mean() - values[index][classes[index] == 1].mean()

    replicates = np.array([difference(kept(dealt.ids, block)) for block in range(27)])
    found = Jackknife(value=difference(np.arange(27)), replicates=replicates, layers=dealt.layers)
    welch = stats.ttest_ind(x, y, equal_var=False)
    assert found.freedom == pytest.approx(welch.df, rel=1e-9)
    assert found.interval() == pytest.approx(tuple(welch.confidence_interval()), rel=1e-9)
    still = Jackknife(value=1.0, replicates=np.ones(27), layers=dealt.layers)
    assert still.interval() == (1.0, 1.0)


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
