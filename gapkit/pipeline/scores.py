"""The scores beside the misalignment, and the distances between the target and the source's surrogate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Array, Labels
from gapkit.estimates import DistanceRow, ScoreRow
from gapkit.scores.catalogue import chosen_measures
from gapkit.scores.distance_estimates import estimate_distance, undefined_distance
from gapkit.scores.estimating import Estimated, EstimateOptions, estimate_score, undefined_score
from gapkit.scores.inputs import PairInputs, Score, ScoreInputs
from gapkit.types import Activations, Progress, Traits, no_progress

FEATURES = "features"
TASK = "scores"
NO_SURROGATE = "the source has no surrogate; give one with --surrogate (surrogate=...)"
SEVERAL = "the target has several labels per sample"
REAL = "the target is a number"


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Rows of scores, with their replicates, and of distances."""

    scores: tuple[Estimated, ...]
    distances: tuple[DistanceRow, ...]

    @property
    def rows(self) -> tuple[ScoreRow, ...]:
        """The scores' rows."""
        return tuple(estimated.row for estimated in self.scores)


@dataclass(frozen=True, kw_only=True)
class ScoreRequest:
    """Which measures, on what.

    Attributes:
        names: of scores and distances, "fast", "all" or "none".
        layer: whose features are read.
        permutations: of the labels.
        seed: of folds, blocks, draws and permutations.
    """

    names: tuple[str, ...]
    layer: str = FEATURES
    permutations: int = 200
    seed: int = 0

    @property
    def options(self) -> EstimateOptions:
        """How scores are estimated."""
        return EstimateOptions(permutations=self.permutations)


def measure_scores(
    activations: Activations,
    surrogate: Callable[[], Activations | None],
    request: ScoreRequest,
    progress: Progress = no_progress,
) -> Scored:
    """The measures that are asked for, on one layer's features; a regression target is given as numbers or as bins.

    Args:
        activations: of the target.
        surrogate: gives those of the surrogate, None where there is none; called where a distance is asked for.
        request: what is asked for.
        progress: told about each measure.
    """
    scores, distances = chosen_measures(request.names)
    total = len(scores) + len(distances)
    found: list[Estimated] = []
    for score in scores:
        found.append(_score(score, activations, request))
        progress(TASK, len(found), total)
    rows: list[DistanceRow] = []
    other = surrogate() if distances else None
    for distance in distances:
        if other is None:
            rows.append(undefined_distance(distance.traits, len(activations.target), NO_SURROGATE))
        else:
            rows.append(estimate_distance(distance, pair_inputs(activations, other, request), request.options))
        progress(TASK, len(found) + len(rows), total)
    return Scored(scores=tuple(found), distances=tuple(rows))


def _score(score: Score, activations: Activations, request: ScoreRequest) -> Estimated:
    """One score, on the labels that it is defined for."""
    labels, reason = _labels(score.traits, activations)
    if labels is None:
        return undefined_score(score.traits, len(activations.target), reason)
    return estimate_score(score, score_inputs(activations, labels, request), request.options)


def _labels(traits: Traits, activations: Activations) -> tuple[Array | None, str]:
    """The labels as a measure takes them; None where it takes none of this kind, and why."""
    target = activations.target
    if target.task == "multilabel":
        return (target.y, "") if "multilabel" in traits.tasks else (None, SEVERAL)
    if target.values is not None and "regression" in traits.tasks:
        return target.values.astype(np.float64), ""
    return target.y, ""


def score_inputs(activations: Activations, labels: Array, request: ScoreRequest) -> ScoreInputs:
    """The arrays of one layer."""
    return ScoreInputs(
        features=np.asarray(activations.features[request.layer], dtype=np.float64),
        labels=labels,
        log_probabilities=activations.log_probabilities if activations.logits.shape[1] else None,
        groups=activations.target.groups,
        seed=request.seed,
    )


def pair_inputs(activations: Activations, surrogate: Activations, request: ScoreRequest) -> PairInputs:
    """Target and surrogate side by side."""
    return PairInputs(
        target=np.asarray(activations.features[request.layer], dtype=np.float64),
        surrogate=np.asarray(surrogate.features[request.layer], dtype=np.float64),
        target_labels=_codes(activations),
        surrogate_labels=_codes(surrogate),
        target_groups=activations.target.groups,
        seed=request.seed,
    )


def _codes(activations: Activations) -> Labels | None:
    """Class codes; None where there are several labels per sample, or numbers."""
    y = activations.target.y
    return y if y.ndim == 1 and y.dtype.kind == "i" else None
