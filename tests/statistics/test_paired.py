"""Paired tests: against enumeration and loops, by their validity, and with groups."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import binom, permutation_test, wilcoxon

from gapkit.errors import DataError
from gapkit.statistics.paired import paired_difference, sign_flip_p
from gapkit.statistics.uncertainty import ratio_intervals


def every_flip(differences):
    """The share of all sign flips that reach the observed sum, one flip at a time."""
    observed = abs(sum(differences))
    flips = list(itertools.product([-1, 1], repeat=len(differences)))
    reached = [abs(sum(s * d for s, d in zip(signs, differences, strict=True))) >= observed - 1e-12 for signs in flips]
    return sum(reached) / len(flips)


@pytest.mark.parametrize("size", [2, 5, 12])
def test_few_units_are_flipped_in_every_way(size):
    for seed in range(5):
        differences = np.random.default_rng(seed).normal(0.3, size=size)
        p, test = sign_flip_p(differences)
        assert p == pytest.approx(every_flip(differences.tolist()))
        assert test == f"sign flips, all {2**size}"


def test_equals_scipys_permutation_test():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=9), rng.normal(0.5, size=9)
    expected = permutation_test((a, b), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=np.inf)
    assert paired_difference(a, b).p == pytest.approx(expected.pvalue)


def test_many_units_are_flipped_at_random():
    differences = np.random.default_rng(1).normal(0.35, size=16)
    p, test = sign_flip_p(differences, draws=20_000)
    exact = every_flip(differences.tolist())
    assert test == "sign flips, 20000 at random"
    assert p == pytest.approx(exact, abs=5 * np.sqrt(exact * (1 - exact) / 20_000))
    assert sign_flip_p(differences, draws=20_000, seed=0)[0] == p
    assert sign_flip_p(differences, draws=20_000, seed=1)[0] != p


def test_blocks_do_not_matter(monkeypatch):
    differences = np.random.default_rng(2).normal(size=40)
    whole = sign_flip_p(differences, draws=500)
    monkeypatch.setattr("gapkit.statistics.paired.BLOCK_ENTRIES", 40 * 100)
    assert sign_flip_p(differences, draws=500) == whole


def test_units_that_do_not_differ_change_nothing():
    differences = np.random.default_rng(3).normal(size=8)
    assert sign_flip_p(np.append(differences, np.zeros(100))) == sign_flip_p(differences)


def test_equal_losses_do_not_differ():
    found = paired_difference(np.ones(30), np.ones(30))
    assert (found.difference, found.interval, found.p) == (0.0, (0.0, 0.0), 1.0)


def test_the_difference_has_the_interval_of_a_mean():
    rng = np.random.default_rng(4)
    a, b, groups = rng.exponential(size=60), rng.exponential(size=60), np.arange(60) % 15
    found = paired_difference(a, b, groups=groups, resamples=300, seed=2)
    expected = ratio_intervals((a - b)[:, None], np.ones((60, 1)), groups=groups, resamples=300, seed=2)
    assert found.difference == pytest.approx((a - b).mean())
    assert found.interval == pytest.approx((expected.low[0], expected.high[0]))
    assert (found.n, found.units) == (60, 15)
    assert found.test == "sign flips, 9999 at random, of 15 groups"


def test_groups_are_flipped_together():
    rng = np.random.default_rng(5)
    a, b, groups = rng.normal(size=40), rng.normal(size=40), rng.integers(8, size=40)
    sums = [float((a - b)[groups == group].sum()) for group in range(8)]
    assert paired_difference(a, b, groups=groups).p == pytest.approx(every_flip(sums))
    assert paired_difference(a, b, groups=1000 - 7 * groups).p == pytest.approx(every_flip(sums))


def test_sides_are_mirrored():
    rng = np.random.default_rng(6)
    a, b = rng.normal(size=30), rng.normal(0.4, size=30)
    there, back = paired_difference(a, b), paired_difference(b, a)
    assert there.difference == pytest.approx(-back.difference)
    assert there.p == back.p


def test_a_clear_difference_has_the_least_p():
    a = np.random.default_rng(7).random(100)
    assert paired_difference(a, a + 0.5).p == pytest.approx(1 / 10_000)


def test_one_unit_is_refused():
    with pytest.raises(DataError, match="1 groups"):
        paired_difference(np.zeros(5), np.ones(5), groups=np.zeros(5, dtype=np.int64))
    with pytest.raises(DataError, match="1 samples"):
        paired_difference(np.zeros(1), np.ones(1))


@pytest.mark.parametrize("losses", ["normal", "zero-one", "skewed"])
@pytest.mark.parametrize("grouped", [False, True])
def test_small_p_are_as_rare_as_they_should_be(losses, grouped):
    """Two sources that are alike on average, on samples of which some are harder: 400 worlds of 60 samples."""
    rng = np.random.default_rng(8)
    groups = np.repeat(np.arange(20), [1, 2, 3, 4, 5] * 4) if grouped else None
    found = []
    for _ in range(400):
        effect = 0.0 if groups is None else rng.normal(size=(2, 20))[:, groups]
        noise = rng.normal(size=(2, 60)) + effect
        drawn = {"normal": noise, "zero-one": (noise > 0.5) * 1.0, "skewed": np.exp(noise)}[losses]
        sums = drawn[0] - drawn[1]
        units = sums if groups is None else np.bincount(groups, weights=sums)
        found.append(sign_flip_p(units, draws=199, seed=3)[0])
    for level in (0.01, 0.05, 0.1):
        rejected = int((np.array(found) <= level).sum())
        assert rejected <= binom.ppf(1 - 1e-3, 400, level)
        # Nor is the test empty: it rejects about as often as it may, or a third of it where sums tie.
        assert level < 0.05 or rejected >= 400 * level / 3


def test_agrees_with_wilcoxon_on_ranks():
    """Sign flips of signed ranks are Wilcoxon's exact test."""
    differences = np.random.default_rng(9).normal(0.4, size=11)
    ranks = np.sign(differences) * (np.argsort(np.argsort(np.abs(differences))) + 1.0)
    assert sign_flip_p(ranks)[0] == pytest.approx(wilcoxon(differences, method="exact").pvalue)
