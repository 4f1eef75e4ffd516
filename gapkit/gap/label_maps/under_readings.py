"""Readings under another loss than KL: what they lose mixed with the class prior, and the best of a list of them.

An injection is a reading too, one with a single source class for every target class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from gapkit.arrays import Array, Floats, Indices, Labels, Mask, PerSample
from gapkit.gap.label_maps.partition_problem import IGNORED, PartitionProblem, make_problem
from gapkit.gap.label_maps.tempering import Tempered
from gapkit.gap.label_maps.under import Answers, Criterion, Spread, fit_eps

LEAST_GAIN = 1e-12
"""In the loss per sample; less is rounding."""
MOST_EPS = 0.5
"""A search moves at no larger share of the prior: near 1 no move would change anything."""
ROUNDS = 5
HALVINGS = 40
FEW = 4
"""Readings that are left are compared one by one."""
BLOCK_ENTRIES = 1 << 19
PIECE_ENTRIES = 1 << 15
"""Candidates times samples that are worked on at once: temporary arrays stay in the cache."""
LEAST_MASS = 1e-280
"""No mass at all is left of a target that has one class only."""


@dataclass(frozen=True, kw_only=True)
class ReadingTask:
    """Which samples a reading is searched for, and under what.

    Attributes:
        problem: the samples.
        prior: (K_t,) class prior pi.
        criterion: the loss.
        mixed: whether eps is fitted; else it is 0, the definition to the letter.
    """

    problem: PartitionProblem
    prior: Floats
    criterion: Criterion
    mixed: bool = True

    @cached_property
    def labels(self) -> Labels:
        """(n,) class codes of the samples."""
        return np.repeat(np.arange(len(self.prior), dtype=np.int64), np.diff(self.problem.bounds))

    @cached_property
    def own_prior(self) -> PerSample:
        """(n,) what pi gives to the own class."""
        return self.prior[self.labels]

    @cached_property
    def level(self) -> float:
        """``sum_y pi_y^2``."""
        return float(self.prior @ self.prior)

    def answers(self, readings: Array) -> Answers:
        """What readings (K_s,), or several (m, K_s), say of the samples."""
        columns, masks = self.problem.columns, [(readings == y).astype(np.float64) for y in range(len(self.prior))]
        mass = (readings != IGNORED).astype(np.float64) @ columns
        own = np.concatenate(
            [mask @ columns[:, rows] for mask, rows in zip(masks, self.problem.blocks, strict=True)], axis=-1
        )
        spread = None
        if self.criterion.square:
            square, cross = np.zeros_like(mass), np.zeros_like(mass)
            for mask, share in zip(masks, self.prior, strict=True):
                q = mask @ columns / mass
                square += np.square(q)
                cross += share * q
            spread = Spread(square=square, cross=cross, level=self.level)
        return Answers(own=own / mass, prior=self.own_prior, spread=spread)

    def mixture(self, reading: Indices) -> Mixture:
        """A reading with the eps that is best for it, without a floor."""
        answers = self.answers(reading)
        if not self.mixed:
            return Mixture(reading=reading, eps=0.0, loss=float(answers.losses(self.criterion, 0.0).mean()))
        eps, loss = fit_eps(self.criterion, answers, pseudo=0.0)
        return Mixture(reading=reading, eps=eps, loss=loss)

    def loss(self, reading: Indices, eps: float) -> float:
        """Mean loss of a reading (K_s,) at eps."""
        return float(self.answers(reading).losses(self.criterion, eps).mean())


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """A reading (K_s,) with its eps and mean loss, and whether it is the best of all."""

    reading: Indices = field(repr=False)
    eps: float
    loss: float
    optimal: bool = False


@dataclass(frozen=True, kw_only=True)
class Rest:
    """Sums S over some samples (w,) that stay while one source class moves; ratios first, as squares of p underflow.

    Attributes:
        total: (w,) T, the sum of S over target classes.
        square: (w,) ``sum (S / T)^2``, of a criterion with squares.
        cross: (w,) ``sum pi S / T``, of such a criterion.
        level: ``sum_y pi_y^2`` over all target classes.
    """

    total: Floats
    square: Floats | None
    cross: Floats | None
    level: float

    def spread(self, mass: Floats, added: Floats, share: float) -> Spread | None:
        """With (m, w) added to one more target class, of this share of the prior, so that all sums are ``mass``."""
        if self.square is None or self.cross is None:
            return None
        kept, more = self.total / mass, added / mass
        square, cross = np.square(kept), self.cross * kept
        square *= self.square
        square += np.square(more)
        cross += share * more
        return Spread(square=square, cross=cross, level=self.level)


def sum_rest(task: ReadingTask, sums: Floats, prior: Floats) -> Rest:
    """The rest of sums (k, w) of some of the target classes, with their share of the prior (k,)."""
    total = np.maximum(sums.sum(axis=0), LEAST_MASS)
    if not task.criterion.square:
        return Rest(total=total, square=None, cross=None, level=task.level)
    shares = sums / total
    return Rest(total=total, square=np.square(shares).sum(axis=0), cross=prior @ shares, level=task.level)


Improve = Callable[[ReadingTask, Indices, float], Indices]
"""Task, reading and eps to a reading that is no worse at this eps."""


def make_task(
    tempered: Tempered, mask: Mask, prior: Floats, criterion: Criterion, *, mixed: bool = True
) -> ReadingTask:
    """The task on some of the samples (n,)."""
    return ReadingTask(problem=make_problem(tempered, mask), prior=prior, criterion=criterion, mixed=mixed)


def search_mixture(
    task: ReadingTask, starts: Sequence[Indices], improve: Improve, *, searched: int | None = None
) -> Mixture:
    """The best that is found by turns: the reading at its eps, and eps for the reading.

    Args:
        task: what is minimised.
        starts: readings (K_s,).
        improve: the moves.
        searched: from how many of the starts, the best first; None searches from all.
    """
    distinct = {tuple(start.tolist()): start for start in starts}
    begun = sorted((task.mixture(start) for start in distinct.values()), key=lambda found: found.loss)
    return min((_alternate(task, start, improve) for start in begun[:searched]), key=lambda found: found.loss)


def _alternate(task: ReadingTask, best: Mixture, improve: Improve) -> Mixture:
    """Turns from one start until none gains anything."""
    for _ in range(ROUNDS):
        moved = task.mixture(improve(task, best.reading, min(best.eps, MOST_EPS)))
        if moved.loss >= best.loss - LEAST_GAIN:
            break
        best = moved
    return best


def best_of(task: ReadingTask, readings: Array, found: Mixture) -> Mixture:
    """The best of all readings (m, K_s), each at its own eps, and ``found``: exactly, to rounding.

    The loss is convex in eps. So a bracket of eps is halved for all readings at once, and a reading is given up as
    soon as its tangent in the middle of its bracket stays above the least loss that has been seen.
    """
    best = found
    step = max(1, BLOCK_ENTRIES // len(task.own_prior))
    for start in range(0, len(readings), step):
        which = _survivors(task, readings[start : start + step], best.loss)
        best = min([best, *(task.mixture(reading) for reading in which)], key=lambda item: item.loss)
    return Mixture(reading=best.reading, eps=best.eps, loss=best.loss, optimal=True)


def _survivors(task: ReadingTask, readings: Array, least: float) -> Array:
    """The readings (m, K_s) that may lose less than ``least``."""
    answers = task.answers(readings)
    if not task.mixed:
        return readings[[int(answers.losses(task.criterion, 0.0).mean(axis=-1).argmin())]]
    low, high = np.zeros(len(readings)), np.ones(len(readings))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        losses = answers.losses(task.criterion, middle[:, None]).mean(axis=-1)
        slopes = answers.slopes(task.criterion, middle[:, None]).mean(axis=-1)
        least = min(least, float(losses.min(initial=np.inf)))
        kept = losses - np.abs(slopes) * (high - low) / 2 <= least
        readings, answers = readings[kept], answers.take(kept)
        low, high = np.where(slopes < 0, middle, low)[kept], np.where(slopes < 0, high, middle)[kept]
        if len(readings) <= FEW:
            break
    return readings


def pieces(count: int, width: int) -> list[slice]:
    """``count`` samples in pieces that ``width`` candidates can be compared on within the cache."""
    step = max(1, PIECE_ENTRIES // max(1, width))
    return [slice(start, start + step) for start in range(0, count, step)]
