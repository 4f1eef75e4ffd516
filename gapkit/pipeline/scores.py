"""The scores beside the misalignment, and the distances between the target and the source's surrogate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from threadpoolctl import threadpool_limits

from gapkit.arrays import Labels
from gapkit.estimates import DistanceRow, ScoreRow
from gapkit.pipeline.options import RunOptions
from gapkit.scores.catalogue import chosen_measures
from gapkit.scores.distance_estimates import estimate_distance, undefined_distance
from gapkit.scores.estimating import Estimated, EstimateOptions, estimate_scores, undefined_score
from gapkit.scores.inputs import Distance, PairInputs, Score, ScoreInputs
from gapkit.scores.probes import N_FOLDS
from gapkit.types import Activations, Progress, Target, Traits, no_progress

FEATURES = "features"
TASK = "scores"
NO_SURROGATE = "the source has no surrogate; give one with --surrogate (surrogate=...)"
SEVERAL = "the target has several labels per sample"
Kind = Literal["classes", "numbers", "several"]
"""What labels are: codes, also of the bins of a regression target; its numbers; several to a sample."""


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
        folds: of what is cross-fitted.
        seed: of folds, blocks, draws and permutations.
    """

    names: tuple[str, ...]
    layer: str = FEATURES
    permutations: int = 200
    folds: int = N_FOLDS
    seed: int = 0

    @property
    def options(self) -> EstimateOptions:
        """How scores are estimated."""
        return EstimateOptions(permutations=self.permutations)


def score_request(options: RunOptions, names: tuple[str, ...], layer: str = FEATURES) -> ScoreRequest:
    """The measures of these names, as the options have them."""
    return ScoreRequest(
        names=names, layer=layer, permutations=options.permutations, folds=options.folds, seed=options.seed
    )


def measure_scores(
    activations: Activations,
    surrogate: Callable[[], Activations | None],
    request: ScoreRequest,
    progress: Progress = no_progress,
) -> Scored:
    """The measures that are asked for, on one layer's features; a regression target is given as numbers or as bins.

    Linear algebra runs on one thread, as in the misalignment.

    Args:
        activations: of the target.
        surrogate: gives those of the surrogate, None where there is none; called where a distance is asked for.
        request: what is asked for.
        progress: told about each measure.
    """
    scores, distances = chosen_measures(request.names, folds=request.folds)
    total = len(scores) + len(distances)
    found: dict[str, Estimated] = {}
    rows: list[DistanceRow] = []
    with threadpool_limits(1, user_api="blas"):
        for name, estimated in _estimates(scores, activations, request):
            found[name] = estimated
            progress(TASK, len(found), total)
        for row in _distances(distances, activations, surrogate, request):
            rows.append(row)
            progress(TASK, len(found) + len(rows), total)
    return Scored(scores=tuple(found[score.traits.name] for score in scores), distances=tuple(rows))


def _estimates(
    scores: Sequence[Score], activations: Activations, request: ScoreRequest
) -> Iterator[tuple[str, Estimated]]:
    """Each score with its name, on the labels that it is defined for: cheap ones together, the others one by one."""
    target = activations.target
    kinds: dict[str, Kind | None] = {score.traits.name: _kind(score.traits, target) for score in scores}
    for score in scores:
        if kinds[score.traits.name] is None:
            yield score.traits.name, undefined_score(score.traits, len(target), SEVERAL)
    present: list[Kind] = [kind for kind in kinds.values() if kind is not None]
    for kind in dict.fromkeys(present):
        inputs = score_inputs(activations, kind, request)
        own = [score for score in scores if kinds[score.traits.name] == kind]
        cheap = [score for score in own if score.traits.fast]
        for together in (cheap, *([score] for score in own if not score.traits.fast)):
            names = [score.traits.name for score in together]
            yield from zip(names, estimate_scores(together, inputs, request.options), strict=True)


def _distances(
    distances: Sequence[Distance],
    activations: Activations,
    surrogate: Callable[[], Activations | None],
    request: ScoreRequest,
) -> Iterator[DistanceRow]:
    """Each distance; the surrogate is run where there is one to be computed."""
    if not distances:
        return
    other = surrogate()
    pair = None if other is None else pair_inputs(activations, other, request)
    for distance in distances:
        if pair is None:
            yield undefined_distance(distance.traits, len(activations.target), NO_SURROGATE)
        else:
            yield estimate_distance(distance, pair, request.options)


def _kind(traits: Traits, target: Target) -> Kind | None:
    """As what a measure takes the labels; None where it does not take these."""
    if target.task == "multilabel":
        return "several" if "multilabel" in traits.tasks else None
    return "numbers" if target.values is not None and "regression" in traits.tasks else "classes"


def score_inputs(activations: Activations, kind: Kind, request: ScoreRequest) -> ScoreInputs:
    """The arrays of one layer, with labels of one kind."""
    target = activations.target
    return ScoreInputs(
        features=np.asarray(activations.features[request.layer], dtype=np.float64),
        labels=np.asarray(target.values, dtype=np.float64) if kind == "numbers" else target.y,
        log_probabilities=activations.log_probabilities if activations.logits.shape[1] else None,
        groups=target.groups,
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
        surrogate_groups=surrogate.target.groups,
        seed=request.seed,
    )


def _codes(activations: Activations) -> Labels | None:
    """Class codes; None where there are several labels per sample, or numbers."""
    y = activations.target.y
    return y if y.ndim == 1 and y.dtype.kind == "i" else None
