"""Every measure of one layer on the surrogate: what can be read off it, what it resembles, how it is shaped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gapkit.arrays import Array, Features, Floats, Indices, Labels, PerSample
from gapkit.errors import UndefinedError
from gapkit.estimates import Estimate, undefined
from gapkit.reuse.catalogue import similarities
from gapkit.reuse.geometry import NC1, Alignment, DaviesBouldin, EffectiveRank, Geometry, Uniformity
from gapkit.reuse.knowledge import KnowledgeReuse, LayerFeatures, knowledge_reuse
from gapkit.reuse.retention import ProbeHits, retention
from gapkit.statistics.folds import Folds
from gapkit.statistics.jackknife import Jackknife, deal, kept
from gapkit.statistics.probes import Probe, knn_probe, linear_probe
from gapkit.statistics.uncertainty import ratio_intervals
from gapkit.types import Traits

BLOCKS = 10
"""Of the intervals of similarities and shapes."""
SUBSPACE = "subspace"
PROBES: dict[str, Callable[..., Probe]] = {"probe": linear_probe, "knn": knn_probe}
SHAPES: dict[str, Geometry] = {
    "alignment": Alignment(),
    "uniformity": Uniformity(),
    "davies_bouldin": DaviesBouldin(),
    "nc1": NC1(),
    "effective_rank": EffectiveRank(),
    "participation_rank": EffectiveRank(kind="participation"),
}
"""By their names in results; the effective rank by both definitions."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """What the samples of one set share in all layers.

    Attributes:
        labels: (n,) class codes 0 .. K - 1.
        folds: of the probes.
        groups: (n,) codes of samples that belong together, or None.
        resamples: of the bootstraps.
        seed: of folds, blocks and resamples.
    """

    labels: Labels
    folds: Folds
    groups: Labels | None = None
    resamples: int = 1000
    seed: int = 0

    @property
    def scored(self) -> Indices:
        """Positions of the samples that a fold scores."""
        return np.flatnonzero(self.folds.ids >= 0)

    def of(self, values: Labels | None) -> Labels | None:
        """Those of the scored samples."""
        return None if values is None else values[self.scored]


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """One layer of all models on the same samples.

    Attributes:
        before: (n, d) of the pretrained model.
        after: (n, d') of the tuned model; d' is another one in a head that it was given.
        random: (n, d) of each random-weight copy.
    """

    before: Features
    after: Array
    random: Sequence[Features]


@dataclass(frozen=True, kw_only=True)
class LayerMeasures:
    """The measures of one layer by name, and its score with replicates."""

    values: dict[str, Estimate]
    knowledge: KnowledgeReuse


def measure_layer(layer: Layer, samples: Samples) -> LayerMeasures:
    """Probes before and after, retention, similarities, shapes before and after, and the knowledge-reuse score.

    Names: ``probe_before``, ``probe_after``, ``probe_random``, ``retention`` (linear probe), ``knn_before``,
    ``knn_after``, ``knn_random``, ``knn_retention``; ``cka`` and the other similarities; ``alignment_before``,
    ``alignment_after`` and so on for the shapes; ``held``, ``kept`` and ``knowledge_reuse``.

    Args:
        layer: its features in all models.
        samples: their labels, folds and groups.
    """
    values: dict[str, Estimate] = {}
    hits: dict[str, ProbeHits] = {}
    for name, probe in PROBES.items():
        hits[name] = _hits(layer, samples, probe)
        values |= _accuracies(name, hits[name], samples)
        key = "retention" if name == "probe" else f"{name}_retention"
        values[key] = retention(hits[name], resamples=samples.resamples, seed=samples.seed)
    values |= _similarities(layer, samples) | _shapes(layer, samples)
    rows = samples.scored
    found = knowledge_reuse(
        LayerFeatures(
            before=layer.before[rows],
            after=layer.after[rows],
            random=[features[rows] for features in layer.random],
            hits=hits["probe"],
            labels=samples.labels[rows],
        ),
        seed=samples.seed,
    )
    values |= {"held": found.held, "kept": found.kept, "knowledge_reuse": found.score}
    return LayerMeasures(values=values, knowledge=found)


def _hits(layer: Layer, samples: Samples, probe: Callable[..., Probe]) -> ProbeHits:
    """Which scored samples a probe on each model gets right, on the same folds."""

    def hit(features: Array) -> PerSample:
        found = probe(features, samples.labels, samples.folds, groups=samples.groups, seed=samples.seed)
        return found.hits[samples.scored]

    return ProbeHits(
        before=hit(layer.before),
        after=hit(layer.after),
        random=np.array([hit(features) for features in layer.random]),
        groups=samples.of(samples.groups),
    )


def _accuracies(name: str, hits: ProbeHits, samples: Samples) -> dict[str, Estimate]:
    """Shares of hits; of random weights the mean over copies."""
    columns = {"before": hits.before, "after": hits.after, "random": np.asarray(hits.random).mean(axis=0)}
    table = np.stack(list(columns.values()), axis=1)
    found = ratio_intervals(
        table,
        np.ones_like(table),
        groups=samples.of(samples.groups),
        resamples=samples.resamples,
        seed=samples.seed,
    )
    return {
        f"{name}_{when}": Estimate(
            value=float(found.value[k]),
            interval=(max(0.0, float(found.low[k])), min(1.0, float(found.high[k]))),
            n=len(table),
        )
        for k, when in enumerate(columns)
    }


def _similarities(layer: Layer, samples: Samples) -> dict[str, Estimate]:
    """Of the layer before and after."""
    found: dict[str, Estimate] = {}
    for similarity in similarities():
        name = similarity.traits.name
        found[SUBSPACE if name.startswith(SUBSPACE) else name] = estimate(
            lambda rows, between=similarity.between: between(layer.before[rows], layer.after[rows]),
            similarity.traits,
            samples,
        )
    return found


def _shapes(layer: Layer, samples: Samples) -> dict[str, Estimate]:
    """Of the layer before, and after."""
    return {
        f"{name}_{when}": estimate(
            lambda rows, of=shape.of, features=features: of(features[rows], samples.labels[rows]),
            shape.traits,
            samples,
        )
        for name, shape in SHAPES.items()
        for when, features in (("before", layer.before), ("after", layer.after))
    }


def estimate(compute: Callable[[Indices], float], traits: Traits, samples: Samples) -> Estimate:
    """A measure of all samples with its delete-a-group jackknife interval.

    Args:
        compute: the measure, from positions of samples.
        traits: of the measure; the interval is cut to its range.
        samples: that it is computed on.
    """
    n = len(samples.labels)
    try:
        value = compute(np.arange(n))
    except UndefinedError as error:
        return undefined(str(error), n)
    dealt = deal(n, BLOCKS, strata=samples.labels, groups=samples.groups, seed=samples.seed)
    found = Estimate(value=value, interval=None, n=n, reason="no interval: fewer samples than a jackknife takes")
    if dealt is None:
        return found
    try:
        replicates: Floats = np.array([compute(kept(dealt, block)) for block in range(int(dealt.max()) + 1)])
    except UndefinedError as error:
        return replace(found, reason=f"no interval: without some of the samples, {error.got}")
    jackknife = Jackknife(value=value, replicates=replicates)
    return replace(found, interval=jackknife.interval(within=(traits.lowest, traits.highest)), reason="")
