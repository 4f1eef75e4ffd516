"""What a model was before its training, layer by layer, and how what it is now compares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from gapkit.arrays import Array, Floats, PerSample, StoredFeatures
from gapkit.errors import UndefinedError
from gapkit.estimates import Estimate, undefined
from gapkit.reuse.cka import CKA
from gapkit.reuse.layer_measures import Samples, estimate
from gapkit.reuse.layer_tensors import layer_names, layer_parameters
from gapkit.reuse.neighbour_overlap import MutualKNN
from gapkit.reuse.paired import Similarity
from gapkit.reuse.procrustes import Procrustes
from gapkit.reuse.retention import ProbeHits, retention
from gapkit.reuse.subspace import SubspaceOverlap
from gapkit.reuse.weights import weight_drift
from gapkit.statistics.probes import linear_probe
from gapkit.statistics.uncertainty import Intervals, ratio_intervals

PROBE, DRIFT = "probe", "drift"
ACCURACY, RATIO, RETENTION = "probe_accuracy", "probe_accuracy_ratio", "retention"
"""What the probe gives; retention where there are random-weight copies."""
SIMILARITIES: Mapping[str, Similarity] = {
    measure.traits.name: measure for measure in (CKA(), Procrustes(), MutualKNN(), SubspaceOverlap())
}
MEASURES = (*SIMILARITIES, PROBE, DRIFT)
CHEAP = ("cka", DRIFT)
NO_INTERVAL = "no interval was asked for (intervals=True)"


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerReference:
    """One layer before the training; what no measure needs is None.

    Attributes:
        features: (n, d).
        hits: (n,) which samples its cross-fitted linear probe gets right.
        random: (s, n) those of the probes on random-weight copies.
        weights: copies of its parameters in host memory, by names relative to it.
    """

    features: StoredFeatures
    hits: PerSample | None = None
    random: Floats | None = None
    weights: Mapping[str, Tensor] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """What is compared, and on which samples.

    Attributes:
        measures: of ``MEASURES``.
        samples: labels, folds and groups of the surrogate.
        intervals: whether similarities get an interval.
    """

    measures: tuple[str, ...]
    samples: Samples
    intervals: bool

    def hits(self, features: Array) -> PerSample:
        """Which samples a cross-fitted linear probe gets right."""
        samples = self.samples
        rows = features.astype(np.float64)
        found = linear_probe(rows, samples.labels, samples.folds, groups=samples.groups, seed=samples.seed)
        return found.hits

    def of(
        self, layer: str, before: LayerReference, after: Array | None, weights: Mapping[str, Tensor]
    ) -> dict[str, Estimate]:
        """Every measure of one layer.

        Args:
            layer: its name.
            before: what it was.
            after: its features now; None where it has not run with one row for each sample.
            weights: its parameters now.
        """
        found: dict[str, Estimate] = {}
        problem = _problem(before.features, after)
        for measure in self.measures:
            if measure == DRIFT:
                found[DRIFT] = weight_drift(before.weights or {}, weights, layer)
            elif after is None or problem:
                found |= dict.fromkeys(_names(measure, before), undefined(problem, len(before.features)))
            elif measure == PROBE:
                found |= self._probe(before, after)
            else:
                found[measure] = self._similarity(SIMILARITIES[measure], before.features, after)
        return found

    def _similarity(self, measure: Similarity, before: StoredFeatures, after: Array) -> Estimate:
        """One similarity of the layer before and now."""
        first, second = before.astype(np.float64), after.astype(np.float64)
        if self.intervals:
            return estimate(lambda rows: measure.between(first[rows], second[rows]), measure.traits, self.samples)
        try:
            value = measure.between(first, second)
        except UndefinedError as error:
            return undefined(str(error), len(first))
        return Estimate(value=value, interval=None, n=len(first), reason=NO_INTERVAL)

    def _probe(self, before: LayerReference, after: Array) -> dict[str, Estimate]:
        """Accuracy of the linear probe now, its ratio to that before, and retention where there is a floor."""
        samples, old = self.samples, np.asarray(before.hits)[self.samples.scored]
        now, groups = self.hits(after)[samples.scored], samples.of(samples.groups)
        options = {"groups": groups, "resamples": samples.resamples, "seed": samples.seed}
        accuracy = ratio_intervals(now[:, None], np.ones((len(now), 1)), **options)
        found = {ACCURACY: _single(accuracy, len(now), highest=1.0)}
        if old.any():
            found[RATIO] = _single(ratio_intervals(now[:, None], old[:, None], **options), len(now))
        else:
            found[RATIO] = undefined("before, the probe was never right", len(now))
        if before.random is not None:
            hits = ProbeHits(before=old, after=now, random=before.random[:, samples.scored], groups=groups)
            found[RETENTION] = retention(hits, resamples=samples.resamples, seed=samples.seed)
        return found


def copied_weights(model: nn.Module, layers: Sequence[str]) -> dict[str, dict[str, Tensor]]:
    """Copies of the parameters of each layer in host memory; a tensor that several names share is copied once."""
    copies: dict[int, Tensor] = {}
    found: dict[str, dict[str, Tensor]] = {}
    for layer in layers:
        own = layer_parameters(model, layer)
        for tensor in own.values():
            if id(tensor) not in copies:
                copies[id(tensor)] = tensor.detach().to("cpu", copy=True)
        found[layer] = {name: copies[id(tensor)] for name, tensor in own.items()}
    return found


def current_weights(model: nn.Module, layers: Sequence[str]) -> dict[str, dict[str, Tensor]]:
    """The parameters of each layer themselves; none of a layer that is gone."""
    there = set(layer_names(model))
    return {layer: layer_parameters(model, layer) if layer in there else {} for layer in layers}


def _names(measure: str, before: LayerReference) -> tuple[str, ...]:
    """The numbers that a measure gives."""
    if measure != PROBE:
        return (measure,)
    return (ACCURACY, RATIO) if before.random is None else (ACCURACY, RATIO, RETENTION)


def _problem(before: Array, after: Array | None) -> str:
    """Why two sets of features cannot be compared; empty where they can."""
    if after is None:
        return "the layer does not give one row for each sample any more"
    if before.shape != after.shape:
        return f"the layer had {before.shape[1]} features and has {after.shape[1]}"
    return "" if np.isfinite(after).all() else "the layer gives NaN or infinite values"


def _single(found: Intervals, n: int, *, highest: float = np.inf) -> Estimate:
    """The first of these ratios; its interval is cut to its range."""
    low, high = max(0.0, float(found.low[0])), min(highest, float(found.high[0]))
    return Estimate(value=float(found.value[0]), interval=(low, high), n=n)
