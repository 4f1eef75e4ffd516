"""``measure``: target -> embedder -> source -> activations -> misalignment -> result."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from threadpoolctl import threadpool_limits

from gapkit.errors import OptionError, did_you_mean
from gapkit.gap.conditional import ConditionalInputs, GapOptions, measure_misalignment
from gapkit.gap.inputs import ALL_DISCREPANCIES, DISCREPANCIES, TARGET_CONDITIONALS, MisalignmentResult
from gapkit.gap.multilabel import MultilabelResult, measure_multilabel
from gapkit.pipeline.pictures import example_pictures
from gapkit.pipeline.selection import select
from gapkit.pipeline.summary import (
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
    from gapkit.embedders import Choice
    from gapkit.sources.source import Source

SPLITS = ("train", "test", "all")
FEATURES = "features"


@dataclass(frozen=True, kw_only=True)
class MeasureOptions:
    """What changes the numbers of ``measure``, and how it runs.

    Attributes:
        split: samples that are used; a target without a split has only "train", which is all of it.
        max_samples: stratified draw of at most this many; None uses all.
        embedder: name of a fixed embedder, "auto" for the choice by the data.
        layers: names of layers and globs; "linear" and "ceiling" are measured on each of them too. "all" stands for the
            source's blocks.
        discrepancies: "kl", "brier", "total_variation", "zero_one", "squared_hellinger", "jensen_shannon".
        target_conditional: "labels", or "probe": cross-fitted probabilities of a linear probe.
        folds: of the cross-fitting.
        bootstrap: resamples of the intervals.
        permutations: of the null.
        n_bins: quantile bins of a regression target.
        seed: of draws, folds, starts and resamples.
        batch_size: samples per forward pass, None finds one.
        keep_features: whether features are kept in the cache on disk and read from there.
    """

    split: Literal["train", "test", "all"] = "train"
    max_samples: int | None = 10_000
    embedder: str = "auto"
    layers: tuple[str, ...] = ()
    discrepancies: tuple[str, ...] = DISCREPANCIES
    target_conditional: Literal["labels", "probe"] = "labels"
    folds: int = 5
    bootstrap: int = 1000
    permutations: int = 200
    n_bins: int = 10
    seed: int = 0
    batch_size: int | None = None
    keep_features: bool = True

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            OptionError: an option is out of range.
        """
        _check_choice("split", self.split, SPLITS)
        _check_choice("target_conditional", self.target_conditional, TARGET_CONDITIONALS)
        for name, least in (("folds", 2), ("bootstrap", 100), ("permutations", 0), ("n_bins", 2), ("seed", 0)):
            _check_least(name, getattr(self, name), least)
        if self.max_samples is not None:
            _check_least("max_samples", self.max_samples, 20)
        if self.batch_size is not None:
            _check_least("batch_size", self.batch_size, 1)
        for name in self.discrepancies:
            _check_choice("discrepancy", name, ALL_DISCREPANCIES)

    def numbers(self) -> dict[str, Any]:
        """The options that change a number, for the provenance."""
        told = {key: value for key, value in asdict(self).items() if key not in ("keep_features", "batch_size")}
        # Lists, as JSON gives them back.
        return told | {"discrepancies": list(self.discrepancies), "layers": list(self.layers)}


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
        embedder: a fitted embedder; by default a fixed one, chosen by ``options.embedder``.
        surrogate: labelled set of the source's modality that gives a headless source its head.
        options: what is measured and how.
        progress: told about the forward passes and the folds.

    Returns:
        The result, with a table, JSON and a figure.

    Raises:
        GapkitError: the target, the source and the options do not go together; the message says why.
    """
    options = options or MeasureOptions()
    started = time.monotonic()
    choice, embedder = choose_embedder(source, target, embedder, options)
    used, notes = select(target, options)
    check_layers_asked(used, options)
    activations = run_source(source, used, embedder, surrogate or source.surrogate, options, progress)
    gap = measure_gap(activations, gap_options(options), progress)
    return GapResult(
        source=summarise_source(source, activations),
        target=summarise_target(activations, choice, options),
        misalignment=gap.rows,
        label_maps=name_label_maps(gap, activations),
        label_map_fits=label_map_fits(gap),
        decomposition=gap.decomposition,
        r_squared={} if isinstance(gap, MultilabelResult) else gap.r_squared,
        per_label=(
            {name: one.rows for name, one in gap.per_label.items()} if isinstance(gap, MultilabelResult) else {}
        ),
        classes=() if isinstance(gap, MultilabelResult) else gap.classes,
        layers={} if isinstance(gap, MultilabelResult) else gap.layers,
        notes=(*target.notes, *notes, *overlap(source, used), *activations.notes, *gap.notes),
        pictures=example_pictures(source, used, embedder),
        provenance=provenance(source, used, options, seconds=time.monotonic() - started),
    )


def choose_embedder(
    source: Source, target: Target, given: Embedder | None, options: MeasureOptions
) -> tuple[Choice, Embedder]:
    """The embedder with the reason for it; a fixed one takes its statistics from the target's train split."""
    # Imported here: a mistyped source name should not have to wait for torch.
    from gapkit.embedders import Choice, choose, fit

    if given is not None:
        return Choice(name=given.name, reason="given"), given
    choice = choose(target, source.input, source.token, name=options.embedder)
    return choice, fit(choice, target, source.input, source.token)


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


def chosen_layers(source: Source, patterns: tuple[str, ...]) -> tuple[str, ...]:
    """Names and globs of layers, "all" spelled out."""
    from gapkit.sources.blocks import block_names

    return tuple(name for given in patterns for name in (block_names(source.module) if given == "all" else (given,)))


def run_source(
    source: Source,
    target: Target,
    embedder: Embedder,
    surrogate: Target | None,
    options: MeasureOptions,
    progress: Progress = no_progress,
) -> Activations:
    """Features and logits of the target; a headless source gets its head from the surrogate, or from prototypes."""
    from gapkit.sources.cache import FeatureCache
    from gapkit.sources.capture import CaptureOptions, extract

    capture = CaptureOptions(batch_size=options.batch_size, cache=FeatureCache() if options.keep_features else None)
    layers = chosen_layers(source, options.layers)
    activations = extract(source, target, embedder, replace(capture, layers=layers), progress)
    if source.class_names is not None:
        return activations
    from gapkit.embedders import choose, fit
    from gapkit.sources.heads import complete_head

    known = None
    if surrogate is not None:
        own = choose(surrogate, source.input, source.token)
        fitted = fit(own, surrogate, source.input, source.token)
        known = extract(source, surrogate, fitted, capture, progress)
    return complete_head(activations, known, seed=options.seed)


def measure_gap(
    activations: Activations, options: GapOptions, progress: Progress
) -> MisalignmentResult | MultilabelResult:
    """The misalignment of single labels, or of each label against the rest.

    Linear algebra runs on one thread: the products are small, and waiting threads cost more than they bring.
    """
    target, inputs = activations.target, conditional_inputs(activations)
    layers = {name: array for name, array in activations.features.items() if name != FEATURES}
    with threadpool_limits(1, user_api="blas"):
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


def _check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a value that is not among the choices."""
    if value not in choices:
        raise OptionError(
            f"{option} {value!r}", expected="one of " + ", ".join(choices), remedy=did_you_mean(value, choices)
        )


def _check_least(option: str, value: int, least: int) -> None:
    """Refuse a number below ``least``."""
    if value < least:
        raise OptionError(f"{option} {value}", expected=f"at least {least}", remedy=f"use {option} {least} or more")
