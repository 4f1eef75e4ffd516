"""The channel of every part, and in sample, under another loss than KL: from what KL found, and from the partition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gapkit.arrays import Floats, Indices, Mask
from gapkit.gap.label_maps.channel_map import Channel, ChannelFit, Start, conditional
from gapkit.gap.label_maps.channel_mm import carried
from gapkit.gap.label_maps.channel_problems import make_tempering
from gapkit.gap.label_maps.partition import Partition, PartitionFit
from gapkit.gap.label_maps.partition_walk import thin
from gapkit.gap.label_maps.parts import VALIDATION, Part
from gapkit.gap.label_maps.tempering import Samples, Tempered, choose_temperatures
from gapkit.gap.label_maps.under import Criterion, answers_of, choose_eps
from gapkit.gap.label_maps.under_channel import ChannelTask, FittedChannel, evaluate_channel, lower_channel
from gapkit.gap.label_maps.under_channel_choice import (
    CHOICE_STEPS,
    Refit,
    Trial,
    choose_temperatures_under,
    choose_trial,
    one_hot,
)

STEPS, IN_SAMPLE_STEPS = 200, 400


def refit_channels(
    samples: Samples,
    parts: Sequence[Part],
    given: Sequence[ChannelFit],
    partitions: Sequence[PartitionFit] | None,
    criterion: Criterion,
) -> list[Channel]:
    """Each part's channel under the criterion; T, c and the start on the inner split, eps from inner folds.

    Args:
        samples: sorted by class.
        parts: fitting sides.
        given: KL's channels.
        partitions: under the criterion; None where there are more target than source classes.
        criterion: the loss.
    """
    refit = Refit(
        samples=samples,
        tempering=make_tempering(samples),
        parts=parts,
        given=given,
        partitions=partitions,
        criterion=criterion,
    )
    found: list[Channel] = []
    for k, temperature in enumerate(choose_temperatures_under(refit)):
        trial = choose_trial(refit, k, temperature)
        tempered = samples.temper(trial.temperature)
        task = refit.task(tempered, (k, parts[k].fit, trial.pseudo_count), trial.start)
        whole = _fit_whole(refit, k, task, trial)
        eps = _held_out_eps(refit, k, tempered, trial)
        found.append(_channel(task, trial.temperature, replace(whole, eps=eps), trial.start))
    return found


def _fit_whole(refit: Refit, k: int, task: ChannelTask, trial: Trial) -> FittedChannel:
    """What won, on the whole fitting side."""
    given, temperature = refit.given[k].channel, trial.temperature
    if refit.partitions is not None and trial.start in ("partition", "relaxed_partition"):
        begin = one_hot(refit.partitions[k].partition.reading, len(task.prior))
    elif given.start == trial.start:
        begin = carry(given, temperature)
    else:
        begin = refit.afresh(temperature, [(k, refit.parts[k].fit, trial.pseudo_count)], trial.start)[0]
    return lower_channel(task, begin, steps=STEPS) if trial.lowered else evaluate_channel(task, begin)


def carry(channel: Channel, temperature: float) -> Floats:
    """A (K_s, K_t) of a channel, as a start at another temperature."""
    if channel.temperature == temperature:
        return channel.matrix
    return carried(channel.matrix.T[..., None], channel.temperature, temperature)[..., 0].T


def _held_out_eps(refit: Refit, k: int, tempered: Tempered, trial: Trial) -> float:
    """Eps on the inner folds, each under a channel that has not seen it; of a partition on the validation fold."""
    part, labels = refit.parts[k], refit.samples.labels
    folds = [fold for fold in range(part.n_inner) if fold != VALIDATION and trial.start != "partition"]
    runs = [(k, part.without(fold), trial.pseudo_count) for fold in folds]
    matrices = {VALIDATION: trial.matrix}
    for fold, run, begin in zip(folds, runs, refit.afresh(tempered.temperature, runs, trial.start), strict=True):
        task = refit.task(tempered, run, trial.start)
        matrices[fold] = lower_channel(task, begin, steps=CHOICE_STEPS).matrix if trial.lowered else begin
    q = np.tile(part.prior, (len(labels), 1))
    for fold, matrix in matrices.items():
        rows = part.inner == fold
        q[rows] = conditional(tempered.take(rows), matrix, part.prior)
    rows = part.fit if folds else part.validation
    return choose_eps(refit.criterion, answers_of(refit.criterion, q[rows], labels[rows], part.prior))


def _channel(task: ChannelTask, temperature: float, fitted: FittedChannel, start: Start) -> Channel:
    """As a result, scaled so that ``pA 1`` is 1 in the mean of the samples; there is no certificate."""
    mass = float((task.p @ fitted.matrix.sum(axis=1)).mean())
    return Channel(
        matrix=fitted.matrix / mass,
        temperature=temperature,
        eps=fitted.eps,
        prior=task.prior,
        pseudo_count=task.pseudo_count,
        start=start,
        objective=-fitted.loss,
        gap=np.inf,
        iterations=0,
    )


def channel_in_sample(
    samples: Samples, prior: Floats, given: Channel, partition: Partition | None, criterion: Criterion
) -> Channel:
    """The best channel on all samples that the runs find, c = 0: never worse than KL's or than the partition.

    Args:
        samples: sorted by class.
        prior: (K_t,) class prior pi.
        given: the optimum under KL.
        partition: the partition's optimum under the criterion, where there is one.
        criterion: the loss.
    """

    def task_at(tempered: Tempered, mask: Mask) -> ChannelTask:
        return ChannelTask(
            p=tempered.take(mask), labels=samples.labels[mask], prior=prior, criterion=criterion, pseudo_count=0.0
        )

    def losses_at(temperature: float, which: Indices) -> Floats:
        begin = carry(given, temperature)
        seen[temperature] = lower_channel(
            task_at(samples.temper(temperature), thin(everything)), begin, steps=CHOICE_STEPS
        )
        return np.array([seen[temperature].loss])

    everything, seen = np.ones(len(samples.labels), dtype=bool), dict[float, FittedChannel]()
    choose_temperatures(losses_at, 1)
    best = min(seen, key=lambda value: seen[value].loss)
    starts: list[tuple[float, Floats, Start]] = [
        (best, seen[best].matrix, "relaxed"),
        (given.temperature, given.matrix, "relaxed"),
    ]
    if partition is not None:
        starts.append((partition.temperature, one_hot(partition.reading, len(prior)), "relaxed_partition"))
    found: list[Channel] = []
    for temperature, begin, start in starts:
        task = task_at(samples.temper(temperature), everything)
        still: Start = given.start if start == "relaxed" else "partition"
        found.append(_channel(task, temperature, lower_channel(task, begin, steps=IN_SAMPLE_STEPS), start))
        found.append(_channel(task, temperature, evaluate_channel(task, begin), still))
    return max(found, key=lambda channel: channel.objective)
