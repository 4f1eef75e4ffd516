"""Every family cross-fitted: held-out q of all scored samples, q in sample, and the map refitted on all samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gapkit.arrays import Features, Floats, Indices, TargetProbabilities
from gapkit.gap.inputs import GapOptions, MapEntry, RefittedMap
from gapkit.gap.label_maps import channel as channels
from gapkit.gap.label_maps import injection as injections
from gapkit.gap.label_maps.linear import fit_linear
from gapkit.gap.label_maps.parts import Part
from gapkit.gap.label_maps.tempering import Samples
from gapkit.gap.problem import Problem
from gapkit.types import Progress

LEAST_MASS = 0.01
"""Joint mass from which a channel's line is shown."""


class FittedMap(Protocol):
    """One fitted map: what it says of samples that it has not seen."""

    def predict_log(self, log_p: Floats, features: Features) -> TargetProbabilities:
        """Log p (n, K_s) and features (n, d) to q (n, K_t)."""
        ...


@dataclass(frozen=True, kw_only=True)
class FamilyFit:
    """One family on one target, samples in the order of ``Samples``.

    Attributes:
        held_out: (n, K_t) q of the scored samples; rows of other samples are pi.
        maps: the map of each fold.
        in_sample: (n, K_t) q of the optimum on all samples; None where there is none.
        refitted: the map refitted on all samples; None where it cannot be read.
        temperature: T of the optimum on all samples; None where there is none.
    """

    held_out: TargetProbabilities
    maps: tuple[FittedMap, ...] = ()
    in_sample: TargetProbabilities | None = None
    refitted: RefittedMap | None = None
    temperature: float | None = None


def fit_families(problem: Problem, options: GapOptions, progress: Progress) -> dict[str, FamilyFit | str]:
    """The families that are asked for, each from what the stricter ones found; a text says why one is undefined."""
    samples, parts = problem.samples, problem.parts
    fits: dict[str, FamilyFit | str] = dict.fromkeys(options.families, "is not fitted")
    candidates: tuple[float, ...] = ()
    if "injection" in fits:
        fits["injection"] = found = _injection_or_reason(problem, progress)
        if isinstance(found, FamilyFit) and found.temperature is not None:
            candidates = (found.temperature,)
    if {"channel", "linear"} & set(fits):
        channels = fit_all_channels(samples, parts, progress=progress)
        if "channel" in fits:
            fits["channel"] = summarise_channels(problem, channels, temperatures=candidates)
        if "linear" in fits:
            fits["linear"] = fit_linears(problem, channels, progress)
    return fits


def _injection_or_reason(problem: Problem, progress: Progress) -> FamilyFit | str:
    """The injection, or why there is none."""
    if problem.n_source < problem.n_target:
        return f"{problem.n_target} target classes do not fit into {problem.n_source} source classes one to one"
    return fit_injections(problem, progress=progress)


def fit_injections(problem: Problem, *, progress: Progress) -> FamilyFit:
    """The injection: T by the inner split, sigma by search on each fitting side."""
    samples, parts, seed = problem.samples, problem.parts, problem.seed
    temperatures = injections.injection_temperatures(samples, parts)
    held_out = problem.prior_held_out()
    fitted: dict[int, injections.Injection] = {}
    for value in np.unique(temperatures):
        tempered = samples.temper(float(value))
        for k in np.flatnonzero(temperatures == value).tolist():
            fitted[k] = injections.fit_part(tempered, parts[k], seed=seed)
            scored = parts[k].scored
            held_out[scored] = fitted[k].predict_log(samples.log_p[scored])
            progress("injection", len(fitted), len(parts))
    best = injections.fit_in_sample(samples, parts[-1].prior, seed=seed)
    maps = [fitted[k] for k in range(len(parts))]
    return FamilyFit(
        held_out=held_out,
        maps=tuple(maps[:-1]),
        in_sample=best.predict_log(samples.log_p),
        refitted=_read_injection(maps[-1], maps[:-1]),
        temperature=best.temperature,
    )


def _read_injection(whole: injections.Injection, folds: Sequence[injections.Injection]) -> RefittedMap:
    """Sigma as lines, each with the share of folds that have it."""
    agreement = np.mean([fold.sigma == whole.sigma for fold in folds], axis=0)
    return RefittedMap(
        family="injection",
        temperature=whole.temperature,
        eps=whole.eps,
        optimal=whole.optimal,
        entries=tuple(
            MapEntry(target=y, source=int(z), agreement=float(agreement[y])) for y, z in enumerate(whole.sigma)
        ),
    )


def fit_all_channels(samples: Samples, parts: list[Part], *, progress: Progress) -> list[channels.ChannelFit]:
    """The channel of each part, cross-fitted inside its fitting side too."""
    temperatures, counts = channels.choose_channels(samples, parts)
    progress("channel", 1, 2)
    fits = channels.fit_parts(samples, parts, temperatures, counts)
    progress("channel", 2, 2)
    return fits


def summarise_channels(
    problem: Problem, fits: list[channels.ChannelFit], *, temperatures: tuple[float, ...] = ()
) -> FamilyFit:
    """Held-out and in-sample q of the channels, and the table of the refitted one.

    Args:
        problem: samples and parts.
        fits: the channel of each part.
        temperatures: candidates of the in-sample optimum beside the grid.
    """
    samples, parts = problem.samples, problem.parts
    held_out = problem.prior_held_out()
    for part, fit in zip(parts, fits, strict=True):
        held_out[part.scored] = fit.channel.predict_log(samples.log_p[part.scored])
    best = channels.fit_in_sample(samples, parts[-1].prior, temperatures=temperatures)
    return FamilyFit(
        held_out=held_out,
        maps=tuple(fit.channel for fit in fits[:-1]),
        in_sample=best.predict_log(samples.log_p),
        refitted=_read_channel(samples, fits[-1].channel, [fit.channel for fit in fits[:-1]]),
        temperature=best.temperature,
    )


def _joint_mass(samples: Samples, fitted: channels.Channel) -> Floats:
    """``(1/n) sum_i p_iz A_zy`` (K_s, K_t)."""
    return samples.temper(fitted.temperature).p.mean(axis=0)[:, None] * fitted.matrix


def _read_channel(samples: Samples, whole: channels.Channel, folds: Sequence[channels.Channel]) -> RefittedMap:
    """Lines of enough mass, heaviest first, each with the share of folds that show it too."""
    mass = _joint_mass(samples, whole)
    shown = np.mean([_joint_mass(samples, fold) >= LEAST_MASS for fold in folds], axis=0)
    lines: Indices = np.argwhere(mass >= LEAST_MASS)
    lines = lines[np.argsort(-mass[lines[:, 0], lines[:, 1]], kind="stable")]
    return RefittedMap(
        family="channel",
        temperature=whole.temperature,
        eps=whole.eps,
        pseudo_count=whole.pseudo_count,
        gap=whole.gap,
        iterations=whole.iterations,
        entries=tuple(
            MapEntry(target=int(y), source=int(z), agreement=float(shown[z, y]), mass=float(mass[z, y]))
            for z, y in lines
        ),
    )


def fit_linears(problem: Problem, fits: list[channels.ChannelFit], progress: Progress) -> FamilyFit:
    """Logistic regression on features and log q of the channel, fold by fold."""
    samples, parts = problem.samples, problem.parts
    held_out = problem.prior_held_out()
    for k, (part, fit) in enumerate(zip(parts[:-1], fits[:-1], strict=True)):
        q = fit.inner.copy()
        q[part.scored] = fit.channel.predict_log(samples.log_p[part.scored])
        found = fit_linear(problem.features, np.log(q), samples.labels, part)
        held_out[part.scored] = found.held_out[part.scored]
        progress("linear", k + 1, len(parts) - 1)
    return FamilyFit(held_out=held_out)
