"""The misalignment between the source conditional and the target conditional, cross-fitted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gapkit.arrays import Indices
from gapkit.gap.families import (
    FamilyFit,
    fit_all_channels,
    fit_injections,
    fit_linears,
    prior_held_out,
    summarise_channels,
)
from gapkit.gap.inputs import ConditionalInputs, GapOptions, MisalignmentResult, RefittedMap
from gapkit.gap.label_maps.parts import Part, fold_parts
from gapkit.gap.label_maps.tempering import LOG_FLOOR, Samples, sort_samples
from gapkit.gap.scoring import Scoring, score_families
from gapkit.statistics.folds import Folds, stratified_folds
from gapkit.types import Progress, no_progress

__all__ = ["ConditionalInputs", "GapOptions", "MisalignmentResult", "measure_misalignment", "measure_on_folds"]


def measure_misalignment(
    inputs: ConditionalInputs, options: GapOptions | None = None, progress: Progress = no_progress
) -> MisalignmentResult:
    """``D = inf over label maps of d(P(mapped Y^s | X), P(Y^t | X))`` (Ma et al., ICML 2024) for each family.

    Maps are fitted under KL and scored on different folds: stratified, seeded, and grouped where there are groups.
    Classes with fewer samples (or groups) than folds are never scored, and the rows are "partial". ``value`` is the
    mean discrepancy of the held-out samples, ``normalised`` divides it by that of the cross-fitted class prior,
    ``in_sample`` is that of the map fitted under KL to all samples and scored on them. Intervals are for the fitted
    maps, and all families share their resamples.

    Args:
        inputs: source conditional, features, labels and groups.
        options: families, discrepancies, folds, resamples and seed.
        progress: told about the parts that are done.

    Raises:
        DataError: fewer than two classes can be scored.
    """
    options = options or GapOptions()
    folds = stratified_folds(inputs.labels, options.folds, groups=inputs.groups, seed=options.seed)
    return measure_on_folds(inputs, folds, options, progress)


def measure_on_folds(
    inputs: ConditionalInputs, folds: Folds, options: GapOptions, progress: Progress = no_progress
) -> MisalignmentResult:
    """As ``measure_misalignment``, on given folds."""
    present, labels = np.unique(inputs.labels, return_inverse=True)
    labels = labels.reshape(-1).astype(np.int64)
    log_p = np.maximum(inputs.log_probabilities, LOG_FLOOR)
    samples, order = sort_samples(log_p, labels, len(present))
    made = fold_parts(labels, folds, groups=inputs.groups, n_classes=len(present), seed=options.seed)
    parts = [part.take(order) for part in made]
    scoring = Scoring(
        labels=samples.labels,
        scored=folds.ids[order] >= 0,
        groups=None if inputs.groups is None else inputs.groups[order],
        prior=prior_held_out(parts),
        resamples=options.bootstrap,
        seed=options.seed,
        reason=_partial_reason(folds, inputs),
    )
    fits = _fit_families(replace(inputs, features=inputs.features[order]), samples, parts, options, progress)
    return MisalignmentResult(
        rows=score_families(scoring, fits, options.discrepancies),
        label_maps={
            name: _rename(fit.refitted, present)
            for name, fit in fits.items()
            if isinstance(fit, FamilyFit) and fit.refitted is not None
        },
        n_scored=int(scoring.scored.sum()),
        unscored=folds.unscored,
        notes=_notes(inputs, len(present), fits),
    )


def _fit_families(
    inputs: ConditionalInputs, samples: Samples, parts: list[Part], options: GapOptions, progress: Progress
) -> dict[str, FamilyFit | str]:
    """Fit what is asked for; the linear family needs the channel's q whether or not its rows are asked for."""
    fits: dict[str, FamilyFit | str] = dict.fromkeys(options.families, "")
    candidates: tuple[float, ...] = ()
    if "injection" in fits:
        fits["injection"] = found = _fit_injection(samples, parts, options.seed, progress)
        if isinstance(found, FamilyFit) and found.temperature is not None:
            candidates = (found.temperature,)
    if {"channel", "linear"} & set(fits):
        channels = fit_all_channels(samples, parts, progress=progress)
        if "channel" in fits:
            fits["channel"] = summarise_channels(samples, parts, channels, temperatures=candidates)
        if "linear" in fits:
            fits["linear"] = fit_linears(inputs.features, samples, parts, channels, progress)
    return fits


def _fit_injection(samples: Samples, parts: list[Part], seed: int, progress: Progress) -> FamilyFit | str:
    """The injection, or why there is none."""
    n_source = samples.log_p.shape[1]
    if n_source < samples.n_classes:
        return f"{samples.n_classes} target classes do not fit into {n_source} source classes one to one"
    return fit_injections(samples, parts, seed=seed, progress=progress)


def _partial_reason(folds: Folds, inputs: ConditionalInputs) -> str:
    """Which classes are never scored, and why."""
    if not folds.unscored:
        return ""
    what = "samples" if inputs.groups is None else "groups"
    names = inputs.class_names or [str(code) for code in range(inputs.n_classes)]
    listed = ", ".join(names[code] for code in folds.unscored)
    return f"classes {listed} have fewer {what} than the {folds.n_folds} folds: fitted on, never scored"


def _rename(refitted: RefittedMap, present: Indices) -> RefittedMap:
    """Codes among the classes that are present back to the target's own."""
    entries = tuple(replace(entry, target=int(present[entry.target])) for entry in refitted.entries)
    return replace(refitted, entries=entries)


def _notes(inputs: ConditionalInputs, n_present: int, fits: dict[str, FamilyFit | str]) -> tuple[str, ...]:
    """What a reader of the rows should know beside them."""
    notes: list[str] = []
    if n_present < inputs.n_classes:
        notes.append(
            f"{inputs.n_classes - n_present} of {inputs.n_classes} target classes have no sample and are left out"
        )
    if "linear" in fits:
        notes.append("linear has no in-sample value: without a penalty it would fit the samples themselves")
    return tuple(notes)
