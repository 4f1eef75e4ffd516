"""Which channel a part takes: temperature, pseudo-count and start, by the loss on the part's validation samples.

In sample a freer run is always better, so that the choice is made on samples that none of the candidates has seen:
each is fitted on the inner fitting side and mixed with the class prior. Everything is in single precision, and the
runs stop early; both change losses by about a thousandth of a nat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gapkit.arrays import Array, Floats, Indices
from gapkit.gap.label_maps.channel_ascent import Ascent
from gapkit.gap.label_maps.channel_em import fit_channels
from gapkit.gap.label_maps.channel_map import Start
from gapkit.gap.label_maps.channel_mm import carried, conditional_likelihood, mixed_with, relax_channels, scaled
from gapkit.gap.label_maps.channel_problems import (
    Member,
    SingleTempered,
    Tempering,
    stack_problems,
)
from gapkit.gap.label_maps.mixing import fit_eps
from gapkit.gap.label_maps.partition import PartitionFit
from gapkit.gap.label_maps.parts import Part
from gapkit.gap.label_maps.tempering import Samples, choose_temperatures

PSEUDO_COUNTS = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
COARSE_COUNTS = (0.03, 1.0)
RELAXED_COUNTS = (0.0, 0.1, 1.0)
CHOICE_TOLERANCE = 1e-3
SEARCH_SAMPLES = 2500
"""How many samples the temperature is searched on; everything else is chosen on all of them."""
EM_CYCLES, FIRST_CYCLES, CARRIED_CYCLES, LAST_CYCLES = 4, 8, 6, 8

Run = tuple[int, float, Array, Start]
"""A run of MM: part, pseudo-count, channel (K_t, K_s) to start from, and kind of start."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What was chosen for a part.

    Attributes:
        start: the kind of run.
        temperature: T.
        pseudo_count: c.
        loss: mean validation KL, mixed with the prior.
        channel: (K_t, K_s) A transposed of the inner fitting side.
    """

    start: Start
    temperature: float
    pseudo_count: float
    loss: float
    channel: Array


@dataclass(frozen=True, kw_only=True)
class Visit:
    """What one temperature gave for one part: its best row-stochastic channel, and MM from it."""

    row_stochastic: Choice
    relaxed: Choice

    @property
    def loss(self) -> float:
        """The lesser validation loss."""
        return min(self.row_stochastic.loss, self.relaxed.loss)


@dataclass(frozen=True, kw_only=True)
class Search:
    """What is searched.

    Attributes:
        tempering: p at any temperature.
        parts: fitting sides.
        partitions: of each part, or None where there is none.
        count: the pseudo-count that is asked for, or None.
    """

    tempering: Tempering
    parts: Sequence[Part]
    partitions: Sequence[PartitionFit] | None = None
    count: float | None = None

    def inner(self, k: int, count: float) -> Member:
        """The inner fitting side of a part as a problem."""
        return Member(mask=self.parts[k].inner_fit, prior=self.parts[k].prior, pseudo_count=count)

    def losses(self, owners: Sequence[int], likelihood: Array) -> Floats:
        """Mean validation KL (m,) of each column of the likelihood (n, m), mixed with the prior of its owner."""
        labels, found = self.tempering.samples.labels, np.empty(len(owners))
        for k in sorted(set(owners)):
            columns, part = np.flatnonzero(np.array(owners) == k), self.parts[k]
            own = likelihood[np.ix_(part.validation, columns)].astype(np.float64)
            found[columns] = fit_eps(own, part.prior[labels[part.validation]])[1]
        return found


def thinned(search: Search) -> Search:
    """Every k-th sample of those sorted by class, so that about ``SEARCH_SAMPLES`` are left to search T on."""
    samples = search.tempering.samples
    step = len(samples.labels) // SEARCH_SAMPLES
    if step < 2:
        return search
    rows = np.arange(0, len(samples.labels), step, dtype=np.int64)
    parts = [part.take(rows) for part in search.parts]
    if any(not part.validation.any() or not part.inner_fit.any() for part in parts):
        return search
    labels = samples.labels[rows]
    bounds = np.searchsorted(labels, np.arange(samples.n_classes + 1)).astype(np.int64)
    fewer = Samples(log_p=samples.log_p[rows], labels=labels, bounds=bounds)
    return replace(search, tempering=Tempering(samples=fewer, shifted=search.tempering.shifted[rows]), parts=parts)


def choose_channels(search: Search, *, temperature: float | None = None) -> list[Choice]:
    """The choice of each part.

    The temperature has the least validation loss of row-stochastic channels at two pseudo-counts and of MM from them;
    it is searched coarse to fine on a few thousand samples, MM going on from the nearest temperature before. At it,
    pseudo-counts and MM from the partition are compared on all samples, and the partition at its own temperature.
    """
    visits: list[dict[float, Visit]] = [{} for _ in search.parts]
    small = thinned(search)

    def losses_at(value: float, which: Indices) -> Floats:
        chosen = [int(k) for k in which]
        _visit(small, small.tempering.at(value), chosen, visits)
        return np.array([visits[k][value].loss for k in chosen])

    if temperature is None:
        temperatures = choose_temperatures(losses_at, len(search.parts))
    else:
        temperatures = np.full(len(search.parts), temperature)
        losses_at(temperature, np.arange(len(search.parts), dtype=np.int64))
    candidates: list[list[Choice]] = [[] for _ in search.parts]
    for value in np.unique(temperatures).tolist():
        which = np.flatnonzero(temperatures == value).tolist()
        tempered = search.tempering.at(value)
        refined = _refine_counts(search, tempered, {k: visits[k][value].row_stochastic for k in which})
        relaxed = _relax(search, tempered, {k: visits[k][value].relaxed for k in which}, refined)
        for k in which:
            candidates[k] = [refined[k], *relaxed[k]]
    for k, choice in _partitions(search, fixed=temperature).items():
        candidates[k].append(choice)
    return [min(choices, key=lambda choice: choice.loss) for choices in candidates]


def _visit(search: Search, tempered: SingleTempered, which: list[int], visits: list[dict[float, Visit]]) -> None:
    """Row-stochastic channels and MM at one temperature, for some parts."""
    counts = COARSE_COUNTS if search.count is None else (search.count,)
    fitted = _row_stochastic(search, tempered, {k: counts for k in which})
    best = {k: min(choices, key=lambda choice: choice.loss) for k, choices in fitted.items()}
    starts = {k: _start(fitted[k][0], tempered.temperature, visits[k]) for k in which}
    cycles = CARRIED_CYCLES if all(visits[k] for k in which) else FIRST_CYCLES
    count = 0.0 if search.count is None else search.count
    runs: list[Run] = [(k, count, starts[k], "relaxed") for k in which]
    relaxed = _relaxed(search, tempered, runs, cycles)
    for k, choice in zip(which, relaxed, strict=True):
        visits[k][tempered.temperature] = Visit(row_stochastic=best[k], relaxed=choice)


def _start(row_stochastic: Choice, temperature: float, visits: dict[float, Visit]) -> Array:
    """MM's channel at the nearest temperature that was visited, else the row-stochastic one."""
    if not visits:
        return row_stochastic.channel
    nearest = min(visits, key=lambda value: abs(np.log(value / temperature)))
    near = visits[nearest].relaxed.channel[..., None]
    return mixed_with(carried(near, nearest, temperature), row_stochastic.channel[..., None])[..., 0]


def _row_stochastic(
    search: Search, tempered: SingleTempered, counts: dict[int, tuple[float, ...]]
) -> dict[int, list[Choice]]:
    """Row-stochastic channels of some parts at some pseudo-counts."""
    runs = [(k, count) for k, values in counts.items() for count in values]
    problems = stack_problems(tempered, [search.inner(k, count) for k, count in runs])
    fits = fit_channels(problems, tolerance=CHOICE_TOLERANCE, max_cycles=EM_CYCLES)
    losses = search.losses([k for k, _ in runs], problems.likelihood(fits.channels))
    found: dict[int, list[Choice]] = {k: [] for k in counts}
    for m, (k, count) in enumerate(runs):
        found[k].append(_choice("row_stochastic", tempered, count, losses[m], fits, m))
    return found


def _choice(start: Start, tempered: SingleTempered, count: float, loss: float, fits: Ascent, m: int) -> Choice:
    return Choice(
        start=start,
        temperature=tempered.temperature,
        pseudo_count=count,
        loss=float(loss),
        channel=np.ascontiguousarray(fits.channels[..., m]),
    )


def _refine_counts(search: Search, tempered: SingleTempered, best: dict[int, Choice]) -> dict[int, Choice]:
    """The best of a pseudo-count and its two neighbours on the grid, unless it is given."""
    around: dict[int, tuple[float, ...]] = {}
    for k, choice in best.items():
        if search.count is None:
            position = PSEUDO_COUNTS.index(choice.pseudo_count)
            around[k] = PSEUDO_COUNTS[position - 1 : position + 2]
        else:
            around[k] = (search.count,)
    fitted = _row_stochastic(search, tempered, around)
    return {k: min(fitted[k], key=lambda choice: choice.loss) for k in best}


def _relax(
    search: Search, tempered: SingleTempered, relaxed: dict[int, Choice], stochastic: dict[int, Choice]
) -> dict[int, list[Choice]]:
    """MM on from its run so far at several pseudo-counts, and at the best one from the mixed partition."""
    counts = RELAXED_COUNTS if search.count is None else (search.count,)
    runs: list[Run] = []
    for k, choice in relaxed.items():
        mixed = mixed_with(choice.channel[..., None], stochastic[k].channel[..., None])[..., 0]
        for count in counts:
            runs.append((k, count, choice.channel if count == 0.0 else mixed, "relaxed"))
    made = _relaxed(search, tempered, runs, LAST_CYCLES)
    found = {k: made[m * len(counts) : (m + 1) * len(counts)] for m, k in enumerate(relaxed)}
    if search.partitions is None:
        return found
    again: list[Run] = []
    for k, choices in found.items():
        count = min(choices, key=lambda choice: choice.loss).pseudo_count
        reading = one_hot(search.partitions[k].inner, len(choices[0].channel))
        again.append((k, count, mixed_with(reading, stochastic[k].channel[..., None])[..., 0], "relaxed_partition"))
    for k, choice in zip(found, _relaxed(search, tempered, again, LAST_CYCLES), strict=True):
        found[k].append(choice)
    return found


def _relaxed(search: Search, tempered: SingleTempered, runs: list[Run], cycles: int) -> list[Choice]:
    """MM of several runs at once: part, pseudo-count, channel to start from and kind of start."""
    problems = stack_problems(tempered, [search.inner(k, count) for k, count, _, _ in runs])
    begin = scaled(np.stack([channel for _, _, channel, _ in runs], axis=2))
    fits = relax_channels(problems, begin, tolerance=CHOICE_TOLERANCE / 10, max_cycles=cycles)
    losses = search.losses([k for k, *_ in runs], conditional_likelihood(problems, fits.channels))
    return [_choice(start, tempered, count, losses[m], fits, m) for m, (_, count, _, start) in enumerate(runs)]


def _partitions(search: Search, *, fixed: float | None) -> dict[int, Choice]:
    """The partitions as they stand, at their own temperature unless it is fixed; none where c is given."""
    if search.partitions is None or search.count is not None:
        return {}
    found: dict[int, Choice] = {}
    own = [fit.partition.temperature if fixed is None else fixed for fit in search.partitions]
    for value in sorted(set(own)):
        tempered = search.tempering.at(value)
        which = [k for k, temperature in enumerate(own) if temperature == value]
        problems = stack_problems(tempered, [search.inner(k, 0.0) for k in which])
        readings = [one_hot(search.partitions[k].inner, tempered.samples.n_classes) for k in which]
        channels = np.concatenate(readings, axis=2)
        losses = search.losses(which, conditional_likelihood(problems, channels))
        for m, k in enumerate(which):
            found[k] = Choice(
                start="partition", temperature=value, pseudo_count=0.0, loss=float(losses[m]), channel=channels[..., m]
            )
    return found


def one_hot(reading: Indices, n_classes: int) -> Array:
    """A reading (K_s,) as a channel (K_t, K_s, 1) in single precision; ignored source classes are zero."""
    return (reading == np.arange(n_classes)[:, None]).astype(np.float32)[..., None]
