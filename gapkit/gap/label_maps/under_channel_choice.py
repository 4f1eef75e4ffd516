"""Which channel a part takes under another loss than KL: T, c and the run, by the loss on its validation samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Floats, Indices, Mask
from gapkit.gap.label_maps.channel_choice import PSEUDO_COUNTS
from gapkit.gap.label_maps.channel_em import fit_channels
from gapkit.gap.label_maps.channel_map import ChannelFit, Start, conditional
from gapkit.gap.label_maps.channel_parts import relax_from_scratch
from gapkit.gap.label_maps.channel_problems import Member, Tempering, stack_problems
from gapkit.gap.label_maps.partition import PartitionFit
from gapkit.gap.label_maps.partition_walk import thin, walk_from
from gapkit.gap.label_maps.parts import Part
from gapkit.gap.label_maps.tempering import Samples, Tempered
from gapkit.gap.label_maps.under import Criterion, answers_of, fit_eps
from gapkit.gap.label_maps.under_channel import ChannelTask, lower_channel

EM_CYCLES, MM_CYCLES, CHOICE_STEPS = 12, 6, 40
FREE: tuple[Start, ...] = ("row_stochastic", "relaxed")
Run = tuple[int, Mask, float]
"""Part, samples (n,) and pseudo-count of a fit."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What was fitted to the inner fitting side of a part, and what it loses on the validation samples.

    Attributes:
        start: the kind of run.
        lowered: whether the start was lowered under the criterion; else it is taken as it stands.
        temperature: T.
        pseudo_count: c.
        loss: mean validation loss, mixed with the prior.
        matrix: (K_s, K_t) A.
    """

    start: Start
    lowered: bool
    temperature: float
    pseudo_count: float
    loss: float
    matrix: Floats


@dataclass(frozen=True, kw_only=True)
class Refit:
    """What the channels of all parts are fitted from.

    Attributes:
        samples: sorted by class.
        tempering: p at any temperature, in single precision.
        parts: fitting sides.
        given: KL's channel of each part.
        partitions: of each part under the criterion, or None where there is none.
        criterion: the loss.
    """

    samples: Samples
    tempering: Tempering
    parts: Sequence[Part]
    given: Sequence[ChannelFit]
    partitions: Sequence[PartitionFit] | None
    criterion: Criterion

    def task(self, tempered: Tempered, run: Run, start: Start) -> ChannelTask:
        """Some samples of one part."""
        k, mask, count = run
        return ChannelTask(
            p=tempered.take(mask),
            labels=self.samples.labels[mask],
            prior=self.parts[k].prior,
            criterion=self.criterion,
            pseudo_count=count,
            row_stochastic=start == "row_stochastic",
        )

    def afresh(self, temperature: float, runs: Sequence[Run], start: Start) -> list[Floats]:
        """KL's channel (K_s, K_t) of each run: the row-stochastic one, or MM, neither from any other samples."""
        if not runs:
            return []
        members = [Member(mask=mask, prior=self.parts[k].prior, pseudo_count=count) for k, mask, count in runs]
        problems = stack_problems(self.tempering.at(temperature), members)
        if start == "row_stochastic":
            channels = fit_channels(problems, max_cycles=EM_CYCLES).channels
        else:
            channels = relax_from_scratch(self.tempering, problems, MM_CYCLES)
        return [channels[..., m].T.astype(np.float64) for m in range(len(runs))]

    def trial(self, tempered: Tempered, run: Run, begin: Floats, start: Start, *, lowered: bool = True) -> Trial:
        """A run on some of the inner fitting side of a part."""
        part, matrix = self.parts[run[0]], begin
        if lowered:
            matrix = lower_channel(self.task(tempered, run, start), begin, steps=CHOICE_STEPS).matrix
        q = conditional(tempered.take(part.validation), matrix, part.prior)
        answers = answers_of(self.criterion, q, self.samples.labels[part.validation], part.prior)
        return Trial(
            start=start,
            lowered=lowered,
            temperature=tempered.temperature,
            pseudo_count=run[2],
            loss=fit_eps(self.criterion, answers)[1],
            matrix=matrix,
        )

    def trials(self, tempered: Tempered, runs: Sequence[Run], start: Start) -> list[Trial]:
        """Several runs from KL's channel of the same samples."""
        begun = self.afresh(tempered.temperature, runs, start)
        return [self.trial(tempered, run, begin, start) for run, begin in zip(runs, begun, strict=True)]


def choose_temperatures_under(refit: Refit) -> list[float]:
    """T of each part, with KL's pseudo-count, on about a thousand samples: the walk begins at KL's T."""

    def losses_at(temperature: float, which: Indices) -> Floats:
        chosen = [int(k) for k in which]
        runs: list[Run] = [(k, thin(refit.parts[k].inner_fit), refit.given[k].channel.pseudo_count) for k in chosen]
        tempered = refit.samples.temper(temperature)
        return np.min([[trial.loss for trial in refit.trials(tempered, runs, start)] for start in FREE], axis=0)

    return walk_from([fit.channel.temperature for fit in refit.given], losses_at)


def choose_trial(refit: Refit, k: int, temperature: float) -> Trial:
    """The best of the runs at one T with pseudo-counts around KL's, KL's channel as it stands, and the partition.

    The partition is lowered at this T, and taken as it stands at its own.
    """
    tempered, inner, given = refit.samples.temper(temperature), refit.parts[k].inner_fit, refit.given[k].channel
    at = PSEUDO_COUNTS.index(given.pseudo_count)
    counts = sorted({PSEUDO_COUNTS[0], *PSEUDO_COUNTS[max(0, at - 1) : at + 2]})
    trials = [
        trial for start in FREE for trial in refit.trials(tempered, [(k, inner, count) for count in counts], start)
    ]
    if given.start != "partition":
        there, run = refit.samples.temper(given.temperature), (k, inner, given.pseudo_count)
        begin = refit.afresh(given.temperature, [run], given.start)[0]
        trials.append(refit.trial(there, run, begin, given.start, lowered=False))
    if refit.partitions is not None:
        count = min((trial.loss, trial.pseudo_count) for trial in trials if trial.start == "relaxed")[1]
        begin, there = one_hot(refit.partitions[k].inner, len(refit.parts[k].prior)), refit.partitions[k].partition
        trials.append(refit.trial(tempered, (k, inner, count), begin, "relaxed_partition"))
        own = refit.samples.temper(there.temperature)
        trials.append(refit.trial(own, (k, inner, 0.0), begin, "partition", lowered=False))
    return min(trials, key=lambda trial: trial.loss)


def one_hot(reading: Indices, n_classes: int) -> Floats:
    """A reading (K_s,) as a channel (K_s, K_t)."""
    return (reading[:, None] == np.arange(n_classes)).astype(np.float64)
