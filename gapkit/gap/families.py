"""Every family cross-fitted: held-out q of all scored samples, q in sample, and the map refitted on all samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from gapkit.arrays import Features, Floats, TargetProbabilities
from gapkit.gap.discrepancy import KL
from gapkit.gap.inputs import GapOptions, RefittedMap
from gapkit.gap.label_maps import channel as channels
from gapkit.gap.label_maps import channel_parts
from gapkit.gap.label_maps import injection as injections
from gapkit.gap.label_maps import partition as partitions
from gapkit.gap.label_maps import under_fits as readings
from gapkit.gap.label_maps.ceiling import fit_ceiling
from gapkit.gap.label_maps.linear import LinearFit, fit_linear
from gapkit.gap.label_maps.under import Criterion, find_criterion
from gapkit.gap.label_maps.under_channel_fits import channel_in_sample, refit_channels
from gapkit.gap.problem import Problem
from gapkit.gap.reading import read_channel, read_injection, read_partition
from gapkit.statistics.neighbours import Neighbourhood
from gapkit.types import Progress

LETTER, PLAIN = "injection_strict", "linear_plain"
UNDER_KL = ("linear", "ceiling", PLAIN)
"""Always log-likelihood fits; they read the channel fitted under KL too."""


class FittedMap(Protocol):
    """One fitted map: what it says of samples that it has not seen."""

    def predict_log(self, log_p: Floats, features: Features) -> TargetProbabilities:
        """Log p (n, K_s) and features (n, d) to q (n, K_t)."""
        ...


@dataclass(frozen=True, kw_only=True)
class FamilyFit:
    """One family on one target, samples in the order of ``Problem``.

    Attributes:
        held_out: (n, K_t) q of the scored samples; rows of other samples are pi.
        maps: the map of each fold; None where predictions were given.
        in_sample: (n, K_t) q of the optimum on all samples; None where there is none.
        refitted: the map refitted on all samples; None where it cannot be read.
        members: of the ceiling, which member won in each fold.
        channels: of the channel, its fit on each fold's fitting side, which readers of features start from.
    """

    held_out: TargetProbabilities
    maps: tuple[FittedMap | None, ...] = ()
    in_sample: TargetProbabilities | None = None
    refitted: RefittedMap | None = None
    members: tuple[str, ...] = ()
    channels: tuple[channels.ChannelFit, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StrictFits:
    """Injection and partition of every part, last all samples, and the optima in sample.

    Attributes:
        injections: one for each part.
        partitions: one for each part.
        injection: the optimum on all samples, with T and eps fitted to them.
        partition: the optimum on all samples.
    """

    injections: list[injections.InjectionFit]
    partitions: list[partitions.PartitionFit]
    injection: injections.Injection
    partition: partitions.Partition


def fit_families(
    problem: Problem, options: GapOptions, progress: Progress, neighbourhood: Neighbourhood | None = None
) -> dict[str, FamilyFit | str]:
    """The families that are asked for, each from what the stricter ones found; a text says why one is undefined.

    Args:
        problem: samples and parts.
        options: families, members of the ceiling, and what maps are fitted under.
        progress: told about each family.
        neighbourhood: what the ceiling's "knn" looks its neighbours up in, where it is there already.
    """
    wanted = set(options.families)
    fits: dict[str, FamilyFit | str] = {}
    strict = _fit_strict(problem, progress) if problem.n_target <= problem.n_source else None
    reason = f"{problem.n_target} target classes do not fit into {problem.n_source} source classes one to one"
    fits |= dict.fromkeys((LETTER, "injection", "partition"), reason)
    criterion = None if options.fitted_under == KL.name else find_criterion(options.fitted_under)
    # What is fitted under another discrepancy starts from KL's fits, and linear and ceiling go on from KL's channel.
    shown = strict if strict is None or criterion is None else _refit_strict(problem, strict, criterion, progress)
    if shown is not None:
        fits |= _summarise_strict(problem, shown)
        fits |= {LETTER: _to_the_letter(problem, shown, criterion)} if LETTER in wanted else {}
    if wanted & {"channel", "linear", "ceiling"}:
        found = _fit_channels(problem, strict, progress)
        if "channel" in wanted:
            fits["channel"] = _summarise_channels(problem, found, strict, shown, criterion)
        fits |= fit_readers(problem, found, options, progress, neighbourhood)
    if PLAIN in wanted:
        fits[PLAIN] = _summarise_linears(problem, plain_linears(problem))
    return {name: fits[name] for name in options.families}


def fit_readers(
    problem: Problem,
    fits: Sequence[channels.ChannelFit],
    options: GapOptions,
    progress: Progress,
    neighbourhood: Neighbourhood | None = None,
) -> dict[str, FamilyFit]:
    """The families that read features, as far as they are asked for, from the channel of each fold."""
    found: dict[str, FamilyFit] = {}
    if not {"linear", "ceiling"} & set(options.families):
        return found
    linears = _fit_linears(problem, fits, progress)
    found["linear"] = _summarise_linears(problem, linears)
    if "ceiling" in options.families:
        progress("ceiling", 0, 1)
        found["ceiling"] = _ceiling(problem, fits, linears, options, neighbourhood)
        progress("ceiling", 1, 1)
    return found


def _fit_strict(problem: Problem, progress: Progress) -> StrictFits:
    """Injections by search on each fitting side, T by the inner split; partitions from there."""
    samples, parts, search = problem.samples, problem.parts, injections.Search(seed=problem.seed)
    progress("injection", 0, 1)
    found = injections.fit_parts(samples, parts, search)
    optimum = injections.fit_in_sample(samples, parts[-1].prior, search, known=[fit.injection for fit in found])
    progress("injection", 1, 1)
    made = partitions.fit_parts(samples, parts, found)
    whole = partitions.fit_in_sample(samples, parts[-1].prior, optimum)
    progress("partition", 1, 1)
    return StrictFits(
        injections=found,
        partitions=made,
        injection=optimum,
        partition=whole,
    )


def _summarise_strict(problem: Problem, fits: StrictFits) -> dict[str, FamilyFit | str]:
    """Injection and partition."""
    samples = problem.samples
    *folds, whole = (fit.injection for fit in fits.injections)
    made = [fit.partition for fit in fits.partitions]
    return {
        "injection": FamilyFit(
            held_out=_held_out(problem, folds),
            maps=tuple(folds),
            in_sample=fits.injection.predict_log(samples.log_p),
            refitted=read_injection(whole, folds),
        ),
        "partition": FamilyFit(
            held_out=_held_out(problem, made[:-1]),
            maps=tuple(made[:-1]),
            in_sample=fits.partition.predict_log(samples.log_p),
            refitted=read_partition(made[-1], made[:-1]),
        ),
    }


def _refit_strict(problem: Problem, fits: StrictFits, criterion: Criterion, progress: Progress) -> StrictFits:
    """Injection and partition under another discrepancy, from those under KL."""
    samples, parts, prior = problem.samples, problem.parts, problem.parts[-1].prior
    progress(f"under {criterion.name}", 0, 2)
    found = readings.refit_injections(samples, parts, fits.injections, criterion, seed=problem.seed)
    optimum = readings.injection_in_sample(samples, prior, fits.injection, criterion, seed=problem.seed)
    progress(f"under {criterion.name}", 1, 2)
    made = readings.refit_partitions(samples, parts, fits.partitions, found, criterion)
    whole = readings.partition_in_sample(samples, prior, fits.partition, optimum, criterion)
    progress(f"under {criterion.name}", 2, 2)
    return StrictFits(injections=found, partitions=made, injection=optimum, partition=whole)


def _to_the_letter(problem: Problem, fits: StrictFits, criterion: Criterion | None) -> FamilyFit:
    """The injections without the class prior; the optimum in sample is that for eps = 0."""
    *folds, whole = (replace(fit.injection, eps=0.0) for fit in fits.injections)
    search = injections.Search(seed=problem.seed, trimmed=False)
    known = [fit.injection for fit in fits.injections]
    best = injections.fit_in_sample(problem.samples, whole.prior, search, known=known, strict=True)
    if criterion is not None:
        samples, seed = problem.samples, problem.seed
        best = readings.injection_in_sample(samples, whole.prior, best, criterion, seed=seed, strict=True)
    return FamilyFit(
        held_out=_held_out(problem, folds),
        maps=tuple(folds),
        in_sample=best.predict_log(problem.samples.log_p),
        refitted=read_injection(whole, folds),
    )


def _held_out(problem: Problem, folds: Sequence[FittedMap]) -> TargetProbabilities:
    """What each fold's map says of the samples that the fold scores."""
    q = problem.prior_held_out()
    for part, fitted in zip(problem.parts, folds, strict=False):
        q[part.scored] = fitted.predict_log(problem.samples.log_p[part.scored], problem.features[part.scored])
    return q


def _fit_channels(problem: Problem, strict: StrictFits | None, progress: Progress) -> list[channels.ChannelFit]:
    """The channel of each part, cross-fitted inside its fitting side too."""
    progress("channel", 0, 1)
    starts = None if strict is None else strict.partitions
    fits = channel_parts.fit_parts(problem.samples, problem.parts, partitions=starts)
    progress("channel", 1, 1)
    return fits


def _summarise_channels(
    problem: Problem,
    fits: list[channels.ChannelFit],
    strict: StrictFits | None,
    shown: StrictFits | None,
    criterion: Criterion | None,
) -> FamilyFit:
    """Held-out and in-sample q of the channels, and the table of the refitted one.

    Args:
        problem: samples and parts.
        fits: the channels under KL.
        strict: injection and partition under KL.
        shown: those under the criterion.
        criterion: another loss than KL that channels are to be fitted under, or None.
    """
    samples, parts, prior = problem.samples, problem.parts, problem.parts[-1].prior
    maps = [fit.channel for fit in fits]
    stricter = () if strict is None else (strict.injection.temperature, strict.partition.temperature)
    start = None if strict is None else strict.partition
    best = channels.fit_in_sample(samples, prior, partition=start, temperatures=stricter)
    if criterion is not None:
        maps = refit_channels(samples, parts, fits, None if shown is None else shown.partitions, criterion)
        best = channel_in_sample(samples, prior, best, None if shown is None else shown.partition, criterion)
    return FamilyFit(
        held_out=_held_out(problem, maps[:-1]),
        maps=tuple(maps[:-1]),
        in_sample=best.predict_log(samples.log_p),
        refitted=read_channel(samples, maps[-1], maps[:-1]),
        channels=tuple(fits),
    )


def _fit_linears(problem: Problem, fits: Sequence[channels.ChannelFit], progress: Progress) -> list[LinearFit]:
    """Logistic regression on features and log q of the channel, fold by fold."""
    samples, parts = problem.samples, problem.parts[:-1]
    found: list[LinearFit] = []
    for part, fit in zip(parts, fits, strict=False):
        q = fit.inner.copy()
        q[part.scored] = fit.channel.predict_log(samples.log_p[part.scored])
        found.append(fit_linear(problem.features, np.log(q), samples.labels, part, fit.channel))
        progress("linear", len(found), len(parts))
    return found


def plain_linears(problem: Problem) -> list[LinearFit]:
    """Logistic regression on features alone, fold by fold."""
    return [fit_linear(problem.features, None, problem.samples.labels, part) for part in problem.parts[:-1]]


def probe_conditional(problem: Problem) -> TargetProbabilities:
    """P(Y^t | x) (n, K_t) by logistic regression on features alone, held out; rows that are not scored are pi."""
    return _summarise_linears(problem, plain_linears(problem)).held_out


def _summarise_linears(problem: Problem, fits: list[LinearFit]) -> FamilyFit:
    """Held-out q; there is no optimum in sample: without a penalty it would fit the samples themselves."""
    held_out = problem.prior_held_out()
    for part, fit in zip(problem.parts, fits, strict=False):
        held_out[part.scored] = fit.held_out[part.scored]
    return FamilyFit(held_out=held_out, maps=tuple(fit.linear for fit in fits))


def _ceiling(
    problem: Problem,
    fits: Sequence[channels.ChannelFit],
    linears: Sequence[LinearFit],
    options: GapOptions,
    neighbourhood: Neighbourhood | None,
) -> FamilyFit:
    """The best member on the inner split, fold by fold."""
    found = fit_ceiling(problem, fits, linears, options.ceiling, neighbourhood)
    return FamilyFit(held_out=found.held_out, maps=found.maps, members=found.winners)
