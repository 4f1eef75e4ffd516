"""``probe``: a source before and after tuning -> its layers on a surrogate, and on the target -> what is reused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gapkit.arrays import digest
from gapkit.errors import OptionError
from gapkit.estimates import Estimate
from gapkit.pipeline.activations import choose_embedder
from gapkit.pipeline.probe_options import ProbeOptions
from gapkit.pipeline.representations import (
    Models,
    as_rows,
    choose_samples,
    layer_names,
    measure_layers,
    project,
    represent,
    similarity_matrices,
)
from gapkit.pipeline.rewinding import (
    MODEL,
    UNMOVED,
    TargetSamples,
    Tuning,
    causal_measures,
    scored_samples,
    training_samples,
)
from gapkit.pipeline.summary import conditions, describe_target, provenance, summarise_source, summarise_target
from gapkit.results import ReuseResult, TargetSummary
from gapkit.reuse.knowledge import model_reuse
from gapkit.types import Embedder, Progress, Target, no_progress

if TYPE_CHECKING:
    from torch import nn

    from gapkit.sources.source import Source

@dataclass(frozen=True, kw_only=True)
class Control:
    """The same architecture, trained on the target from scratch.

    Attributes:
        after: its weights: a model, a source or the path of a checkpoint.
        start: those that it began with, which its layers are rewound to; by default the source's pretrained ones.
    """

    after: Source | nn.Module | str
    start: Source | nn.Module | str | None = None


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The target, and what is asked of the tuned model there."""

    target: Target
    embedder: Embedder | None
    control: Control | None


@dataclass(frozen=True, kw_only=True)
class OnTarget:
    """What the target adds.

    Attributes:
        summary: of the samples that are scored.
        causal: layer -> its measures; "" stands for all layers.
        layers: measures of the target's representations, where they are asked for.
        notes: how samples were chosen.
    """

    summary: TargetSummary
    causal: dict[str, dict[str, Estimate]]
    layers: dict[str, dict[str, Estimate]]
    notes: tuple[str, ...]


def probe(
    before: Source,
    after: Source | nn.Module | str,
    *,
    surrogate: Target | None = None,
    target: Target | None = None,
    embedder: Embedder | None = None,
    control: Control | None = None,
    options: ProbeOptions | None = None,
    progress: Progress = no_progress,
) -> ReuseResult:
    """Measure how much of a source's knowledge a tuned model still holds and, on its target, uses, layer by layer.

    On the surrogate, fed through the source's own embedder into both models and into random-weight copies: accuracy of
    linear and nearest-neighbour probes and their retention, similarity before and after, shape of the representation,
    the knowledge-reuse score (``gapkit.reuse.knowledge``); of the weights drift and effective rank of the change. With
    a target: criticality and causal reuse, from layers put back to their pretrained weights, or scrambled.

    Args:
        before: the pretrained source.
        after: the tuned model: a source, a module of the same architecture, or the path of a checkpoint; its head may
            have another number of outputs, which are the target's classes in their order.
        surrogate: labelled set of the source's modality; by default the source's own.
        target: labelled set that the model was tuned on; accuracy is taken on its test split where there is one.
        embedder: of the target; by default a fixed one, chosen by ``options.embedder``.
        control: the same architecture trained on the target from scratch.
        options: what is measured and how.
        progress: told about forward passes, layers and resets.

    Returns:
        The result, with a table, JSON, figures and a report.

    Raises:
        GapkitError: models, samples and options do not go together; the message says why.
    """
    from gapkit.reuse.tuned import as_tuned

    options, started = options or ProbeOptions(), time.monotonic()
    surrogate = _known(surrogate or before.surrogate, before)
    tuned = as_tuned(before, after)
    used, notes = choose_samples(surrogate, options)
    models = _models(before, tuned.source, options)
    seen = represent(models, used, options, progress=progress)
    measures, scores = measure_layers(seen, options, progress)
    _add(measures, _weights(before, tuned.source, layer_names(before, options)))
    beside = None
    if target is not None:
        asked = Asked(target=target, embedder=embedder, control=control)
        beside = _on_target(models, tuned.source, asked, options, progress)
        _add(measures, beside.causal)
    return ReuseResult(
        before=summarise_source(before, seen.before),
        after=summarise_source(tuned.source, seen.after),
        surrogate=summarise_target(seen.before, seen.choice, replace(options, split="all")),
        target=None if beside is None else beside.summary,
        layers=as_rows(measures),
        on_target=() if beside is None else as_rows(beside.layers),
        model={"knowledge_reuse": model_reuse(scores)} | ({} if beside is None else beside.causal.get(MODEL, {})),
        matrices=similarity_matrices(seen, options.matrix_names),
        notes=(*surrogate.notes, *notes, *tuned.notes, *seen.before.notes, *(() if beside is None else beside.notes)),
        projection=project(seen, options),
        provenance=provenance(
            used,
            told(before, target, surrogate, options, control),
            digest(before.weights_hash, tuned.source.weights_hash),
            seconds=time.monotonic() - started,
        ),
    )


def told(
    source: Source, target: Target | None, surrogate: Target, options: ProbeOptions, control: Control | None
) -> dict[str, Any]:
    """What changes numbers beside the surrogate's samples and the weights."""
    of_target = None if target is None else f"{target.name} {digest(target.x, target.y)[:16]}"
    return conditions(options, surrogate, surrogate, precision=source.precision, target=of_target) | {
        "control": None if control is None else [str(control.after), str(control.start)]
    }


def _known(surrogate: Target | None, source: Source) -> Target:
    """The surrogate.

    Raises:
        OptionError: there is none.
    """
    if surrogate is None:
        raise OptionError(
            f"{source.name} without a surrogate",
            expected="a labelled set of the source's own modality, which shows what it still knows",
            remedy="give one with --surrogate (surrogate=...)",
        )
    return surrogate


def _models(before: Source, after: Source, options: ProbeOptions) -> Models:
    """Both models and the random-weight copies, fed by the source's own embedder."""
    from gapkit.reuse.controls import random_copies
    from gapkit.reuse.tuned import behind, with_module

    def random() -> Iterator[Source]:
        for seed in options.seeds:
            for module in random_copies(before.module, 1, seed=seed):
                yield behind(before, with_module(before.adapter, module, name=f"{before.name}, random weights {seed}"))

    return Models(before=before, after=behind(before, after.adapter), random=random)


def _weights(before: Source, after: Source, layers: tuple[str, ...]) -> dict[str, dict[str, Estimate]]:
    """Drift and effective rank of the change."""
    from gapkit.reuse.weights import weight_changes

    found = weight_changes(before.module, after.module, layers)
    return {one.layer: {"drift": one.drift, "drift_rank": one.effective_rank} for one in found}


def _add(measures: dict[str, dict[str, Estimate]], more: dict[str, dict[str, Estimate]]) -> None:
    """Put measures of layers beside those that are there."""
    for name, own in more.items():
        if name in measures:
            measures[name] |= own


def _on_target(
    models: Models, after: Source, asked: Asked, options: ProbeOptions, progress: Progress
) -> OnTarget:
    """Causal reuse, and the target's representations where they are asked for."""
    from gapkit.reuse.tuned import as_tuned

    before, control, own = models.before, asked.control, None
    scored, settled, notes = scored_samples(asked.target, options)
    choice, embedder = choose_embedder(before, asked.target, asked.embedder, options)
    samples = TargetSamples(scored=scored, training=training_samples(asked.target, options), embedder=embedder)
    if control is not None:
        start = before.module if control.start is None else as_tuned(before, control.start).source.module
        own = Tuning(after=as_tuned(before, control.after).source, start=start)
    tuning = Tuning(after=after, start=before.module)
    layers = layer_names(before, options)
    causal = causal_measures(tuning, samples, layers, options, control=own, progress=progress)
    measures: dict[str, dict[str, Estimate]] = {}
    if options.on_target:
        seen = represent(models, choose_samples(scored, options)[0], options, embedder=embedder, progress=progress)
        measures = measure_layers(seen, options, progress)[0]
    return OnTarget(
        summary=describe_target(scored, embedder.description, choice.reason, settled.split),
        causal=causal,
        layers=measures,
        notes=(*asked.target.notes, *notes, *(() if control is not None else (UNMOVED,))),
    )
