"""Accelerated fixed-point ascent that never goes down, for many channels at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Array, Floats, Indices
from gapkit.gap.label_maps.channel_problems import ChannelProblems

LONGEST = 1e3
KEPT_SHARE = 1e-3
"""Least share of an entry that an extrapolation leaves: a zero would stay zero."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step from given channels.

    Attributes:
        following: (K_t, K_s, m) channels after it.
        value: (m,) objective of the given channels, per sample, in nats: the larger the better.
        gap: (m,) certified distance of ``value`` from the optimum, where there is one.
    """

    following: Array
    value: Floats
    gap: Floats | None = None


@dataclass(frozen=True, kw_only=True)
class Ascent:
    """Channels (K_t, K_s, m) with the evidence of their convergence.

    Attributes:
        channels: A transposed, one for each problem.
        objective: (m,) the objective per sample, in nats: the larger the better.
        gap: (m,) certified distance from its optimum; without a certificate, the gain of the last cycle.
        steps: (m,) steps taken.
    """

    channels: Array
    objective: Floats
    gap: Floats
    steps: Indices


def ascend(
    problems: ChannelProblems,
    start: Array,
    step: Callable[[ChannelProblems, Array], Step],
    *,
    tolerance: float,
    max_cycles: int,
) -> Ascent:
    """Steps with extrapolation (SQUAREM, Varadhan & Roland 2008) until every gap is at most ``tolerance``.

    A cycle takes two steps, extrapolates along them and takes a third from there; where the extrapolated channel has a
    lower objective than the first step's, the cycle ends with the two plain steps. So if a step never lowers the
    objective, neither does a cycle.

    Args:
        problems: what is fitted.
        start: (K_t, K_s, m) channels.
        step: one step of the fixed-point iteration.
        tolerance: gap in nats per sample.
        max_cycles: cycles after which a problem is given up as it stands; its gap says how far it may be.
    """
    m, current = start.shape[2], start
    final, objective, gap = np.empty_like(current), np.empty(m), np.empty(m)
    steps, active, last = np.zeros(m, dtype=np.int64), np.arange(m, dtype=np.int64), np.full(m, -np.inf)
    for cycle in range(max_cycles + 1):
        taken = step(problems, current)
        distance = taken.value - last if taken.gap is None else taken.gap
        done = (distance <= tolerance) | (cycle == max_cycles)
        final[..., active], objective[active], gap[active] = current, taken.value, distance
        if done.all():
            break
        first, last = taken.following, taken.value
        if done.any():
            kept = np.flatnonzero(~done)
            active, problems, last = active[kept], problems.take(kept), last[kept]
            current, first = current[..., kept], first[..., kept]
        current = _cycle(problems, current, first, step)
        steps[active] += 3
    return Ascent(channels=final, objective=objective, gap=gap, steps=steps)


def _cycle(
    problems: ChannelProblems, current: Array, first: Array, step: Callable[[ChannelProblems, Array], Step]
) -> Array:
    """Two more steps after ``first``, one of them from the extrapolated channels."""
    taken = step(problems, first)
    second = taken.following
    move = first - current
    bend = second - first - move
    ratio = np.square(move).sum(axis=(0, 1)) / np.maximum(np.square(bend).sum(axis=(0, 1)), np.finfo(move.dtype).tiny)
    length = np.clip(np.sqrt(ratio), 1.0, LONGEST).astype(move.dtype)
    far = current + 2 * length * move + np.square(length) * bend
    beyond = step(problems, np.maximum(far, np.float32(KEPT_SHARE) * second))
    return np.where(beyond.value >= taken.value, beyond.following, second)
