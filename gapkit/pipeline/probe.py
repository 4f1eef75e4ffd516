"""``probe``: a source before and after tuning -> its layers on a surrogate, and on the target -> what is reused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from gapkit.arrays import digest
from gapkit.errors import OptionError
from gapkit.estimates import Estimate
from gapkit.options import given_or_default
from gapkit.pipeline.activations import choose_embedder
from gapkit.pipeline.arguments import check_source, check_surrogate
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
    from typing import TypeAlias

    from torch import nn

    from gapkit.reuse.tuned import Tuned
    from gapkit.sources.source import Source

    Model: TypeAlias = Source | nn.Module | str


@dataclass(frozen=True, kw_only=True)
class ProbeTarget:
    """What a model was tuned on, with what is beside the usual.

    Attributes:
        data: the labelled set; accuracy is taken on its test split where there is one.
        embedder: of its samples; by default a fixed one, chosen by ``ProbeOptions.embedder``.
        control: the same architecture trained on it from scratch: a source, a module or the path of a checkpoint.
        control_start: what the control began with, which its layers are rewound to; by default the source's pretrained
            weights.
    """

    data: Target
    embedder: Embedder | None = None
    control: Model | Tuned | None = None
    control_start: Model | Tuned | None = None


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """The target, ready for the models.

    Attributes:
        samples: that are scored and trained on, with their embedder.
        shown: whose representations are measured, where that is asked for.
        control: the model trained from scratch, if there is one.
        summary: of the samples that are scored.
        notes: how samples were chosen.
    """

    samples: TargetSamples
    shown: Target | None
    control: Tuning | None
    summary: TargetSummary
    notes: tuple[str, ...]


def probe(
    before: Source,
    after: Model | Tuned,
    *,
    surrogate: Target | None = None,
    target: Target | ProbeTarget | None = None,
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
        target: labelled set that the model was tuned on, or a ``ProbeTarget`` with an embedder or a control of its own.
        options: what is measured and how.
        progress: told about forward passes, layers and resets.

    Returns:
        The result, with a table, JSON, figures and a report.

    Raises:
        GapkitError: models, samples and options do not go together; the message says why.
    """
    check_source(before)
    check_surrogate(surrogate)
    options, started = given_or_default(options, ProbeOptions), time.monotonic()
    surrogate = _known(surrogate or before.surrogate, before)
    tuned, asked = load_tuned(before, after), load_control(before, target)
    used, notes = choose_samples(surrogate, options)
    ready = None if asked is None else _prepare(before, asked, options)
    models = _models(before, tuned.source, options)
    seen = represent(models, used, options, progress=progress)
    measures, scores = measure_layers(seen, options, progress)
    _add(measures, _weights(before, tuned.source, layer_names(before, options)))
    causal, on_target = ({}, {}) if ready is None else _on_target(models, tuned.source, ready, options, progress)
    _add(measures, causal)
    return ReuseResult(
        before=summarise_source(before, seen.before),
        after=summarise_source(tuned.source, seen.after),
        surrogate=summarise_target(seen.before, seen.choice, replace(options, split="all")),
        target=None if ready is None else ready.summary,
        layers=as_rows(measures),
        on_target=as_rows(on_target),
        model={"knowledge_reuse": model_reuse(scores)} | causal.get(MODEL, {}),
        matrices=similarity_matrices(seen, options.matrix_names),
        notes=(*surrogate.notes, *notes, *tuned.notes, *seen.before.notes, *(() if ready is None else ready.notes)),
        projection=project(seen, options),
        provenance=provenance(
            used,
            probe_conditions(before, asked, surrogate, options),
            digest(before.weights_hash, tuned.source.weights_hash),
            seconds=time.monotonic() - started,
        ),
    )


def load_tuned(before: Source, given: Model | Tuned) -> Tuned:
    """A model in the cut of its source, where it is not yet.

    Raises:
        SourceError: it cannot be read, or is of another architecture.
    """
    from gapkit.reuse.tuned import Tuned, as_tuned

    return given if isinstance(given, Tuned) else as_tuned(before, given)


def load_control(before: Source, given: Target | ProbeTarget | None) -> ProbeTarget | None:
    """The target with its control, and what that began with, loaded.

    Raises:
        SourceError: one of them cannot be read, or is of another architecture.
    """
    if not isinstance(given, ProbeTarget):
        return None if given is None else ProbeTarget(data=given)
    control, start = (
        None if model is None else load_tuned(before, model) for model in (given.control, given.control_start)
    )
    return replace(given, control=control, control_start=start)


def probe_conditions(
    source: Source, asked: ProbeTarget | None, surrogate: Target, options: ProbeOptions
) -> dict[str, Any]:
    """What changes numbers beside the surrogate's samples and the weights; the target is a loaded one."""
    more: dict[str, Any] = {"target": None, "control": None}
    if asked is not None:
        data = asked.data
        parts = [data.x, data.y, *(part for part in (data.groups, data.split, data.values) if part is not None)]
        more["target"] = f"{data.name} {digest(*parts)[:16]}"
        if asked.embedder is not None:
            more["embedder"] = asked.embedder.key
        more["control"] = [
            f"{model.source.name} {model.source.weights_hash[:16]}"
            for model in (load_tuned(source, one) for one in (asked.control, asked.control_start) if one is not None)
        ] or None
    return conditions(options, surrogate, surrogate, precision=source.precision) | more


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

    fed = partial(behind, before, weights_hash=before.weights_hash)

    def random() -> Iterator[Source]:
        for seed in options.seeds:
            for module in random_copies(before.module, 1, seed=seed):
                yield fed(with_module(before.adapter, module, name=f"{before.name}, random weights {seed}"))

    return Models(before=before, after=fed(after.adapter), random=random)


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


def _prepare(before: Source, asked: ProbeTarget, options: ProbeOptions) -> Prepared:
    """Samples, embedder and control: their mistakes show before the models are run."""
    control = None
    scored, settled, notes = scored_samples(asked.data, options)
    choice, embedder = choose_embedder(before, asked.data, asked.embedder, options.embedder)
    if asked.control is not None:
        start = before if asked.control_start is None else load_tuned(before, asked.control_start).source
        control = Tuning(after=load_tuned(before, asked.control).source, start=start.module)
    return Prepared(
        samples=TargetSamples(scored=scored, training=training_samples(asked.data, options), embedder=embedder),
        shown=choose_samples(scored, options)[0] if options.on_target else None,
        control=control,
        summary=describe_target(scored, embedder.description, choice.reason, settled.split),
        notes=(*asked.data.notes, *notes, *(() if control is not None else (UNMOVED,))),
    )


def _on_target(
    models: Models, after: Source, ready: Prepared, options: ProbeOptions, progress: Progress
) -> tuple[dict[str, dict[str, Estimate]], dict[str, dict[str, Estimate]]]:
    """Causal reuse of each layer, "" of all, and measures of the target's representations where they are asked for."""
    tuning, layers = Tuning(after=after, start=models.before.module), layer_names(models.before, options)
    causal = causal_measures(tuning, ready.samples, layers, options, control=ready.control, progress=progress)
    if ready.shown is None:
        return causal, {}
    seen = represent(models, ready.shown, options, embedder=ready.samples.embedder, progress=progress)
    return causal, measure_layers(seen, options, progress)[0]
