"""What is told about a score: its interval over worlds drawn anew, its test where nothing is known, and reasons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf

from gapkit.arrays import Array, generator, log_softmax
from gapkit.errors import UndefinedError
from gapkit.scores import catalogue
from gapkit.scores.distance_estimates import estimate_distance
from gapkit.scores.estimating import EstimateOptions, estimate_score, estimate_scores, undefined_score
from gapkit.scores.inputs import PairInputs, ScoreInputs
from gapkit.statistics import neighbours
from gapkit.statistics.jackknife import deal, kept
from gapkit.types import Traits

SCORES = {score.traits.name: score for score in catalogue.scores()}
DISTANCES = {distance.traits.name: distance for distance in catalogue.distances()}
CHEAP = ("leep", "nce", "logme", "h_score", "shrunk_h_score", "transrate", "gbc", "lfc", "sfda")


def make(seed: int, n: int = 200, *, signal: float = 1.0) -> ScoreInputs:
    """Four classes of equal size; centres are the same in all worlds."""
    rng, centres = generator(seed, 1), generator(0).normal(size=(4, 10))
    labels = np.arange(n, dtype=np.int64) % 4
    features = signal * centres[labels, :5] + rng.normal(size=(n, 5))
    logits = signal * centres[labels, 5:] + rng.normal(size=(n, 5))
    return ScoreInputs(features=features, labels=labels, log_probabilities=log_softmax(logits))


@dataclass(frozen=True, kw_only=True)
class Mean:
    """A score of which everything is known: the mean of the first feature."""

    traits: ClassVar[Traits] = Traits(
        name="mean",
        title="mean",
        formula="mean",
        paper="nobody, 2026",
        needs=("features", "labels"),
        lowest=None,
        highest=None,
        better="lower",
        conditional=False,
        cost="O(n)",
        avoids="nothing",
        subsample=100,
    )

    def on(self, inputs: ScoreInputs) -> Callable[[Array], float]:
        def scorer(labels: Array) -> float:
            return float(inputs.features[labels == 0, 0].mean())

        return scorer


def test_interval_and_test_are_the_naive_ones():
    inputs = make(1, 80)
    found = estimate_score(Mean(), inputs, EstimateOptions(permutations=99))
    blocks = deal(80, 20, strata=inputs.labels, seed=0)
    replicates = []
    for block in range(20):
        part = inputs.take(kept(blocks, block))
        replicates.append(part.features[part.labels == 0, 0].mean())
    spread = np.sqrt(19 / 20 * np.square(replicates - np.mean(replicates)).sum())
    assert found.row.value == inputs.features[inputs.labels == 0, 0].mean()
    assert found.row.interval[1] - found.row.value == pytest.approx(2.093024 * spread, rel=1e-5)
    assert found.row.direction == "lower"
    assert found.row.null.r == 99
    assert found.row.null.observed == found.row.value


@dataclass(frozen=True, kw_only=True)
class SlowMean(Mean):
    """The same, tested against fewer labellings."""

    traits: ClassVar[Traits] = replace(Mean.traits, name="slow_mean", permutations=19)


def test_a_slow_score_is_tested_against_the_first_labellings_alone():
    inputs = make(1, 80)
    usual, slow = (
        one.row.null for one in estimate_scores([Mean(), SlowMean()], inputs, EstimateOptions(permutations=50))
    )
    assert (usual.r, slow.r) == (50, 19)
    alone = estimate_score(Mean(), inputs, EstimateOptions(permutations=19)).row.null
    assert (slow.mean, slow.p, slow.interval) == (alone.mean, alone.p, alone.interval)


def test_samples_are_drawn_before_blocks_are_left_out():
    found = estimate_score(Mean(), make(1, 400), EstimateOptions(permutations=0))
    assert found.row.n == 100
    assert found.row.null is None
    assert len(found.jackknife.replicates) == 20


@pytest.mark.parametrize("name", CHEAP)
def test_p_is_about_uniform_where_nothing_is_known(name: str):
    options = EstimateOptions(permutations=19)
    found = []
    for seed in range(60):
        inputs = make(seed, 60, signal=0.0)
        score = SCORES[name]
        found.append(estimate_score(score, inputs, options).row.null.p)
    # 60 draws from 0.05 .. 1.00: the share at or below 0.25 has standard error 0.056.
    assert abs(np.mean(np.array(found) <= 0.25) - 0.25) < 3 * 0.056
    assert min(found) >= 0.05


@pytest.mark.parametrize("name", SCORES)
def test_p_is_least_where_much_is_known(name: str):
    null = estimate_score(SCORES[name], make(3, 120, signal=3.0), EstimateOptions(permutations=19)).row.null
    assert null.p == pytest.approx(0.05)
    low, high = null.interval
    assert low <= null.mean <= high


def test_what_is_undefined_says_why():
    inputs = make(1, 40)
    one = ScoreInputs(features=inputs.features, labels=np.zeros(40, dtype=np.int64))
    row = estimate_score(SCORES["logme"], one, EstimateOptions()).row
    assert (row.status, row.value, row.interval) == ("undefined", None, None)
    assert "same label" in row.reason
    headless = ScoreInputs(features=inputs.features, labels=inputs.labels)
    assert "no head" in estimate_score(SCORES["leep"], headless, EstimateOptions()).row.reason
    assert undefined_score(Mean.traits, 7, "why").row.reason == "why"


def test_replicates_of_n_leep_keep_to_the_clusters_of_all_samples():
    """Mixtures that are fitted anew have other optima, which makes the standard error 2.3 times the deviation."""
    rows = []
    for seed in range(200):
        found = estimate_score(SCORES["n_leep"], make(4000 + seed), EstimateOptions(permutations=0))
        rows.append((found.row.value, found.jackknife.standard_error, *found.row.interval))
    value, error, low, high = np.array(rows).T
    assert 0.8 < np.sqrt(np.square(error).mean()) / value.std(ddof=1) < 1.25
    # 200 draws of 0.95 have a standard error of 0.0154.
    assert abs(np.mean((low <= value.mean()) & (value.mean() <= high)) - 0.95) < 3 * 0.0154


def test_a_shrinkage_at_the_end_of_its_range_leaves_no_interval():
    """Signal is weak, so that the shrinkage is 1 in many worlds: there the score is 0 whatever the samples are."""
    score, rows = SCORES["shrunk_h_score"], []
    for seed in range(200):
        inputs = make(3000 + seed, 40, signal=0.4)
        rows.append(estimate_score(score, inputs, EstimateOptions(permutations=0)).row)
        assert (rows[-1].interval is None) == (ledoit_wolf(inputs.features)[1] == 1)
    expected, given = np.mean([row.value for row in rows]), [row for row in rows if row.interval is not None]
    assert {row.reason for row in rows} == {"", "no interval: the shrinkage is 1, the end of its range"}
    assert 50 < len(given) < 150
    assert np.mean([row.interval[0] <= expected <= row.interval[1] for row in given]) > 0.95 - 3 * 0.022
    alone = ScoreInputs(features=inputs.features[:, :1], labels=inputs.labels)
    assert alone.spectrum.shrinkage == 0
    assert estimate_score(score, alone, EstimateOptions(permutations=0)).row.interval is not None


def test_a_score_that_needs_every_sample_has_no_interval_but_a_value():
    features = np.ones((40, 3))
    features[7] = 2.0  # without it, all are alike
    inputs = ScoreInputs(features=features, labels=np.arange(40, dtype=np.int64) % 2)
    row = estimate_score(SCORES["lfc"], inputs, EstimateOptions()).row
    assert row.status == "ok"
    assert row.value is not None
    assert row.interval is None
    assert row.reason.startswith("no interval: without")


@pytest.mark.parametrize("name", ["knn_accuracy", "linear_probe_accuracy"])
def test_a_probe_is_fitted_once_for_value_interval_and_replicates(name: str):
    inputs, score = make(2, 120), SCORES[name]
    found = estimate_score(score, inputs, EstimateOptions(permutations=19))
    probe = score.probe(inputs)
    blocks = deal(120, 20, strata=inputs.labels, seed=0)
    assert found.row.value == probe.accuracy == score.on(inputs)(inputs.labels)
    assert found.row.interval == score.interval(inputs)
    assert found.jackknife.replicates == pytest.approx([probe.hits[blocks != block].mean() for block in range(20)])
    # Without one sample in each block the error is the binomial one, but for the blocks' chance.
    binomial = np.sqrt(probe.accuracy * (1 - probe.accuracy) / 120)
    assert 0.6 * binomial < found.jackknife.standard_error < 1.5 * binomial
    assert found.row.null.p == 0.05


def test_neighbours_are_found_once_for_value_interval_and_permutations(monkeypatch: pytest.MonkeyPatch):
    calls, search = [], neighbours._nearest

    def counted(*arguments: object) -> object:
        calls.append(arguments)
        return search(*arguments)

    monkeypatch.setattr(neighbours, "_nearest", counted)
    estimate_score(SCORES["knn_accuracy"], make(2, 120), EstimateOptions(permutations=19))
    assert len(calls) == 1


def test_groups_stay_whole_in_blocks_and_permutations():
    inputs = make(1, 80)
    groups = np.arange(80, dtype=np.int64) // 20
    grouped = ScoreInputs(features=inputs.features, labels=groups % 2, groups=groups, log_probabilities=None)
    row = estimate_score(SCORES["h_score"], grouped, EstimateOptions()).row
    # Four groups of constant label: six ways to place two labels, so that no p could be 0.05.
    assert row.null.status == "undefined"
    assert "groups" in row.null.reason


@pytest.mark.parametrize("kind", ["numbers", "several"])
def test_numbers_that_groups_share_are_exchanged_by_whole_groups(kind: str):
    rng, groups = generator(5), np.repeat(np.arange(30, dtype=np.int64), 10)
    own = rng.normal(size=30)
    features = rng.normal(size=(300, 5))
    features[:, 0] += 3 * own[groups]
    labels = own[groups] if kind == "numbers" else np.stack([own > 0, own > 1], axis=1).astype(np.int64)[groups]
    row = estimate_score(
        SCORES["logme"], ScoreInputs(features=features, labels=labels, groups=groups), EstimateOptions()
    ).row
    assert row.null.p == 0.01
    assert row.null.mean < row.value


def pair(seed: int, shift: float) -> PairInputs:
    rng = generator(seed, 2)
    return PairInputs(
        target=rng.normal(size=(90, 4)) + shift,
        surrogate=rng.normal(size=(110, 4)),
        target_labels=np.arange(90, dtype=np.int64) % 3,
        surrogate_labels=np.arange(110, dtype=np.int64) % 3,
    )


@pytest.mark.parametrize("name", DISTANCES)
def test_distances_are_above_their_floor_where_sets_differ_and_near_it_where_not(name: str):
    far, near = (estimate_distance(DISTANCES[name], pair(4, shift), EstimateOptions()) for shift in (1.0, 0.0))
    assert far.status == near.status == "ok"
    assert far.interval[0] <= far.value <= far.interval[1]
    assert far.halves > 1.5 * max(far.floor, 1e-3) or name == "c2st_auc"
    assert abs(near.halves - near.floor) < 0.35 * (far.halves - far.floor) + 0.2 * abs(near.floor)
    assert far.floor_size in (44, 45)


@dataclass
class Recorder:
    """A distance that keeps what it is asked about: features are the samples' own positions."""

    asked: list[PairInputs] = field(default_factory=list)
    traits = Mean.traits

    def between(self, pair: PairInputs) -> float:
        self.asked.append(pair)
        return float(len(self.asked))


def test_groups_of_either_side_stay_whole_in_the_blocks_of_a_distance():
    sides = {"target": np.arange(72) // 6, "surrogate": generator(3).permutation(np.arange(90) // 9)}
    positions = np.arange(90.0)[:, None]
    recorder = Recorder()
    grouped = PairInputs(
        target=positions[:72],
        surrogate=positions,
        target_groups=sides["target"],
        surrogate_groups=sides["surrogate"],
    )
    row = estimate_distance(recorder, grouped, EstimateOptions(permutations=0))
    assert row.interval is not None
    left_out: dict[str, list[int]] = {"target": [], "surrogate": []}
    for pair in recorder.asked[1:11]:  # the first is the value, then one for each of ten blocks
        for side, groups in sides.items():
            kept_rows = getattr(pair, side)[:, 0].astype(int)
            assert np.array_equal(getattr(pair, f"{side}_groups"), groups[kept_rows])
            missing = sorted(set(range(len(groups))) - set(kept_rows.tolist()))
            assert not set(groups[missing]) & set(groups[kept_rows])
            left_out[side] += missing
    for side, groups in sides.items():
        assert sorted(left_out[side]) == list(range(len(groups)))


def test_a_surrogate_of_few_groups_leaves_the_interval_undefined():
    rows = np.arange(30.0)[:, None]
    few = PairInputs(target=rows, surrogate=rows + 1, surrogate_groups=np.arange(30) // 10)
    row = estimate_distance(DISTANCES["energy_distance"], few, EstimateOptions())
    assert (row.status, row.interval) == ("ok", None)
    assert row.reason == "no interval: fewer groups than a jackknife takes"


@pytest.mark.parametrize(("aligned", "least"), [(True, True), (False, False)])
def test_otdd_is_tested_on_permuted_labels_of_few_samples(aligned: bool, least: bool):
    rng, labels = generator(9), np.arange(400, dtype=np.int64) % 4
    centres = 4 * np.eye(4)
    sides = PairInputs(
        target=centres[labels] + rng.normal(size=(400, 4)) if aligned else rng.normal(size=(400, 4)),
        surrogate=centres[labels] + rng.normal(size=(400, 4)),
        target_labels=labels,
        surrogate_labels=labels,
    )
    row = estimate_distance(DISTANCES["otdd"], sides, EstimateOptions(permutations=19))
    assert row.null.statistic == "otdd of 300 and 300 samples"
    assert row.null.r == 19
    assert (row.null.p == 0.05) == least
    assert estimate_distance(DISTANCES["mmd2"], sides, EstimateOptions(permutations=19)).null is None


def test_a_distance_that_is_undefined_says_why():
    alone = PairInputs(target=np.ones((1, 2)), surrogate=np.ones((5, 2)))
    row = estimate_distance(DISTANCES["mmd2"], alone, EstimateOptions())
    assert (row.status, row.value) == ("undefined", None)
    assert "at least 2" in row.reason
    unlabelled = PairInputs(target=np.eye(6), surrogate=np.eye(6))
    assert "labels" in estimate_distance(DISTANCES["otdd"], unlabelled, EstimateOptions()).reason


def test_estimators_that_raise_are_not_silenced():
    with pytest.raises(UndefinedError):
        SCORES["logme"].on(make(1, 40))(np.zeros(40, dtype=np.int64))
