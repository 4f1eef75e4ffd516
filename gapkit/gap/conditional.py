"""The misalignment between the source conditional and the target conditional, cross-fitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits  # pyright: ignore[reportMissingTypeStubs]

from gapkit.arrays import Array, Features, Floats, Indices, PerSample, PerScored, TargetProbabilities
from gapkit.estimates import ClassGap, Misalignment, Null
from gapkit.gap.canonical import Canonical, canonicalise
from gapkit.gap.classes import class_gaps
from gapkit.gap.discrepancy import KL, find_discrepancy
from gapkit.gap.families import UNDER_KL, FamilyFit, fit_families, probe_conditional
from gapkit.gap.inputs import ConditionalInputs, GapOptions, MisalignmentResult, RefittedMap
from gapkit.gap.label_maps.ceiling import find_neighbourhood
from gapkit.gap.label_maps.tempering import LOG_FLOOR
from gapkit.gap.layers import check_layers, layer_rows
from gapkit.gap.null import NullInputs, null_tests
from gapkit.gap.problem import Problem, prepare
from gapkit.gap.regression import r_squared
from gapkit.gap.scoring import Scoring, score_families
from gapkit.options import given_or_default
from gapkit.statistics.folds import Folds, stratified_folds
from gapkit.statistics.neighbours import Neighbourhood
from gapkit.types import Progress, no_progress

__all__ = ["ConditionalInputs", "GapOptions", "MisalignmentResult", "measure_misalignment", "measure_on_folds"]


def measure_misalignment(
    inputs: ConditionalInputs,
    options: GapOptions | None = None,
    progress: Progress = no_progress,
    *,
    layers: Mapping[str, Array] | None = None,
) -> MisalignmentResult:
    """``D = inf over label maps of d(P(mapped Y^s | X), P(Y^t | X))`` (Ma et al., ICML 2024) for each family.

    Maps are fitted (under KL unless ``fitted_under`` says otherwise) and scored on different folds: stratified, seeded,
    and grouped where there are groups.
    Classes with fewer samples (or groups) than folds are never scored, and the rows are "partial". ``value`` is the
    mean discrepancy of the held-out samples, ``normalised`` divides it by that of the cross-fitted class prior,
    ``in_sample`` is that of the map fitted to all samples and scored on them. Intervals are for the fitted
    maps, and all families share their resamples. Folds and everything random depend on what samples and classes hold,
    not on their order: permuting samples, source classes or target classes changes nothing but names.

    Args:
        inputs: source conditional, features, labels and groups.
        options: families, discrepancies, folds, resamples, permutations and seed.
        progress: told about the parts that are done.
        layers: name -> features (n, d) of further layers; "linear" and "ceiling" are measured on each of them too.

    Raises:
        DataError: fewer than two classes can be scored.
    """
    return fit_and_score(inputs, given_or_default(options, GapOptions), layers=layers, progress=progress).result


def measure_on_folds(
    inputs: ConditionalInputs, folds: Folds, options: GapOptions, progress: Progress = no_progress
) -> MisalignmentResult:
    """As ``measure_misalignment``, on given folds."""
    return fit_and_score(inputs, options, folds=folds, progress=progress).result


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A result with what it was made from.

    Attributes:
        result: rows and maps, with the given names.
        canonical: the order that everything was computed in.
        problem: samples and folds, in canonical order and sorted by class.
        fits: family -> what it found there, or why it is undefined.
        ratios: name -> the two sums' terms (n,) of each number, in the given order of samples; 0 where not scored.
    """

    result: MisalignmentResult
    canonical: Canonical
    problem: Problem
    fits: dict[str, FamilyFit | str]
    ratios: dict[str, tuple[PerSample, PerSample]]

    def predict(self, family: str, fold: int, log_p: Floats, features: Features) -> TargetProbabilities:
        """What one fold's map says of other samples: log p (n, K_s) and features (n, d), as given, to q (n, K_t).

        Classes without a sample have probability 0.

        Raises:
            KeyError: the family is undefined, or was not fitted, or keeps no map of this fold.
        """
        fit = self.fits[family]
        fitted = fit.maps[fold] if isinstance(fit, FamilyFit) and fit.maps else None
        if fitted is None:
            raise KeyError(f"{family} has no map of fold {fold}")
        given = np.maximum(log_p, LOG_FLOOR)[:, self.canonical.source_classes]
        q = np.zeros((len(log_p), self.canonical.n_classes))
        q[:, self.canonical.target_classes] = fitted.predict_log(given, features)
        return q


def fit_and_score(
    inputs: ConditionalInputs,
    options: GapOptions,
    *,
    folds: Folds | None = None,
    layers: Mapping[str, Array] | None = None,
    progress: Progress = no_progress,
) -> Measured:
    """Fit, score and read the families; without ``folds`` they are drawn.

    Linear algebra runs on one thread: the products are small, and waiting threads cost more than they bring (ten digits
    from 352 source classes took 14 s on two cores, and 28 s of their time, where it takes 5 s on one).
    """
    with threadpool_limits(1, user_api="blas"):
        return _fit_and_score(inputs, options, folds, layers or {}, progress)


def _fit_and_score(
    inputs: ConditionalInputs,
    options: GapOptions,
    folds: Folds | None,
    layers: Mapping[str, Array],
    progress: Progress,
) -> Measured:
    """As ``fit_and_score``, on as many threads as there are."""
    check_layers(layers, len(inputs.labels), options)
    canonical = canonicalise(inputs)
    ordered = draw_folds(canonical, options) if folds is None else canonical.folds(folds)
    problem = prepare(canonical.inputs, ordered, seed=options.seed)
    # Nearest neighbours are a member of the ceiling and its null statistic: one pass over the distances serves both.
    near = find_neighbourhood(problem) if "ceiling" in options.families and "knn" in options.ceiling else None
    fits = fit_families(problem, options, progress, near)
    progress("permutations", 0, 1)
    nulls = _null_tests(problem, ordered, options, near)
    progress("permutations", 1, 1)
    scoring = make_scoring(problem, options, _partial_reason(ordered, inputs))
    scores = score_families(scoring, fits, options.discrepancies)
    defined = {name: fit for name, fit in fits.items() if isinstance(fit, FamilyFit)}
    held_out = {name: fit.held_out for name, fit in defined.items()}
    values, home = problem.values, canonical.order[problem.order]
    result = MisalignmentResult(
        rows=tuple(_with_null(row, nulls) for row in scores.rows),
        decomposition=scores.decomposition,
        r_squared={} if values is None else r_squared(scoring, problem.parts, values, held_out),
        label_maps={
            name: replace(_rename(fit.refitted, canonical), fitted_under=options.fitted_under)
            for name, fit in defined.items()
            if fit.refitted is not None
        },
        n_scored=scoring.n,
        unscored=ordered.unscored,
        classes=_classes(inputs, canonical, scoring, held_out),
        layers=_layers(replace(problem, order=home), fits, layers, scoring, options, progress),
        notes=(*_notes(inputs, canonical, fits), *fitted_under_notes(options)),
        fitted_under=options.fitted_under,
    )
    own = home[scoring.scored]
    ratios = {
        name: (_back(above, own, len(inputs.labels)), _back(below, own, len(inputs.labels)))
        for name, (above, below) in scores.ratios.items()
    }
    return Measured(result=result, canonical=canonical, problem=problem, fits=fits, ratios=ratios)


def _classes(
    inputs: ConditionalInputs, canonical: Canonical, scoring: Scoring, held_out: Mapping[str, TargetProbabilities]
) -> tuple[ClassGap, ...]:
    """The misalignment of each scored class, in the order of the given codes."""
    given = inputs.class_names or [str(code) for code in range(inputs.n_classes)]
    codes = canonical.target_classes
    found = class_gaps(scoring, held_out, [given[int(code)] for code in codes])
    order: list[int] = np.argsort(codes[np.unique(scoring.labels[scoring.scored])]).tolist()
    return tuple(found[k] for k in order[: len(found)])


def _layers(
    problem: Problem,
    fits: Mapping[str, FamilyFit | str],
    layers: Mapping[str, Array],
    scoring: Scoring,
    options: GapOptions,
    progress: Progress,
) -> dict[str, tuple[Misalignment, ...]]:
    """Rows of each layer, from the channels that the measurement has fitted."""
    channel = fits.get("channel")
    if not layers or not isinstance(channel, FamilyFit):
        return {}
    return layer_rows(problem, channel.channels, layers, scoring, options, progress)


def _null_tests(
    problem: Problem, folds: Folds, options: GapOptions, neighbourhood: Neighbourhood | None
) -> dict[tuple[str, str], Null]:
    """The permutation test of each family under each discrepancy."""
    if options.permutations == 0:
        return {}
    return null_tests(
        NullInputs(
            log_p=problem.samples.log_p,
            features=problem.features,
            labels=problem.samples.labels,
            n_classes=problem.n_target,
            folds=replace(folds, ids=folds.ids[problem.order], home=folds.home[problem.order]),
            groups=problem.groups,
            neighbourhood=neighbourhood,
        ),
        families=options.families,
        discrepancies=[find_discrepancy(name) for name in options.discrepancies],
        permutations=options.permutations,
        seed=options.seed,
    )


def _with_null(row: Misalignment, tests: Mapping[tuple[str, str], Null]) -> Misalignment:
    """A row with its permutation test; an undefined row has none."""
    return row if row.status == "undefined" else replace(row, null=tests.get((row.label_map, row.discrepancy)))


def draw_folds(canonical: Canonical, options: GapOptions) -> Folds:
    """Stratified folds in canonical order; unscored classes with their given codes."""
    inputs = canonical.inputs
    folds = stratified_folds(inputs.labels, options.folds, groups=inputs.groups, seed=options.seed)
    unscored = sorted(int(canonical.target_classes[code]) for code in folds.unscored)
    return replace(folds, unscored=tuple(unscored))


def _back(values: PerScored, home: Indices, n: int) -> PerSample:
    """Values of the scored samples at their given places (n,)."""
    placed = np.zeros(n)
    placed[home] = values
    return placed


def make_scoring(problem: Problem, options: GapOptions, reason: str = "") -> Scoring:
    """What the families of a problem are scored on: the labels, or a probe's probabilities of the same folds."""
    probe = options.target_conditional == "probe"
    return Scoring(
        labels=problem.samples.labels,
        scored=problem.folds >= 0,
        groups=problem.groups,
        prior=problem.prior_held_out(),
        resamples=options.bootstrap,
        seed=options.seed,
        reason=reason,
        conditional=probe_conditional(problem) if probe else None,
        fitted_under=options.fitted_under,
    )


def _partial_reason(folds: Folds, inputs: ConditionalInputs) -> str:
    """Which classes are never scored, and why."""
    if not folds.unscored:
        return ""
    what = "samples" if inputs.groups is None else "groups"
    names = inputs.class_names or [str(code) for code in range(inputs.n_classes)]
    listed = ", ".join(names[code] for code in folds.unscored)
    return f"classes {listed} have fewer {what} than the {folds.n_folds} folds: fitted on, never scored"


def _rename(refitted: RefittedMap, canonical: Canonical) -> RefittedMap:
    """Canonical source and target classes back to the given ones, in the order of the given target classes."""
    targets = canonical.target_classes
    entries = [
        replace(
            entry,
            source=int(canonical.source_classes[entry.source]),
            target=None if entry.target is None else int(targets[entry.target]),
        )
        for entry in refitted.entries
    ]
    if refitted.family == "injection":
        entries.sort(key=lambda entry: -1 if entry.target is None else entry.target)
    if refitted.family == "partition":
        entries.sort(key=lambda entry: entry.source)
    return replace(refitted, entries=tuple(entries))


def _notes(inputs: ConditionalInputs, canonical: Canonical, fits: dict[str, FamilyFit | str]) -> tuple[str, ...]:
    """What a reader of the rows should know beside them."""
    notes: list[str] = []
    n_present = len(canonical.target_classes)
    if n_present < inputs.n_classes:
        notes.append(
            f"{inputs.n_classes - n_present} of {inputs.n_classes} target classes have no sample and are left out"
        )
    fitted = [name for name, fit in fits.items() if isinstance(fit, FamilyFit) and fit.in_sample is None]
    if fitted:
        verb = "has" if len(fitted) == 1 else "have"
        notes.append(
            f"{' and '.join(fitted)} {verb} no in-sample value: unpenalised, they would fit the samples themselves"
        )
    for name, fit in fits.items():
        if isinstance(fit, FamilyFit) and fit.members:
            won = ", ".join(f"{member} in {fit.members.count(member)}" for member in dict.fromkeys(fit.members))
            notes.append(f"{name}: the best on the inner split is {won} of {len(fit.members)} folds")
    return tuple(notes)


def fitted_under_notes(options: GapOptions) -> tuple[str, ...]:
    """Which families were fitted under another discrepancy than KL, and which were not."""
    if options.fitted_under == KL.name:
        return ()
    moved = [name for name in options.families if name not in UNDER_KL]
    kept = [name for name in options.families if name in UNDER_KL]
    notes = [f"{', '.join(moved)}: fitted under {options.fitted_under}"] if moved else []
    if kept:
        notes.append(f"{', '.join(kept)}: fitted under KL, from the channel fitted under KL")
    return tuple(notes)
