"""``measure``: target -> embedder -> source -> activations -> misalignment -> result."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from gapkit.errors import OptionError
from gapkit.gap.conditional import ConditionalInputs, GapOptions, measure_misalignment
from gapkit.gap.inputs import MisalignmentResult
from gapkit.gap.multilabel import MultilabelResult, measure_multilabel
from gapkit.options import given_or_default
from gapkit.pipeline.activations import choose_embedder, run_source, run_surrogate
from gapkit.pipeline.arguments import check_embedder, check_options, check_source, check_surrogate, check_target
from gapkit.pipeline.options import MeasureOptions
from gapkit.pipeline.pictures import example_pictures
from gapkit.pipeline.scores import FEATURES, measure_scores, score_request
from gapkit.pipeline.selection import select
from gapkit.pipeline.summary import (
    conditions,
    label_map_fits,
    name_label_maps,
    overlap,
    provenance,
    summarise_source,
    summarise_target,
)
from gapkit.results import GapResult
from gapkit.types import Activations, Embedder, Progress, Target, no_progress

if TYPE_CHECKING:
    from gapkit.sources.source import Source


def measure(
    source: Source,
    target: Target,
    *,
    embedder: Embedder | None = None,
    surrogate: Target | None = None,
    options: MeasureOptions | None = None,
    progress: Progress = no_progress,
) -> GapResult:
    """Measure the misalignment between a source and a target through one embedder.

    D(M^s, M^t) = inf over label maps of d(P(mapped Y^s | X), P(Y^t | X)) (Ma et al., ICML 2024), for the label-map
    families injection, partition, channel, linear and ceiling, each fitted and scored on different folds; see
    ``gapkit.gap.conditional``.

    Args:
        source: the pretrained model.
        target: the labelled dataset; regression targets are binned by quantiles, several labels per sample are measured
            one against the rest.
        embedder: a fitted embedder, fixed or learned; by default the one that ``options.embedder`` names.
        surrogate: labelled set of the source's modality, for distances and for the head of a source that has none; by
            default the source's own.
        options: what is measured and how.
        progress: told about the forward passes and the folds.

    Returns:
        The result, with a table, JSON and a figure.

    Raises:
        GapkitError: the target, the source and the options do not go together; the message says why.
    """
    check_source(source)
    check_target(target)
    check_surrogate(surrogate)
    check_embedder(embedder)
    check_options(options, MeasureOptions)
    options = given_or_default(options, MeasureOptions)
    started = time.monotonic()
    given = {} if embedder is None else {"embedder": embedder.key}
    choice, embedder = choose_embedder(source, target, embedder, options.embedder)
    used, notes = select(target, options)
    check_layers_asked(used, options)
    surrogate = surrogate or source.surrogate
    activations = run_source(source, used, embedder, surrogate, options, progress)
    gap = measure_gap(activations, gap_options(options), progress)
    told = conditions(options, used, surrogate, precision=source.precision, **given)
    request = score_request(options, options.scores)
    scored = measure_scores(activations, lambda: run_surrogate(source, surrogate, options, progress), request, progress)
    return GapResult(
        source=summarise_source(source, activations),
        target=summarise_target(activations, choice, options),
        misalignment=gap.rows,
        label_maps=name_label_maps(gap, activations),
        label_map_fits=label_map_fits(gap),
        decomposition=gap.decomposition,
        **details(gap),
        scores=scored.rows,
        distances=scored.distances,
        notes=(*target.notes, *notes, *overlap(source, used), *activations.notes, *gap.notes),
        pictures=example_pictures(source, used, embedder),
        provenance=provenance(used, told, source.weights_hash, seconds=time.monotonic() - started),
    )


def details(gap: MisalignmentResult | MultilabelResult) -> dict[str, Any]:
    """What only a target with one label per sample has, or only one with several."""
    if isinstance(gap, MultilabelResult):
        return {"per_label": {name: one.rows for name, one in gap.per_label.items()}}
    return {"r_squared": gap.r_squared, "classes": gap.classes, "layers": gap.layers}


def check_layers_asked(target: Target, options: MeasureOptions) -> None:
    """Refuse layers where they are not measured.

    Raises:
        OptionError: the target has several labels per sample.
    """
    if options.layers and target.task == "multilabel":
        raise OptionError(
            f"--layers {','.join(options.layers)} for {target.name}, which has several labels per sample",
            expected="one label per sample",
            remedy="leave --layers out",
        )


def measure_gap(
    activations: Activations, options: GapOptions, progress: Progress
) -> MisalignmentResult | MultilabelResult:
    """The misalignment of single labels, or of each label against the rest."""
    target, inputs = activations.target, conditional_inputs(activations)
    layers = {name: array for name, array in activations.features.items() if name != FEATURES}
    if target.task == "multilabel":
        return measure_multilabel(inputs, target.y, target.class_names or (), options, progress)
    return measure_misalignment(inputs, options, progress, layers=layers)


def conditional_inputs(activations: Activations) -> ConditionalInputs:
    """The arrays that the misalignment needs: log p, the head's features, labels and groups."""
    target = activations.target
    several = target.task == "multilabel"
    return ConditionalInputs(
        log_probabilities=activations.log_probabilities,
        features=np.asarray(activations.features[FEATURES], dtype=np.float64),
        labels=np.zeros(len(target), dtype=np.int64) if several else target.y,
        n_classes=1 if several else target.n_classes,
        groups=target.groups,
        class_names=() if several else tuple(target.class_names or ()),
        values=target.values,
    )


def gap_options(options: MeasureOptions) -> GapOptions:
    """The options of the misalignment."""
    return GapOptions(
        discrepancies=options.discrepancies,
        target_conditional=options.target_conditional,
        folds=options.folds,
        bootstrap=options.bootstrap,
        permutations=options.permutations,
        seed=options.seed,
    )
