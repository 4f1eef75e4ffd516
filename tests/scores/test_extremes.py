"""Features and targets as large and as small as float64 holds: the right number, or the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from gapkit.arrays import Array, generator
from gapkit.errors import GapkitError
from gapkit.scores import (
    c2st_auc,
    catalogue,
    energy_distance,
    frechet_distance,
    logme,
    mmd2,
    otdd,
    sinkhorn_divergence,
    sliced_wasserstein,
)
from gapkit.scores.distance_estimates import estimate_distance
from gapkit.scores.estimating import EstimateOptions, estimate_score
from gapkit.scores.evidence import Regression
from gapkit.scores.floor import noise_floor
from gapkit.scores.inputs import PairInputs, ScoreInputs
from gapkit.scores.logme import evidence
from gapkit.scores.mmd import Mmd
from gapkit.scores.sfda import SFDA
from gapkit.scores.sinkhorn import Sinkhorn
from gapkit.scores.transrate import TransRate
from gapkit.statistics.spectrum import find_spectrum

SCORES = {score.traits.name: score for score in catalogue.scores()}
DISTANCES = {distance.traits.name: distance for distance in catalogue.distances()}
SCALES = (1e-150, 1e-80, 1e80, 1e150)
BEYOND = (1e-300, 1e300)
POWERS = {"squared": 2, "units": 1, "": 0}
"""Of the scale, in a distance, by the first word of its unit."""
PLAIN: dict[str, Callable[[Array, Array], float]] = {
    "mmd2": mmd2,
    "energy": energy_distance,
    "sinkhorn": lambda x, y: sinkhorn_divergence(x, y).value,
    "sliced": sliced_wasserstein,
    "frechet": frechet_distance,
    "c2st": c2st_auc,
    "otdd": lambda x, y: otdd(x, np.arange(len(x)) % 2, y, np.arange(len(y)) % 2).value,
}


def features(seed: int, n: int, d: int) -> ScoreInputs:
    """Three classes of about one size."""
    rng, labels = generator(seed), np.arange(n, dtype=np.int64) % 3
    log_probabilities = np.log(rng.dirichlet(np.ones(4), size=n))
    x = generator(1).normal(size=(3, d))[labels] + rng.normal(size=(n, d))
    return ScoreInputs(features=x, labels=labels, log_probabilities=log_probabilities)


def scaled(inputs: ScoreInputs, scale: float) -> ScoreInputs:
    return ScoreInputs(
        features=inputs.features * scale, labels=inputs.labels, log_probabilities=inputs.log_probabilities
    )


def pair(scale: float) -> PairInputs:
    first, second = features(2, 45, 5), features(3, 40, 5)
    return PairInputs(
        target=first.features * scale,
        surrogate=(second.features + 0.5) * scale,
        target_labels=first.labels,
        surrogate_labels=second.labels,
    )


def or_reason(compute: Callable[[], float]) -> float | str:
    """A value, or in words why there is none."""
    try:
        return compute()
    except GapkitError as error:
        return str(error)


def coding_rate(rows: Array, scale: float) -> float:
    """TransRate's, of scaled rows, by logarithms of singular values."""
    lengths = np.linalg.svd(rows, compute_uv=False)
    return 0.5 * float(np.logaddexp(0, 2 * np.log(lengths) - np.log(len(rows) * 1e-4) + 2 * np.log(scale)).sum())


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize(("n", "d"), [(60, 5), (34, 40)])
def test_scores_of_very_large_and_very_small_features(name: str, scale: float, n: int, d: int):
    inputs, score = features(1, n, d), SCORES[name]
    expected, rounding = score.on(inputs)(inputs.labels), 0.0
    if name == "transrate":
        rows = inputs.features - inputs.features.mean(axis=0)
        if d < n:
            within = [coding_rate(rows[inputs.labels == code], scale) for code in range(3)]
            whole = coding_rate(rows, scale)
            # Of small features both are traces, equal for classes of one size.
            expected, rounding = whole - np.mean(within), 1e-12 * whole
        if scale == 1e150:
            with pytest.raises(GapkitError, match="beside an epsilon"):
                score.on(scaled(inputs, scale))
            return
    found = score.on(scaled(inputs, scale))(inputs.labels)
    if name != "transrate" or d < n:
        assert found == pytest.approx(expected, rel=1e-6, abs=rounding)
    assert math.isfinite(found)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", [name for name, score in SCORES.items() if score.traits.fast])
def test_intervals_and_tests_of_very_large_and_very_small_features(name: str, scale: float):
    options = EstimateOptions(permutations=19)
    usual, found = (estimate_score(SCORES[name], scaled(features(1, 60, 5), k), options).row for k in (1.0, scale))
    if name == "transrate":
        assert found.status == ("undefined" if scale == 1e150 else "ok")
        return
    assert found.interval == pytest.approx(usual.interval, rel=1e-6)
    assert found.null.mean == pytest.approx(usual.null.mean, rel=1e-6)
    assert found.null.p == usual.null.p


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", DISTANCES)
def test_distances_of_very_large_and_very_small_features(name: str, scale: float):
    distance = DISTANCES[name]
    power = POWERS[distance.traits.unit.split(" ")[0]]
    found = distance.between(pair(scale))
    for _ in range(power):
        found /= scale
    assert found == pytest.approx(distance.between(pair(1.0)), rel=1e-6, abs=0)


@pytest.mark.parametrize("scale", [*SCALES, *BEYOND])
@pytest.mark.parametrize("name", PLAIN)
def test_plain_distances_are_numbers_or_say_why_not(name: str, scale: float):
    sides = pair(1.0)
    found = or_reason(lambda: PLAIN[name](sides.target * scale, sides.surrogate * scale))
    if isinstance(found, str):
        assert scale > 1
        assert "divide the features" in found
        return
    assert math.isfinite(found)
    if name in ("mmd2", "c2st"):
        assert found == pytest.approx(PLAIN[name](sides.target, sides.surrogate), rel=1e-6)
    if name in ("energy", "sliced"):
        assert found / scale == pytest.approx(PLAIN[name](sides.target, sides.surrogate), rel=1e-6)


@pytest.mark.parametrize("scale", BEYOND)
@pytest.mark.parametrize("name", [*SCORES, *DISTANCES])
def test_nothing_is_infinite_at_the_ends_of_float64(name: str, scale: float):
    inputs = scaled(features(1, 60, 5), scale)
    found = or_reason(
        lambda: SCORES[name].on(inputs)(inputs.labels) if name in SCORES else DISTANCES[name].between(pair(scale))
    )
    if isinstance(found, str):
        assert name == "transrate" or (scale == 1e300 and name in DISTANCES), found
        return
    assert math.isfinite(found)


def test_a_bandwidth_is_in_the_features_own_unit():
    sides = pair(1.0)
    expected = mmd2(sides.target, sides.surrogate, bandwidth=1.5)
    assert mmd2(sides.target * 1e150, sides.surrogate * 1e150, bandwidth=1.5e150) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("distance", [Mmd(), Sinkhorn()])
def test_a_scale_that_is_held_is_so_for_pairs_of_another_unit(distance: Mmd | Sinkhorn):
    """Pairs of half the size may lack the largest value, and be kept in units of another power of two."""
    whole, other = pair(1e80), pair(0.25e80)
    assert whole.unit != other.unit
    expected = distance.anchored(pair(1.0))(pair(0.25))
    unit = 1e160 if isinstance(distance, Sinkhorn) else 1.0
    assert distance.anchored(whole)(other) / unit == pytest.approx(expected, rel=1e-6)
    floors = [noise_floor(distance, pair(scale)) for scale in (1.0, 1e80)]
    assert floors[1].between / unit == pytest.approx(floors[0].between, rel=1e-6)
    row = estimate_distance(distance, pair(1e80), EstimateOptions(permutations=0))
    assert row.interval[0] < row.value < row.interval[1]


@pytest.mark.parametrize("features_scale", [1.0, 1e-150, 1e150])
@pytest.mark.parametrize("scale", SCALES)
def test_regression_targets_move_logme_by_the_logarithm_of_their_scale(scale: float, features_scale: float):
    inputs = features(4, 60, 5)
    targets = inputs.features @ np.ones((5, 2)) + generator(5).normal(size=(60, 2))
    expected = logme(inputs.features, targets, task="regression") - np.log(scale)
    found = logme(inputs.features * features_scale, targets * scale, task="regression")
    assert found == pytest.approx(expected, rel=1e-9)
    # One target may be large beside a usual one.
    mixed = logme(inputs.features, targets * [scale, 1.0], task="regression")
    assert mixed == pytest.approx(expected + np.log(scale) / 2, rel=1e-9)


def test_precisions_are_in_the_targets_own_unit():
    inputs = features(4, 60, 5)
    targets = inputs.features @ np.ones(5) + generator(5).normal(size=60)
    plain, large = (evidence(Regression(spectrum=find_spectrum(inputs.features)), targets * k) for k in (1.0, 1e80))
    assert large.alpha * 1e160 == pytest.approx(plain.alpha, rel=1e-6)
    assert large.beta * 1e160 == pytest.approx(plain.beta, rel=1e-6)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", [name for name, score in SCORES.items() if "regression" in score.traits.tasks])
def test_intervals_of_regression_targets(name: str, scale: float):
    base, options = features(4, 60, 5), EstimateOptions(permutations=0)
    targets = base.features @ np.ones(5) + generator(5).normal(size=60)
    usual, found = (
        estimate_score(SCORES[name], replace(base, labels=targets * k), options).row.interval for k in (1.0, scale)
    )
    moved = np.log(scale) if name == "logme" else 0.0
    assert np.array(found) + moved == pytest.approx(np.array(usual), rel=1e-6, abs=1e-6)


def test_what_depends_on_the_scale_does_so_at_its_ends():
    inputs = features(1, 60, 5)
    large, small = (SFDA(normalise=False).on(scaled(inputs, scale))(inputs.labels) for scale in (1e100, 1e-100))
    assert large == pytest.approx(SFDA(normalise=False).on(scaled(inputs, 1e3))(inputs.labels), rel=1e-6)
    assert small == pytest.approx(SFDA(normalise=False).on(scaled(inputs, 1e-9))(inputs.labels), rel=1e-6)
    usual = TransRate(normalise=True).on(inputs)(inputs.labels)
    assert TransRate(normalise=True).on(scaled(inputs, 1e150))(inputs.labels) == pytest.approx(usual, rel=1e-9)


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e-120, 1e120, 1e160])
@pytest.mark.parametrize("name", DISTANCES)
def test_a_side_that_is_far_smaller_than_the_other_one(name: str, scale: float):
    usual = pair(1.0)
    row = estimate_distance(
        DISTANCES[name], replace(usual, target=usual.target * scale), EstimateOptions(permutations=0)
    )
    numbers = [row.value, row.floor, row.halves, *(row.interval or ())]
    if row.status == "undefined":
        assert scale == 1e160
        assert "divide the features" in row.reason
    else:
        assert all(number is not None and math.isfinite(number) for number in numbers)
    if name == "mmd2":
        # Beside the distance of the sides, samples of either one are the same but for the larger one's own spread.
        assert 0 < row.value < 2
        assert abs(row.floor) < 0.2
