"""Synthetic worlds: their conditionals, relations, draws and groups."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from scipy import stats

from gapkit.data.worlds import Draw, World, WorldOptions, make_world

IMBALANCED = (0.85, 0.05, 0.05, 0.05)
SURE = 1e-5
"""Probability with which a test of frequencies fails a right world."""

OPTIONS: dict[str, dict[str, Any]] = {
    "injection": {"relation": "injection", "shares": IMBALANCED},
    "injection, shares shifted": {"relation": "injection", "shares": IMBALANCED, "label_shift": True},
    "partition": {"relation": "partition", "n_ignored": 3, "shares": (0.4, 0.3, 0.2, 0.1)},
    "channel": {"relation": "channel", "n_ignored": 2, "shares": IMBALANCED},
    "channel, more target classes": {"relation": "channel", "n_source": 3, "n_target": 5},
    "noise": {"relation": "partition", "label_noise": 0.3, "noise": (0.0, 0.5, 0.25, 0.25)},
    "groups with shifts": {"relation": "injection", "group_size": 4, "group_shift": 0.6},
    "groups with labels": {"relation": "channel", "group_size": 3, "group_label": True, "group_shift": 0.4},
    "features alone": {"relation": "injection", "signal": "features", "label_noise": 0.1},
    "source alone": {"relation": "partition", "signal": "source", "overconfidence": 4.0},
    "neither": {"relation": "injection", "signal": "neither", "shares": IMBALANCED},
}


def world_of(name: str, **changed: Any) -> World:
    """A small world of the list above."""
    options = {"n_source": 9, "n_target": 4, "dimension": 2, "separation": 2.0, "seed": 3} | OPTIONS[name] | changed
    return make_world(WorldOptions(**options))


def naive_source_conditional(world: World, x: np.ndarray) -> np.ndarray:
    """P(z | x) to the power of tau, sample by sample and class by class."""
    densities = [stats.multivariate_normal(mean, 1.0).pdf for mean in world.means]
    rows = []
    for point in x:
        joint = np.array([w * density(point) for w, density in zip(world.source_prior, densities, strict=True)])
        powers = (joint / joint.sum()) ** world.options.overconfidence
        rows.append(powers / powers.sum())
    return np.array(rows)


def naive_posterior(world: World, x: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """P(y | x) by the sum over source classes and over whether the label was replaced."""
    densities = [stats.multivariate_normal(mean, 1.0).pdf for mean in world.means]
    rate, rows = world.options.label_noise, []
    for point in x:
        joint = np.zeros(len(noise))
        for z, density in enumerate(densities):
            for y in range(len(noise)):
                share = (1 - rate) * world.relation[z, y] + rate * noise[y]
                joint[y] += world.drawn[z] * density(point) * share
        rows.append(joint / joint.sum())
    return np.array(rows)


@pytest.mark.parametrize("name", ["injection, shares shifted", "partition", "channel", "noise"])
@pytest.mark.parametrize("tau", [1.0, 2.5])
def test_conditionals_are_those_of_a_naive_loop(name: str, tau: float) -> None:
    world = world_of(name, overconfidence=tau, noise_dimensions=3)
    draw = world.draw(15, seed=1)
    noise = np.array(world.options.noise if name == "noise" else (0.25,) * 4)
    x = draw.features[:, :2]
    np.testing.assert_allclose(np.exp(draw.log_probabilities), naive_source_conditional(world, x), atol=1e-12)
    np.testing.assert_allclose(draw.posterior, naive_posterior(world, x, noise), atol=1e-12)


def miscalibration(probabilities: np.ndarray, labels: np.ndarray, groups: np.ndarray | None) -> float:
    """Smallest p-value over classes and tenths of their probability, times their number; groups are the units."""
    codes = np.arange(len(labels)) if groups is None else groups
    values = []
    for label, expected in enumerate(probabilities.T):
        cuts = np.quantile(expected, np.linspace(0, 1, 11)[1:-1])
        tenth = np.searchsorted(cuts, expected)
        for part in range(10):
            inside = tenth == part
            if (expected * (1 - expected))[inside].sum() > 100:  # enough for the normal distribution
                sums = np.bincount(codes, np.where(inside, (labels == label) - expected, 0.0))
                values.append(2 * stats.norm.sf(abs(sums.sum()) / np.sqrt(np.square(sums).sum())))
    assert len(values) >= 4
    return min(values) * len(values)


@pytest.mark.parametrize("name", OPTIONS)
def test_labels_are_distributed_as_the_posterior_says(name: str) -> None:
    draw = world_of(name).draw(30_000, seed=5)
    assert miscalibration(draw.posterior, draw.labels, draw.groups) > SURE


def test_the_test_of_calibration_finds_a_posterior_of_other_shares() -> None:
    right, wrong = world_of("injection"), world_of("injection", shares=(0.8, 0.1, 0.05, 0.05))
    draw = right.draw(30_000, seed=5)
    assert miscalibration(wrong.posterior(draw.features), draw.labels, None) < SURE


def test_a_source_is_calibrated_on_its_own_classes_and_an_overconfident_one_is_not() -> None:
    world = world_of("partition", n_ignored=0)
    draw = world.draw(30_000)
    assert miscalibration(np.exp(draw.log_probabilities), draw.source_labels, None) > SURE
    tempered = world_of("partition", n_ignored=0, overconfidence=4.0).draw(30_000)
    np.testing.assert_array_equal(tempered.source_labels, draw.source_labels)
    assert miscalibration(np.exp(tempered.log_probabilities), tempered.source_labels, None) < SURE


def test_an_injection_has_one_source_class_for_each_target_class() -> None:
    world = world_of("injection")
    draw = world.draw(20_000)
    pairs = np.unique(np.stack([draw.labels, draw.source_labels]), axis=1)
    assert pairs[0].tolist() == [0, 1, 2, 3]
    assert len(set(pairs[1].tolist())) == 4
    np.testing.assert_array_equal(world.relation[pairs[1]], np.eye(4))


def test_a_partition_has_one_target_class_for_each_source_class_that_is_shown() -> None:
    world = world_of("partition")
    draw = world.draw(20_000)
    shown = np.unique(draw.source_labels)
    assert len(shown) == 9 - 3
    for z in shown:
        assert len(np.unique(draw.labels[draw.source_labels == z])) == 1
    assert set(draw.labels.tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize("name", ["channel", "noise", "groups with labels"])
def test_labels_follow_the_rows_of_the_channel(name: str) -> None:
    world = world_of(name)
    draw = world.draw(30_000)
    first = slice(None, None, world.options.group_size)  # one sample of each group: these are independent
    counts = np.zeros_like(world.channel)
    np.add.at(counts, (draw.source_labels[first], draw.labels[first]), 1)
    expected = world.drawn[:, None] * world.channel * counts.sum()
    assert not counts[expected == 0].any()
    present = expected > 0
    statistic = (np.square(counts - expected)[present] / expected[present]).sum()
    assert statistic < stats.chi2(present.sum() - 1).isf(SURE)
    np.testing.assert_allclose(world.channel[world.drawn > 0].sum(axis=1), 1)


@pytest.mark.parametrize("name", ["injection", "injection, shares shifted", "partition", "channel"])
def test_the_shares_are_those_asked_for(name: str) -> None:
    world = world_of(name)
    shares = np.array(world.options.shares)
    np.testing.assert_allclose(world.prior, shares, atol=1e-12)
    counts = np.bincount(world.draw(30_000, seed=2).labels, minlength=4)
    assert stats.chisquare(counts, shares * 30_000).pvalue > SURE


def test_label_noise_moves_the_prior_towards_its_distribution() -> None:
    np.testing.assert_allclose(world_of("injection", label_noise=0.2).prior, [0.73, 0.09, 0.09, 0.09])
    np.testing.assert_allclose(world_of("injection", label_noise=0.2, noise="prior").prior, IMBALANCED)
    np.testing.assert_allclose(
        world_of("injection", label_noise=0.2, noise=(0, 0, 0, 1)).prior, [0.68, 0.04, 0.04, 0.24]
    )


def test_without_label_shift_the_source_has_the_shares_already() -> None:
    matched, shifted = world_of("injection"), world_of("injection, shares shifted")
    chosen = matched.relation.argmax(axis=0)
    np.testing.assert_allclose(matched.source_prior[chosen], np.array(IMBALANCED) * 4 / 9)
    np.testing.assert_allclose(np.delete(matched.source_prior, chosen), 1 / 9)
    np.testing.assert_allclose(shifted.source_prior, 1 / 9)
    assert matched.source_prior.sum() == pytest.approx(1)


def assert_same(one: Draw, two: Draw) -> None:
    """Every array equal, bit by bit."""
    for name, array in vars(one).items():
        np.testing.assert_array_equal(array, vars(two)[name])


@pytest.mark.parametrize("name", ["noise", "groups with labels", "source alone"])
def test_draws_depend_on_the_world_and_the_seed_alone(name: str) -> None:
    world = world_of(name)
    world.draw(10, seed=8)
    assert_same(world.draw(200, seed=4), world_of(name).draw(200, seed=4))


def test_draws_of_other_seeds_and_other_worlds_are_independent() -> None:
    world = world_of("injection", separation=0.0)  # x is nothing but noise
    others = [world.draw(20_000, seed=1), world_of("injection", separation=0.0, seed=4).draw(20_000, seed=0)]
    one = world.draw(20_000, seed=0)
    for other in others:
        correlation = np.corrcoef(one.features.T, other.features.T)[:2, 2:]
        assert np.abs(correlation).max() < stats.norm.isf(SURE) / np.sqrt(20_000)
        table = stats.contingency.crosstab(one.labels, other.labels).count
        assert stats.chi2_contingency(table).pvalue > SURE


@pytest.mark.parametrize("rows", [100, 101, 5000])
def test_blocks_hold_whole_groups_whose_codes_run_on(rows: int) -> None:
    world = world_of("groups with labels")
    blocks = list(world.draws(1000, seed=2, rows=rows))
    assert [len(block.labels) for block in blocks[:-1]] == [102] * (len(blocks) - 1)
    groups = np.concatenate([block.groups for block in blocks])
    np.testing.assert_array_equal(groups, np.arange(1000) // 3)
    if len(blocks) == 1:
        assert_same(blocks[0], world.draw(1000, seed=2))
    else:
        assert not np.array_equal(blocks[0].features, blocks[1].features)


def test_a_shift_is_shared_within_groups_and_leaves_the_variance() -> None:
    world = world_of("groups with shifts", group_size=2)
    draw = world.draw(40_000, seed=6)
    noise = draw.features - world.means[draw.source_labels]
    assert noise.var() == pytest.approx(1.0, abs=0.03)
    assert (noise[::2] * noise[1::2]).mean() == pytest.approx(0.6, abs=0.03)
    assert abs((noise[1:-1:2] * noise[2::2]).mean()) < 0.03
    assert stats.contingency.association(stats.contingency.crosstab(draw.labels[::2], draw.labels[1::2]).count) < 0.03


def test_a_label_of_groups_is_shared_and_source_classes_are_not() -> None:
    draw = world_of("groups with labels").draw(3001)
    assert draw.groups is not None
    for group in range(1001):
        assert len(set(draw.labels[draw.groups == group].tolist())) == 1
    assert (draw.source_labels[0:3000:3] != draw.source_labels[1:3000:3]).any()
    assert world_of("injection").draw(5).groups is None


def test_what_does_not_depend_on_the_label_of_a_group_is_not_shared_by_it() -> None:
    draw = world_of("neither", group_size=2, group_label=True).draw(20_000)
    centred = draw.features - draw.features.mean(axis=0)
    correlation = (centred[::2] * centred[1::2]).mean(axis=0) / centred.var(axis=0)
    assert np.abs(correlation).max() < stats.norm.isf(SURE) / np.sqrt(10_000)


def test_the_signal_is_where_it_is_asked_for() -> None:
    def dependence(values: np.ndarray, labels: np.ndarray) -> float:
        """Smallest p-value of an analysis of variance, times the number of columns."""
        return min(
            stats.f_oneway(*(column[labels == label] for label in range(4))).pvalue for column in values.T
        ) * len(values.T)

    for signal, in_source, in_features in [
        ("both", True, True),
        ("source", True, False),
        ("features", False, True),
        ("neither", False, False),
    ]:
        draw = world_of("injection", signal=signal, noise_dimensions=1).draw(20_000)
        assert (dependence(np.exp(draw.log_probabilities), draw.labels) < SURE) == in_source, signal
        assert (dependence(draw.features[:, :2], draw.labels) < SURE) == in_features, signal
        assert dependence(draw.features[:, 2:], draw.labels) > SURE
        if signal == "neither":
            np.testing.assert_allclose(draw.posterior, np.tile(IMBALANCED, (20_000, 1)))


@pytest.mark.parametrize("name", ["injection, shares shifted", "partition", "channel", "noise", "source alone"])
def test_tempering_by_the_overconfidence_and_the_label_map_give_the_posterior(name: str) -> None:
    world = world_of(name, overconfidence=16.0)
    draw = world.draw(500)
    p = np.exp(draw.log_probabilities / 16)
    mapped = (p / p.sum(axis=1, keepdims=True)) @ world.label_map
    np.testing.assert_allclose(mapped / mapped.sum(axis=1, keepdims=True), draw.posterior, atol=1e-12)


def test_400_source_classes_take_memory_for_a_few_rows_of_them_each() -> None:
    n, k_s = 4000, 400
    world = make_world(WorldOptions(relation="channel", n_source=k_s, n_target=10, dimension=32, overconfidence=4.0))
    tracemalloc.start()
    draw = world.draw(n)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert draw.log_probabilities.shape == (n, k_s)
    assert peak < 6 * n * k_s * 8  # an array of n x n alone takes ten times n k_s
    np.testing.assert_allclose(np.exp(draw.log_probabilities).sum(axis=1), 1)
