"""The channel of every part as chosen, on its fitting side and cross-fitted over its inner folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gapkit.arrays import Array, Floats, TargetProbabilities
from gapkit.gap.label_maps.channel_ascent import Ascent
from gapkit.gap.label_maps.channel_choice import CHOICE_TOLERANCE, Choice, Search, choose_channels, one_hot
from gapkit.gap.label_maps.channel_em import fit_channels
from gapkit.gap.label_maps.channel_map import Channel, ChannelFit, conditional
from gapkit.gap.label_maps.channel_mm import carried, mean_mass, mixed_with, mm_step, relax_channels, scaled
from gapkit.gap.label_maps.channel_problems import ChannelProblems, Member, Tempering, make_tempering, stack_problems
from gapkit.gap.label_maps.mixing import choose_eps, mix
from gapkit.gap.label_maps.partition import PartitionFit
from gapkit.gap.label_maps.parts import VALIDATION, Part
from gapkit.gap.label_maps.tempering import Samples, Tempered

SINGLE_CYCLES, DOUBLE_CYCLES = 12, 1
UNIT_EM_CYCLES, UNIT_CYCLES, INNER_CYCLES, INNER_EM_CYCLES = 3, 5, 6, 12
RELAXED = ("relaxed", "relaxed_partition")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Fits on whole fitting sides; arrays are (K_t, K_s, m) and (m,)."""

    row_stochastic: Ascent
    final: Array
    objective: Floats
    change: Floats
    steps: Array


def fit_parts(
    samples: Samples,
    parts: Sequence[Part],
    *,
    partitions: Sequence[PartitionFit] | None = None,
    temperature: float | None = None,
    pseudo_count: float | None = None,
) -> list[ChannelFit]:
    """Each part's channel: what to fit is chosen on its inner split, then fitted on its fitting side and inner folds.

    Args:
        samples: sorted by class.
        parts: fitting sides.
        partitions: of each part; None where there are more target than source classes.
        temperature: T; by default chosen.
        pseudo_count: c; by default chosen.
    """
    tempering = make_tempering(samples)
    search = Search(tempering=tempering, parts=parts, partitions=partitions, count=pseudo_count)
    choices = choose_channels(search, temperature=temperature)
    found: dict[int, ChannelFit] = {}
    temperatures = np.array([choice.temperature for choice in choices])
    for value in np.unique(temperatures).tolist():
        which = np.flatnonzero(temperatures == value).tolist()
        tempered = samples.temper(value)
        chosen = [choices[k] for k in which]
        given = [None if partitions is None else partitions[k] for k in which]
        whole = _fit_whole(tempering, tempered, [parts[k] for k in which], chosen, given)
        inner = _fit_inner(tempering, tempered, [parts[k] for k in which], chosen)
        for m, k in enumerate(which):
            found[k] = _assemble(tempered, parts[k], chosen[m], (whole, m), inner[m])
    return [found[k] for k in range(len(parts))]


def _fit_whole(
    tempering: Tempering,
    tempered: Tempered,
    parts: list[Part],
    choices: list[Choice],
    partitions: Sequence[PartitionFit | None],
) -> Stage:
    """The certified row-stochastic optimum of every part, and MM on from the inner fitting side's channel."""
    members = [
        Member(mask=part.fit, prior=part.prior, pseudo_count=choice.pseudo_count)
        for part, choice in zip(parts, choices, strict=True)
    ]
    single = stack_problems(tempering.at(tempered.temperature), members)
    double = single.on(tempered)
    near = fit_channels(single)
    stochastic = fit_channels(double, start=near.channels.astype(np.float64))
    stochastic = replace(stochastic, steps=near.steps + stochastic.steps)
    final, objective = stochastic.channels.copy(), stochastic.objective.copy()
    change, steps = np.zeros(len(parts)), np.zeros(len(parts), dtype=np.int64)
    for m, partition in enumerate(partitions):
        if choices[m].start == "partition" and partition is not None:
            final[..., m] = one_hot(partition.partition.reading, len(final))[..., 0]
            objective[m] = mm_step(double.take(np.array([m])), final[..., m : m + 1]).value[0]
    moved = [m for m, choice in enumerate(choices) if choice.start in RELAXED]
    if moved:
        which = np.array(moved, dtype=np.int64)
        begin = np.stack([choices[m].channel for m in moved], axis=2)
        begin = mixed_with(begin, stochastic.channels[..., which].astype(np.float32))
        first = relax_channels(single.take(which), begin, max_cycles=SINGLE_CYCLES)
        last = relax_channels(double.take(which), first.channels.astype(np.float64), max_cycles=DOUBLE_CYCLES)
        final[..., which], objective[which] = last.channels, last.objective
        change[which] = last.gap / np.maximum(np.abs(last.objective), np.finfo(np.float64).tiny)
        steps[which] = first.steps + last.steps
    final /= mean_mass(double, final)
    return Stage(row_stochastic=stochastic, final=final, objective=objective, change=change, steps=steps)


def _fit_inner(
    tempering: Tempering, tempered: Tempered, parts: list[Part], choices: list[Choice]
) -> list[dict[int, Array]]:
    """The channel (K_t, K_s) outside each inner fold of each part.

    That of the validation fold was fitted for the choice. The others start from scratch, as what was fitted for the
    choice has seen their samples; instead of the partition, which has seen them too, MM from the row-stochastic channel
    is taken.
    """
    found = [{VALIDATION: choice.channel} for choice in choices]
    stochastic: list[tuple[int, int]] = []
    relaxed: list[tuple[int, int]] = []
    for k, part in enumerate(parts):
        folds = [(k, fold) for fold in range(part.n_inner) if fold != VALIDATION]
        (stochastic if choices[k].start == "row_stochastic" else relaxed).extend(folds)

    def members(runs: list[tuple[int, int]]) -> list[Member]:
        return [
            Member(mask=parts[k].without(fold), prior=parts[k].prior, pseudo_count=choices[k].pseudo_count)
            for k, fold in runs
        ]

    single = tempering.at(tempered.temperature)
    if stochastic:
        fits = fit_channels(stack_problems(single, members(stochastic)), max_cycles=INNER_EM_CYCLES).channels
        for m, (k, fold) in enumerate(stochastic):
            found[k][fold] = fits[..., m]
    if relaxed:
        channels = relax_from_scratch(tempering, stack_problems(single, members(relaxed)), INNER_CYCLES)
        for m, (k, fold) in enumerate(relaxed):
            found[k][fold] = channels[..., m]
    return found


def relax_from_scratch(tempering: Tempering, problems: ChannelProblems, cycles: int) -> Array:
    """MM (K_t, K_s, m) from the row-stochastic channel at T = 1, carried to the problems' temperature."""
    temperature = problems.tempered.temperature
    unit = problems.on(tempering.at(1.0))
    stochastic = fit_channels(unit, tolerance=CHOICE_TOLERANCE, max_cycles=UNIT_EM_CYCLES).channels
    near = relax_channels(unit, stochastic, max_cycles=UNIT_CYCLES).channels
    begin = near if temperature == 1.0 else scaled(mixed_with(carried(near, 1.0, temperature), problems.plug_in()))
    return relax_channels(problems, begin, max_cycles=cycles).channels


def _assemble(
    tempered: Tempered, part: Part, choice: Choice, whole: tuple[Stage, int], inner: dict[int, Array]
) -> ChannelFit:
    """The part's channel, with eps from its inner folds: of a partition from the validation fold alone."""
    labels = tempered.samples.labels
    q: TargetProbabilities = np.tile(part.prior, (len(part.fit), 1))
    for fold, channel in inner.items():
        rows = part.inner == fold
        q[rows] = conditional(tempered.take(rows), channel.T.astype(np.float64), part.prior)
    rows = part.validation if choice.start == "partition" else part.fit
    eps, _ = choose_eps(q[rows, labels[rows]], part.prior[labels[rows]])
    stage, m = whole
    channel = Channel(
        matrix=np.ascontiguousarray(stage.final[..., m].T),
        temperature=tempered.temperature,
        eps=eps,
        prior=part.prior,
        pseudo_count=choice.pseudo_count,
        start=choice.start,
        objective=float(stage.objective[m]),
        gap=float(stage.row_stochastic.gap[m]),
        iterations=int(stage.row_stochastic.steps[m]),
        change=float(stage.change[m]),
        relaxations=int(stage.steps[m]),
    )
    return ChannelFit(channel=channel, inner=mix(q, part.prior, channel.eps))
