"""The noise floor: which samples are compared, in which sizes, and what it says beside a distance."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapkit.errors import OptionError, UndefinedError
from gapkit.scores.c2st import C2st
from gapkit.scores.distance_estimates import estimate_distance
from gapkit.scores.energy import Energy
from gapkit.scores.estimating import EstimateOptions
from gapkit.scores.floor import Anchored, noise_floor
from gapkit.scores.frechet import Frechet
from gapkit.scores.inputs import PairInputs
from gapkit.scores.mmd import Mmd
from gapkit.scores.sinkhorn import Sinkhorn
from gapkit.scores.sliced import SlicedWasserstein

SURROGATE_FIRST = 1000


@dataclass
class Recorder:
    """A distance that keeps what it is asked, and answers with the number of the call."""

    asked: list[PairInputs] = field(default_factory=list)
    traits = Energy.traits

    def between(self, pair: PairInputs) -> float:
        self.asked.append(pair)
        return float(len(self.asked))

    @property
    def rows(self):
        """Positions that each call was asked about."""
        return [(pair.target[:, 0].astype(int), pair.surrogate[:, 0].astype(int)) for pair in self.asked]


@dataclass
class AnchoredRecorder(Recorder):
    """Likewise, with a scale that it takes from the pair that it is anchored to."""

    anchors: list[PairInputs] = field(default_factory=list)

    def anchored(self, pair: PairInputs):
        self.anchors.append(pair)
        return self.between


def numbered(n, m, **more):
    """Features that are the samples' own positions; those of the surrogate from 1000 on."""
    positions = np.arange(max(n, m) * 1.0)[:, None]
    return PairInputs(target=positions[:n], surrogate=SURROGATE_FIRST + positions[:m], **more)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(n=st.integers(2, 40), m=st.integers(2, 40), splits=st.integers(1, 4), seed=st.integers(0, 99))
def test_all_halves_have_one_size_and_those_of_one_side_share_no_sample(n, m, splits, seed):
    distance = Recorder()
    floor = noise_floor(distance, numbered(n, m, seed=seed), splits=splits)
    assert floor.size == min(n, m) // 2
    assert floor.splits == splits
    assert len(distance.asked) == 3 * splits
    for split in range(splits):
        of_target, of_surrogate, across = distance.rows[3 * split : 3 * split + 3]
        for first, second, top in ((*of_target, 0), (*of_surrogate, SURROGATE_FIRST)):
            assert len(np.unique(np.concatenate([first, second]))) == 2 * floor.size
            assert min(first.min(), second.min()) >= top
            assert max(first.max(), second.max()) < top + 1000
        assert np.array_equal(across[0], of_target[0])
        assert np.array_equal(across[1], of_surrogate[0])


def test_values_are_means_over_splits():
    floor = noise_floor(Recorder(), numbered(20, 30), splits=3)
    assert (floor.target, floor.surrogate, floor.between) == ((1 + 4 + 7) / 3, (2 + 5 + 8) / 3, (3 + 6 + 9) / 3)
    assert floor.highest == floor.surrogate


def test_splits_differ_and_every_sample_is_as_often_in_the_first_half():
    distance = Recorder()
    noise_floor(distance, numbered(10, 10), splits=400)
    firsts = np.zeros(10)
    for first, _ in distance.rows[::3]:
        firsts[first] += 1 / 400
    assert np.abs(firsts - 1 / 2).max() < 5 * np.sqrt(0.25 / 400)
    # The splits of both sides are not the same.
    same = [set(t) == {s - SURROGATE_FIRST for s in u} for t, u in distance.rows[2::3]]
    assert np.mean(same) < 0.05


def test_classes_have_their_shares_in_every_half():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [20, 13, 7]))
    distance = Recorder()
    noise_floor(distance, numbered(40, 40, target_labels=labels, surrogate_labels=labels[::-1].copy()), splits=5)
    for pair, (first, second) in zip(distance.asked[::3], distance.rows[::3], strict=True):
        assert np.array_equal(labels[first], pair.target_labels)
        assert np.array_equal(labels[second], pair.surrogate_labels)
        difference = np.bincount(labels[first], minlength=3) - np.bincount(labels[second], minlength=3)
        assert np.abs(difference).max() <= 1
    pair, (_, rows) = distance.asked[2], distance.rows[2]
    assert np.array_equal(labels[::-1][rows - SURROGATE_FIRST], pair.surrogate_labels)


def test_halves_that_are_cut_keep_the_shares_of_classes():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [200, 130, 70]))
    distance = Recorder()
    floor = noise_floor(distance, numbered(400, 160, target_labels=labels), splits=5)
    assert floor.size == 80
    for pair in distance.asked[::3]:
        assert np.abs(np.bincount(pair.target_labels) - np.array([40, 26, 14])).max() <= 1


@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), count=st.integers(2, 12))
def test_no_group_is_in_two_halves(seed, count):
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.concatenate([np.arange(count), rng.integers(count, size=30)]))
    distance = Recorder()
    floor = noise_floor(distance, numbered(count + 30, 200, seed=seed), target_groups=groups)
    for first, second in distance.rows[::3]:
        assert not set(groups[first]) & set(groups[second])
        assert len(first) == len(second) == floor.size


def test_groups_of_the_pair_are_kept_together_and_go_with_their_samples():
    groups = np.arange(60) // 4
    asked, given = Recorder(), Recorder()
    noise_floor(asked, numbered(60, 60, target_groups=groups))
    noise_floor(given, numbered(60, 60), target_groups=groups)
    for pair, other, (first, second) in zip(asked.asked, given.asked, asked.rows, strict=True):
        assert np.array_equal(pair.target, other.target)
        assert np.array_equal(pair.surrogate, other.surrogate)
        if second.max() < SURROGATE_FIRST:
            assert not set(groups[first]) & set(groups[second])
        if first.max() < SURROGATE_FIRST:
            assert np.array_equal(pair.target_groups, groups[first])
        else:
            assert pair.target_groups is None


def test_groups_of_unequal_sizes_are_split_in_several_ways():
    groups = np.repeat(np.arange(10), np.arange(1, 11))
    distance = Recorder()
    noise_floor(distance, numbered(55, 60), target_groups=groups, splits=20)
    assert len({frozenset(groups[first]) for first, _ in distance.rows[::3]}) > 10


def test_groups_of_the_surrogate_are_kept_together_too():
    groups = np.arange(40) // 5
    distance = Recorder()
    noise_floor(distance, numbered(40, 40), surrogate_groups=groups)
    for first, second in distance.rows[1::3]:
        assert not set(groups[first - SURROGATE_FIRST]) & set(groups[second - SURROGATE_FIRST])
    own = Recorder()
    noise_floor(own, numbered(40, 40, surrogate_groups=groups))
    assert [pair.surrogate.tolist() for pair in own.asked] == [pair.surrogate.tolist() for pair in distance.asked]
    # They go with their samples: into both places of a pair of surrogate halves, into the second beside the target.
    for pair, (first, second) in zip(own.asked, own.rows, strict=True):
        for rows, found in ((first, pair.target_groups), (second, pair.surrogate_groups)):
            held = rows >= SURROGATE_FIRST
            assert found is None if not held.any() else np.array_equal(found, groups[rows - SURROGATE_FIRST])


def test_a_scale_is_taken_from_the_whole_pair_once():
    distance, pair = AnchoredRecorder(), numbered(20, 20)
    noise_floor(distance, pair)
    assert len(distance.anchors) == 1
    assert distance.anchors[0] is pair
    assert len(distance.asked) == 9
    assert [isinstance(each, Anchored) for each in (Mmd(), Sinkhorn(), Energy(), Frechet())] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("distance", [Frechet(), SlicedWasserstein(), Sinkhorn(), Energy(), Mmd()])
def test_of_one_distribution_the_distance_between_halves_is_about_its_floor(distance):
    rng = np.random.default_rng(1)
    pair = PairInputs(target=rng.normal(size=(120, 12)), surrogate=rng.normal(size=(90, 12)))
    floor = noise_floor(distance, pair, splits=5)
    far = PairInputs(target=pair.target, surrogate=1.0 + 1.5 * pair.surrogate)
    beyond = noise_floor(distance, far, splits=5)
    assert abs(floor.between - floor.target) < 0.3 * (beyond.between - beyond.highest)
    assert floor.between < 1.6 * abs(floor.highest) + 0.02 * beyond.between
    assert beyond.between > 1.5 * beyond.highest


def test_the_value_on_all_samples_would_be_read_wrongly_beside_it():
    rng = np.random.default_rng(2)
    pair = PairInputs(target=rng.normal(size=(400, 20)), surrogate=rng.normal(size=(400, 20)))
    floor = noise_floor(Frechet(), pair)
    assert Frechet().between(pair) < 0.7 * floor.highest
    assert floor.between == pytest.approx(floor.highest, rel=0.15)


def test_a_limit_of_the_distance_makes_the_value_itself_comparable():
    rng = np.random.default_rng(3)
    pair = PairInputs(target=rng.normal(size=(300, 20)), surrogate=rng.normal(size=(260, 20)))
    distance = Sinkhorn(limit=100)
    floor = noise_floor(distance, pair)
    assert floor.size == 130
    assert distance.between(pair) == pytest.approx(floor.between, rel=0.15)


def test_what_differs_between_groups_is_part_of_the_floor():
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(12), 20)
    target = 2 * rng.normal(size=(12, 6))[groups] + rng.normal(size=(240, 6))
    pair = PairInputs(target=target, surrogate=rng.normal(size=(240, 6)))
    alone, grouped = (noise_floor(Energy(), pair, target_groups=given) for given in (None, groups))
    assert abs(alone.target) < 0.1 * grouped.target


def test_a_classifier_that_is_scored_on_other_groups_has_nothing_to_tell_halves_apart_by():
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(60), 4)
    target = 2 * rng.normal(size=(60, 6))[groups] + rng.normal(size=(240, 6))
    pair = PairInputs(target=target, surrogate=rng.normal(size=(240, 6)), target_groups=groups)
    floor = noise_floor(C2st(folds=3), pair)
    assert 0.3 < floor.target < 0.6
    assert 0.3 < floor.surrogate < 0.6


def test_the_same_seed_gives_the_same_floor():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(30, 3)), rng.normal(size=(30, 3))
    floors = [noise_floor(Mmd(), PairInputs(target=x, surrogate=y, seed=seed)) for seed in (0, 0, 1)]
    assert floors[0] == floors[1] != floors[2]


def test_what_cannot_be_split_is_refused_in_words():
    with pytest.raises(UndefinedError, match="the target has 1 samples; expected at least 2 to split it"):
        noise_floor(Energy(), numbered(1, 9))
    with pytest.raises(UndefinedError, match="the target has 1 groups.*use --group none"):
        noise_floor(Energy(), numbered(9, 9), target_groups=np.zeros(9, dtype=np.int64))
    with pytest.raises(UndefinedError, match="the surrogate has 1 groups.*give a surrogate of more groups"):
        noise_floor(Energy(), numbered(9, 9), surrogate_groups=np.zeros(9, dtype=np.int64))
    with pytest.raises(UndefinedError, match="at least 2 on either side for the unbiased energy distance"):
        noise_floor(Energy(), numbered(3, 9))
    with pytest.raises(OptionError, match="splits is 0"):
        noise_floor(Energy(), numbered(9, 9), splits=0)


def test_a_missing_floor_has_its_reason_beside_that_of_a_missing_interval():
    rng = np.random.default_rng(0)
    near, far = rng.normal(size=(120, 3)), rng.normal(size=(120, 3)) + 50
    pair = PairInputs(target=near, surrogate=far, target_groups=np.arange(120) % 6)
    row = estimate_distance(C2st(), pair, EstimateOptions(permutations=0))
    assert row.floor is None
    assert "no interval" in row.reason
    assert "no floor" in row.reason
