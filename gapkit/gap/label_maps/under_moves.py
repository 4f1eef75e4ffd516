"""Partitions under another loss than KL, at one eps: source classes move one at a time.

With ``S_y`` the sum over the source classes that are read as y and ``M = sum_y S_y``, both without the source class z,
taking z to y gives ``q_y = (S_y + p_z) / (M + p_z)`` and ``q_k = S_k / (M + p_z)`` elsewhere, and ignoring it
``q = S / M``. What is left without z is summed afresh: the difference of two large sums would cancel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gapkit.arrays import Array, Floats, Indices, Labels
from gapkit.gap.label_maps.partition_problem import IGNORED
from gapkit.gap.label_maps.under import Answers
from gapkit.gap.label_maps.under_readings import LEAST_GAIN, ReadingTask, pieces, sum_rest


def sweep(task: ReadingTask, reading: Indices, eps: float) -> Indices:
    """Single moves, those with the largest gain first, until no move of any source class gains anything."""
    loss, everything = task.loss(reading, eps), np.arange(len(reading), dtype=np.int64)
    while True:
        gains = loss - move_losses(task, reading, eps, everything).min(axis=1)
        order = np.argsort(-gains, kind="stable")[: int((gains > LEAST_GAIN).sum())]
        moved = _move_each(task, reading, eps, order)
        moved_loss = task.loss(moved, eps)
        if moved_loss >= loss - LEAST_GAIN:
            return reading
        reading, loss = moved, moved_loss


def _move_each(task: ReadingTask, reading: Indices, eps: float, order: Array) -> Indices:
    """Some source classes in turn, each to where it is best by then."""
    reading = reading.copy()
    for z in order:
        losses = move_losses(task, reading, eps, np.array([z]))[0]
        best = int(losses.argmin())
        if losses[best] < losses[reading[z] - IGNORED] - LEAST_GAIN:
            reading[z] = best + IGNORED
    return reading


def move_losses(task: ReadingTask, reading: Array, eps: float, sources: Array) -> Floats:
    """Mean loss (m, 1 + K_t) of a reading with each of some source classes ignored, or read as each target class.

    It is infinite where a target class would lose its last source class.
    """
    columns, origin = task.problem.columns, reading[sources]
    masks = (reading == np.arange(len(task.prior))[:, None]).astype(np.float64)
    fellows = (origin[:, None] == reading) & (reading != IGNORED)
    fellows[np.arange(len(sources)), sources] = False
    losses = np.zeros((len(sources), 1 + len(task.prior)))
    for piece in pieces(len(task.labels), len(sources)):
        moves = Moves(
            task=task,
            labels=task.labels[piece],
            origin=origin,
            p=columns[sources, piece],
            fellows=fellows.astype(np.float64) @ columns[:, piece],
            sums=masks @ columns[:, piece],
        )
        losses += moves.losses(eps)
    last = np.flatnonzero((origin != IGNORED) & ~fellows.any(axis=1))
    stay = losses[last, origin[last] - IGNORED]
    losses[last] = np.inf
    losses[last, origin[last] - IGNORED] = stay
    return losses / len(task.labels)


@dataclass(frozen=True, kw_only=True)
class Moves:
    """Some source classes (m,) that may move, over some samples (w,).

    Attributes:
        task: what is minimised.
        labels: (w,) class codes of the samples.
        origin: (m,) the target class that each is read as now.
        p: (m, w) their probabilities.
        fellows: (m, w) sum over the other source classes of the same target class.
        sums: (K_t, w) S as they are now.
    """

    task: ReadingTask
    labels: Labels
    origin: Indices
    p: Floats
    fellows: Floats
    sums: Floats

    def losses(self, eps: float) -> Floats:
        """Summed losses (m, 1 + K_t), the first column for ignored."""
        found = np.empty((len(self.origin), 1 + len(self.sums)))
        for y in np.unique(self.origin).tolist():
            which = np.flatnonzero(self.origin == y)
            found[which] = self._losses(which, y, eps)
        return found

    def _losses(self, which: Array, origin: int, eps: float) -> Floats:
        """Of those that are read as ``origin`` now, or ignored."""
        task, labels, p, fellows = self.task, self.labels, self.p[which], self.fellows[which]
        kept, share = np.arange(len(self.sums)) != origin, 0.0 if origin == IGNORED else float(task.prior[origin])
        rest = sum_rest(task, self.sums[kept], task.prior[kept])
        own = np.where(labels == origin, fellows, self.sums[labels, np.arange(len(labels))])
        left = rest.total + fellows
        mass = left + p
        prior = task.prior[labels]
        ignored = Answers(own=own / left, prior=prior, spread=rest.spread(left, fellows, share))
        elsewhere = Answers(own=own / mass, prior=prior, spread=rest.spread(mass, fellows, share))
        here = Answers(own=(own + p) / mass, prior=prior, spread=None)
        found = np.empty((len(which), 1 + len(self.sums)))
        found[:, 0] = ignored.losses(task.criterion, eps).sum(axis=1)
        found[:, 1:] = elsewhere.losses(task.criterion, eps).sum(axis=1)[:, None]
        gain = replace(elsewhere, spread=None).losses(task.criterion, eps) - here.losses(task.criterion, eps)
        found[:, 1:] -= gain @ (labels[:, None] == np.arange(len(self.sums))).astype(np.float64)
        if task.criterion.square:
            found[:, 1:] += task.criterion.square * self._met(p / mass, mass, fellows, origin, eps)
        return found

    def _met(self, ratio: Floats, mass: Floats, fellows: Floats, origin: int, eps: float) -> Floats:
        """What the sum of squares (m, K_t) has of the source class itself, and with what it meets in each class."""
        products = (ratio / mass) @ self.sums.T
        if origin != IGNORED:
            products[:, origin] = (ratio * fellows / mass).sum(axis=1)
        met = (1 - eps) * products + eps * ratio.sum(axis=1)[:, None] * self.task.prior
        return (1 - eps) * (2 * met + (1 - eps) * np.square(ratio).sum(axis=1)[:, None])
