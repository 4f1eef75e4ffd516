"""Row-stochastic channels by EM: the convex part of the channel family.

A channel A (K_s x K_t, rows sum to 1) gives ``q(y | x) = (pA)_y``. With a pseudo-count c the penalised log-likelihood

    F(A) = (1/n) [ sum_i log (pA)_{i y_i} + c sum_z sum_y pi_y log A_zy ]

is concave; its EM step is ``A <- (A * G + c pi) / (sum_y A * G + c)`` with ``G_zy = sum_{i: y_i = y} p_iz / (pA)_iy``,
and ``(1/n) sum_z [max_y g_zy - sum_y A_zy g_zy]`` with g = G + c pi / A bounds how far F is below its optimum (F is
concave and A in a product of simplices).
"""

from __future__ import annotations

import numpy as np

from gapkit.arrays import Array
from gapkit.gap.label_maps.channel_ascent import Ascent, Step, ascend
from gapkit.gap.label_maps.channel_problems import ChannelProblems as ChannelProblems

TOLERANCE = 1e-4
"""Certified gap at which EM stops, in nats per sample."""
MAX_CYCLES = 400


def em_step(problems: ChannelProblems, channels: Array) -> Step:
    """The next channels (K_t, K_s, m); objective (m,) and certified gap (m,) of the given ones, scaled to rows of 1."""
    weights, pseudo, pull = problems.weights, problems.pseudo, problems.pull
    channels = channels / channels.sum(axis=0)
    likelihood, gradient = problems.sweep(channels, weights)
    expected = channels * gradient
    penalty = np.where(pseudo > 0, np.maximum(channels, np.finfo(channels.dtype).tiny), np.float32(1.0))
    gap = ((gradient + pull / penalty).max(axis=0) - expected.sum(axis=0) - pseudo).sum(axis=0, dtype=np.float64)
    value = (weights * np.log(likelihood)).sum(axis=0, dtype=np.float64)
    value += (pull * np.log(penalty)).sum(axis=(0, 1), dtype=np.float64)
    following = problems.normalise(expected)
    return Step(following=following, value=value / problems.sizes, gap=np.maximum(gap / problems.sizes, 0.0))


def fit_channels(
    problems: ChannelProblems,
    *,
    start: Array | None = None,
    tolerance: float = TOLERANCE,
    max_cycles: int = MAX_CYCLES,
) -> Ascent:
    """The row-stochastic optimum: EM with extrapolation until every certified gap is at most ``tolerance``.

    Args:
        problems: what is fitted.
        start: (K_t, K_s, m) channels, by default LEEP's plug-in.
        tolerance: certified gap in nats per sample.
        max_cycles: cycles after which a problem is given up as it stands; its gap says how far it may be.
    """
    first = problems.plug_in() if start is None else start
    return ascend(problems, first, em_step, tolerance=tolerance, max_cycles=max_cycles)
