"""The temperature of a partition: the grid is walked with a reading of its own at every temperature.

A group of source classes wants a lower temperature than any single one does: its errors average out. At the
injection's temperature the injection may well be a local optimum, and with its reading held fixed no other temperature
would be better; so every temperature is tried with the reading that is found there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gapkit.arrays import Floats, Indices, Mask
from gapkit.gap.label_maps.tempering import TEMPERATURES, Samples, Tempered

THIN_SAMPLES = 1000
"""The walk compares temperatures, not readings: about as many samples do."""
Loss = Callable[[int, Tempered, Indices], float]
Find = Callable[[int, Tempered, list[Indices]], Indices]


def thin(mask: Mask) -> Mask:
    """Every k-th of the samples, which are sorted by class, so that about a thousand are left."""
    rows = np.flatnonzero(mask)
    thinned = np.zeros_like(mask)
    thinned[rows[:: max(1, len(rows) // THIN_SAMPLES)]] = True
    return thinned


def walk_temperatures(samples: Samples, find: Find, starts: Floats, loss: Loss) -> list[tuple[float, Indices]]:
    """The best temperature of each problem and its reading there, both neighbours on the grid being worse.

    Args:
        samples: sorted by class.
        find: number of the problem, tempered samples and readings to start from to the reading that is found.
        starts: (m,) the injection's temperature for each problem; the walk starts one below it.
        loss: number of the problem, tempered samples and reading to what is minimised.
    """
    losses: list[dict[int, float]] = [{} for _ in starts]
    readings: list[dict[int, Indices]] = [{} for _ in starts]
    grid = np.log(np.array(TEMPERATURES))
    nearest = np.abs(grid - np.log(starts)[:, None]).argmin(axis=1)
    pending: dict[int, int] = {k: max(int(nearest[k]) - 1, 0) for k in range(len(starts))}
    while pending:
        for position in sorted(set(pending.values())):
            tempered = samples.temper(TEMPERATURES[position])
            for k in [k for k, own in pending.items() if own == position]:
                warm = [readings[k][_best(losses[k])]] if losses[k] else []
                readings[k][position] = find(k, tempered, warm)
                losses[k][position] = loss(k, tempered, readings[k][position])
        pending = {k: step for k in pending if (step := _next(losses[k])) is not None}
    best = [_best(own) for own in losses]
    return [(TEMPERATURES[position], readings[k][position]) for k, position in enumerate(best)]


def walk_from(starts: Sequence[float], losses_at: Callable[[float, Indices], Floats]) -> list[float]:
    """The best temperature of each problem, both neighbours on the grid being no better, walked to from ``starts``.

    Args:
        starts: temperatures; the walk begins at the nearest ones of the grid.
        losses_at: losses (len(which),) at a temperature of the problems ``which``.

    Example:
        >>> walk_from([1.0], lambda value, which: np.array([abs(np.log(value / 4.0))]))
        [4.0]
    """
    losses: list[dict[int, float]] = [{} for _ in starts]
    grid = np.log(np.array(TEMPERATURES))
    pending: dict[int, int] = {k: int(np.abs(grid - np.log(start)).argmin()) for k, start in enumerate(starts)}
    while pending:
        for position in sorted(set(pending.values())):
            which = [k for k, own in pending.items() if own == position]
            found = losses_at(TEMPERATURES[position], np.array(which, dtype=np.int64))
            for m, k in enumerate(which):
                losses[k][position] = float(found[m])
        pending = {k: step for k in pending if (step := _next(losses[k])) is not None}
    return [TEMPERATURES[_best(own)] for own in losses]


def _best(losses: dict[int, float]) -> int:
    """Position with the least loss, the first tried among equals."""
    return min(losses, key=lambda position: losses[position])


def _next(losses: dict[int, float]) -> int | None:
    """A neighbour of the best position that has not been tried, the lower one first."""
    around = (_best(losses) - 1, _best(losses) + 1)
    return next((step for step in around if 0 <= step < len(TEMPERATURES) and step not in losses), None)
