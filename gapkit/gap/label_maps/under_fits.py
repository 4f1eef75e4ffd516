"""Injection and partition of every part, and in sample, under another loss than KL: from what KL found, and afresh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gapkit.arrays import Floats, Indices, Mask
from gapkit.gap.label_maps.injection import Injection, InjectionFit
from gapkit.gap.label_maps.partition import CROSS_FITTED_ENTRIES, Partition, PartitionFit
from gapkit.gap.label_maps.partition_mixed import gather
from gapkit.gap.label_maps.partition_problem import read_injection
from gapkit.gap.label_maps.partition_walk import thin, walk_from
from gapkit.gap.label_maps.parts import VALIDATION, Part
from gapkit.gap.label_maps.tempering import TEMPERATURES, Samples, Tempered, choose_temperatures
from gapkit.gap.label_maps.under import Answers, Criterion, answers_of, choose_eps, fit_eps
from gapkit.gap.label_maps.under_finder import Finder, Fitted, find_injections, find_partitions
from gapkit.gap.label_maps.under_readings import Mixture
from gapkit.gap.label_maps.under_substitutions import sigma_of

BEST_TEMPERATURES = 2
"""At so many temperatures the optimum in sample is searched from every start."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """Readings of one part to start from.

    Attributes:
        whole: of the fitting side.
        inner: that have not seen the validation samples.
        temperature: KL's, where the walk over temperatures begins.
    """

    whole: tuple[Indices, ...]
    inner: tuple[Indices, ...]
    temperature: float


def refit_injections(
    samples: Samples, parts: Sequence[Part], starts: Sequence[InjectionFit], criterion: Criterion, *, seed: int
) -> list[InjectionFit]:
    """Each part's injection under the criterion, from KL's."""
    n_source = samples.log_p.shape[1]
    known = [
        Known(
            whole=(read_injection(start.injection.sigma, n_source),),
            inner=(read_injection(start.inner, n_source),),
            temperature=start.injection.temperature,
        )
        for start in starts
    ]
    fits = _fit_parts(samples, parts, known, find_injections(criterion, seed=seed))
    return [
        InjectionFit(injection=fit.injection(part.prior), inner=sigma_of(inner))
        for (fit, inner), part in zip(fits, parts, strict=True)
    ]


def refit_partitions(
    samples: Samples,
    parts: Sequence[Part],
    starts: Sequence[PartitionFit],
    injections: Sequence[InjectionFit],
    criterion: Criterion,
) -> list[PartitionFit]:
    """Each part's partition under the criterion, from KL's and from the injection under the criterion."""
    n_source = samples.log_p.shape[1]
    known = [
        Known(
            whole=(start.partition.reading, read_injection(given.injection.sigma, n_source)),
            inner=(start.inner, read_injection(given.inner, n_source)),
            temperature=start.partition.temperature,
        )
        for start, given in zip(starts, injections, strict=True)
    ]
    fits = _fit_parts(samples, parts, known, find_partitions(criterion))
    return [
        PartitionFit(partition=fit.partition(part.prior), inner=inner)
        for (fit, inner), part in zip(fits, parts, strict=True)
    ]


def _fit_parts(
    samples: Samples, parts: Sequence[Part], known: Sequence[Known], finder: Finder
) -> list[tuple[Fitted, Indices]]:
    """T of each part by the validation loss mixed with the prior, then the reading and the inner one at that T."""
    chosen = _choose(samples, parts, known, finder)
    found: dict[int, tuple[Fitted, Indices]] = {}
    for value in sorted({temperature for temperature, _ in chosen}):
        tempered = samples.temper(value)
        for k in [k for k, (temperature, _) in enumerate(chosen) if temperature == value]:
            inner = finder.quick(tempered, parts[k].inner_fit, parts[k].prior, [chosen[k][1], *known[k].inner])
            whole = finder.run(tempered, parts[k].fit, parts[k].prior, [*known[k].whole, inner])
            eps = _held_out_eps(tempered, parts[k], inner, finder)
            found[k] = finder.report(tempered, parts[k].fit, parts[k].prior, replace(whole, eps=eps)), inner
    return [found[k] for k in range(len(parts))]


def _choose(
    samples: Samples, parts: Sequence[Part], known: Sequence[Known], finder: Finder
) -> list[tuple[float, Indices]]:
    """T of each part, and a reading of about a thousand samples of its inner fitting side there."""
    seen: list[dict[float, Indices]] = [{} for _ in parts]

    def losses_at(temperature: float, which: Indices) -> Floats:
        tempered = samples.temper(temperature)
        chosen, losses = [int(k) for k in which], np.empty(len(which))
        for m, k in enumerate(chosen):
            part = parts[k]
            reading = finder.quick(tempered, thin(part.inner_fit), part.prior, known[k].inner)
            answers = _answers(tempered, part.validation, part.prior, reading, finder.criterion)
            seen[k][temperature], losses[m] = reading, fit_eps(finder.criterion, answers)[1]
        return losses

    temperatures = walk_from([own.temperature for own in known], losses_at)
    return [(value, own[value]) for value, own in zip(temperatures, seen, strict=True)]


def _answers(tempered: Tempered, rows: Mask, prior: Floats, reading: Indices, criterion: Criterion) -> Answers:
    """What a reading says of the samples ``rows``."""
    q = gather(tempered.take(rows), reading, len(prior))
    return answers_of(criterion, q, tempered.samples.labels[rows], prior)


def _held_out_eps(tempered: Tempered, part: Part, inner: Indices, finder: Finder) -> float:
    """Eps on samples that the readings have not seen: of all inner folds, in large problems of the validation split."""
    labels, rows = tempered.samples.labels, part.validation
    q = np.tile(part.prior, (len(labels), 1))
    q[rows] = gather(tempered.take(rows), inner, len(part.prior))
    if part.fit.sum() * tempered.p.shape[1] <= CROSS_FITTED_ENTRIES:
        for fold in range(VALIDATION + 1, part.n_inner):
            fresh = part.inner == fold
            reading = finder.quick(tempered, part.without(fold), part.prior)
            q[fresh] = gather(tempered.take(fresh), reading, len(part.prior))
        rows = part.fit
    return choose_eps(finder.criterion, answers_of(finder.criterion, q[rows], labels[rows], part.prior))


def injection_in_sample(
    samples: Samples, prior: Floats, start: Injection, criterion: Criterion, *, seed: int, strict: bool = False
) -> Injection:
    """The injection's optimum on all samples, never worse than KL's; ``strict`` is without the class prior.

    Args:
        samples: sorted by class.
        prior: (K_t,) class prior of all samples.
        start: the optimum under KL.
        criterion: the loss.
        seed: of random starts.
        strict: eps = 0.
    """
    finder = find_injections(criterion, seed=seed, mixed=not strict)
    given = [(start.temperature, read_injection(start.sigma, samples.log_p.shape[1]))]
    return _fit_in_sample(samples, prior, finder, given).injection(prior)


def partition_in_sample(
    samples: Samples, prior: Floats, start: Partition, injection: Injection, criterion: Criterion
) -> Partition:
    """The partition's optimum on all samples, never worse than KL's or than the injection."""
    given = [
        (start.temperature, start.reading),
        (injection.temperature, read_injection(injection.sigma, samples.log_p.shape[1])),
    ]
    return _fit_in_sample(samples, prior, find_partitions(criterion), given).partition(prior)


def _fit_in_sample(samples: Samples, prior: Floats, finder: Finder, given: Sequence[tuple[float, Indices]]) -> Fitted:
    """The best of searches at the best temperatures and at the given ones, and of the given readings as they stand.

    Where all readings can be compared, they are at every temperature.
    """
    everything, readings = np.ones(len(samples.labels), dtype=bool), [reading for _, reading in given]
    if finder.list_all(samples.log_p.shape[1], len(prior)) is None:
        begun = _best_temperatures(samples, prior, finder, readings)
    else:
        begun = [(value, readings[0]) for value in TEMPERATURES]
    tried: list[tuple[float, Mixture]] = []
    for value, reading in [*begun, *given]:
        tempered = samples.temper(value)
        tried.append((value, finder.run(tempered, everything, prior, [reading])))
        tried.append((value, finder.evaluate(tempered, prior, reading)))
    temperature, found = min(tried, key=lambda item: item[1].loss)
    return finder.report(samples.temper(temperature), everything, prior, found)


def _best_temperatures(
    samples: Samples, prior: Floats, finder: Finder, readings: Sequence[Indices]
) -> list[tuple[float, Indices]]:
    """The temperatures with the least loss, and the reading of about a thousand samples at each."""
    everything, seen = np.ones(len(samples.labels), dtype=bool), dict[float, tuple[float, Indices]]()

    def losses_at(temperature: float, which: Indices) -> Floats:
        tempered = samples.temper(temperature)
        reading = finder.quick(tempered, thin(everything), prior, readings)
        seen[temperature] = finder.evaluate(tempered, prior, reading).loss, reading
        return np.array([seen[temperature][0]])

    choose_temperatures(losses_at, 1)
    best = sorted(seen, key=lambda value: seen[value][0])[:BEST_TEMPERATURES]
    return [(value, seen[value][1]) for value in best]
