"""The channel's optimum on all samples: c = 0, T and eps fitted to the same samples, no floor on eps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gapkit.arrays import Array, Floats, Indices
from gapkit.gap.label_maps.channel_ascent import Ascent
from gapkit.gap.label_maps.channel_choice import CHOICE_TOLERANCE, one_hot
from gapkit.gap.label_maps.channel_em import fit_channels
from gapkit.gap.label_maps.channel_map import Channel, Start
from gapkit.gap.label_maps.channel_mm import carried, conditional_likelihood, mean_mass, mixed_with, relax_channels
from gapkit.gap.label_maps.channel_problems import Member, Tempering, make_tempering, stack_problems
from gapkit.gap.label_maps.mixing import fit_eps
from gapkit.gap.label_maps.partition import Partition
from gapkit.gap.label_maps.tempering import Samples, choose_temperatures

EM_CYCLES, FIRST_CYCLES, CARRIED_CYCLES, SINGLE_CYCLES, DOUBLE_CYCLES = 5, 10, 10, 24, 8
UNIT_CYCLES = 4


def fit_in_sample(
    samples: Samples, prior: Floats, *, partition: Partition | None = None, temperatures: Sequence[float] = ()
) -> Channel:
    """The best channel on all samples that the runs find.

    Candidates: MM at the best temperature of the grid, ``temperatures`` and T = 1; MM from the partition mixed with the
    row-stochastic channel, and the partition itself, at its temperature; the row-stochastic channel at T = 1. EM starts
    from LEEP's plug-in and no EM step lowers the likelihood, so KL <= -LEEP; the partition is a candidate as it stands,
    so KL never exceeds the partition's.

    Args:
        samples: sorted by class.
        prior: (K_t,) class prior pi.
        partition: the partition's in-sample optimum, where there is one.
        temperatures: of the stricter families' in-sample optima.
    """
    tempering = make_tempering(samples)
    member = Member(mask=np.ones(len(samples.labels), dtype=bool), prior=prior, pseudo_count=0.0)
    stricter = [*temperatures] if partition is None else [*temperatures, partition.temperature]
    temperature, near = _search(tempering, member, sorted({1.0, *stricter}))
    found = [_unit(samples, member), _polish(samples, member, temperature, near, "relaxed")]
    if partition is not None:
        found += _from_partition(tempering, member, partition)
    return min(found, key=lambda item: item[0])[1]


def _search(tempering: Tempering, member: Member, others: list[float]) -> tuple[float, Array]:
    """The temperature with the highest likelihood after a few cycles of MM, and the channel (K_t, K_s, 1) there."""
    seen: dict[float, Ascent] = {}

    def losses_at(value: float, which: Indices) -> Floats:
        problems = stack_problems(tempering.at(value), [member])
        begin = fit_channels(problems, tolerance=CHOICE_TOLERANCE, max_cycles=EM_CYCLES).channels
        if seen:
            nearest = min(seen, key=lambda other: abs(np.log(value / other)))
            begin = mixed_with(carried(seen[nearest].channels, nearest, value), begin)
        seen[value] = relax_channels(problems, begin, max_cycles=CARRIED_CYCLES if seen else FIRST_CYCLES)
        return -seen[value].objective

    choose_temperatures(losses_at, 1)
    for value in others:
        if value not in seen:
            losses_at(value, np.zeros(1, dtype=np.int64))
    best = max(seen, key=lambda value: float(seen[value].objective[0]))
    problems = stack_problems(tempering.at(best), [member])
    return best, relax_channels(problems, seen[best].channels, max_cycles=SINGLE_CYCLES).channels


def _unit(samples: Samples, member: Member) -> tuple[float, Channel]:
    """A few steps of EM at T = 1 from LEEP's plug-in, in double precision."""
    fits = fit_channels(stack_problems(samples.temper(1.0), [member]), max_cycles=UNIT_CYCLES)
    return _result(samples, member, 1.0, fits, "row_stochastic")


def _polish(samples: Samples, member: Member, temperature: float, near: Array, start: Start) -> tuple[float, Channel]:
    """MM on in double precision."""
    problems = stack_problems(samples.temper(temperature), [member])
    fits = relax_channels(problems, near.astype(np.float64), max_cycles=DOUBLE_CYCLES)
    return _result(samples, member, temperature, fits, start)


def _from_partition(tempering: Tempering, member: Member, partition: Partition) -> list[tuple[float, Channel]]:
    """The partition as it stands, and MM from it mixed with the row-stochastic channel, at its temperature."""
    samples, temperature = tempering.samples, partition.temperature
    problems = stack_problems(tempering.at(temperature), [member])
    plain = one_hot(partition.reading, samples.n_classes)
    stochastic = fit_channels(problems, tolerance=CHOICE_TOLERANCE, max_cycles=EM_CYCLES).channels
    moved = relax_channels(problems, mixed_with(plain, stochastic), max_cycles=SINGLE_CYCLES)
    double = plain.astype(np.float64)
    still = Ascent(
        channels=double, objective=np.array([-partition.loss]), gap=np.zeros(1), steps=np.zeros(1, dtype=np.int64)
    )
    return [
        _result(samples, member, temperature, still, "partition"),
        _polish(samples, member, temperature, moved.channels, "relaxed_partition"),
    ]


def _result(samples: Samples, member: Member, temperature: float, fits: Ascent, start: Start) -> tuple[float, Channel]:
    """KL mixed with the prior at the best eps, and the channel."""
    problems = stack_problems(samples.temper(temperature), [member])
    own = conditional_likelihood(problems, fits.channels)
    eps, loss = fit_eps(own, member.prior[samples.labels], pseudo=0.0)
    channels = fits.channels / mean_mass(problems, fits.channels)
    channel = Channel(
        matrix=np.ascontiguousarray(channels[..., 0].T),
        temperature=temperature,
        eps=float(eps[0]),
        prior=member.prior,
        pseudo_count=0.0,
        start=start,
        objective=float(fits.objective[0]),
        gap=0.0,
        iterations=0,
    )
    if start == "row_stochastic":
        return float(loss[0]), replace(channel, gap=float(fits.gap[0]), iterations=int(fits.steps[0]))
    change = float(fits.gap[0] / max(abs(fits.objective[0]), np.finfo(np.float64).tiny))
    return float(loss[0]), replace(channel, change=change, relaxations=int(fits.steps[0]))
