"""Channels without the row constraint: ``q_A(y | x) = (pA)_y / (pA 1)`` for any A >= 0, by minorisation (MM).

With a pseudo-count c the penalised log-likelihood

    F(A) = (1/n) [ sum_i log (pA)_{i y_i} - log (pA 1)_i  +  c sum_zy (pi_y log A_zy - A_zy) ]

is not concave. Around a channel B, with ``w_iz = p_iz B_zy / (pB)_iy`` at y = y_i (Jensen) and the tangent of the log,

    log (pA)_iy    >= log (pB)_iy + sum_z w_iz log(A_zy / B_zy)
    -log (pA 1)_i  >= -log (pB 1)_i + 1 - (pA 1)_i / (pB 1)_i,

both with equality at A = B. Their sum is separable and concave in the entries of A,

    n F(A) >= const + sum_zy [ (B_zy G_zy + c pi_y) log A_zy - A_zy (D_z + c) ],
    G_zy = sum_{i: y_i = y} p_iz / (pB)_iy,    D_z = sum_i p_iz / (pB 1)_i,

and largest at ``A = (B * G + c pi') / (D + c)``. So that step never lowers F. A zero stays zero where c = 0. At a
fixed point with c > 0 the entries of A sum to K_s; for c = 0 its scale means nothing.

A low temperature makes MM slow, because p is nearly one-hot. A channel that fits at T is carried to T' as
``A^(T / T')``: where one source class dominates both p and A, ``p^(1/T) A`` keeps its odds up to the same power. From
there a few steps reach what several times as many reach from the row-stochastic optimum at T'.
"""

from __future__ import annotations

import numpy as np

from gapkit.arrays import Array, Floats
from gapkit.gap.label_maps.channel_ascent import Ascent, Step, ascend
from gapkit.gap.label_maps.channel_problems import ChannelProblems

TOLERANCE = 1e-5
"""Gain of a cycle at which MM stops, in nats per sample."""
MAX_CYCLES = 400
ROW_STOCHASTIC_SHARE = 0.01
"""How much of the row-stochastic optimum a start is mixed with: zeros never leave zero otherwise."""


def mm_step(problems: ChannelProblems, channels: Array) -> Step:
    """The next channels (K_t, K_s, m) and the objective (m,) of the given ones."""
    weights, pseudo, pull = problems.weights, problems.pseudo, problems.pull
    m = channels.shape[2]
    rows = channels.sum(axis=0)
    # One product for (pA)_{i y_i} and (pA 1)_i, and one back for G and D.
    stacked = np.concatenate([channels, np.broadcast_to(rows, channels.shape)], axis=2)
    both, sums = problems.sweep(stacked, np.concatenate([weights, weights], axis=1))
    likelihood, mass = both[:, :m], both[:, m:]
    demand = sums[..., m:].sum(axis=0) + pseudo
    following = (channels * sums[..., :m] + pull) / np.maximum(demand, np.finfo(channels.dtype).tiny)
    value = (weights * np.log(likelihood / mass)).sum(axis=0, dtype=np.float64)
    if pseudo.any():
        penalty = np.where(pseudo > 0, np.maximum(channels, np.finfo(channels.dtype).tiny), np.float32(1.0))
        value += (pull * np.log(penalty)).sum(axis=(0, 1), dtype=np.float64)
        value -= pseudo * rows.sum(axis=0, dtype=np.float64)
    return Step(following=following, value=value / problems.sizes)


def relax_channels(
    problems: ChannelProblems, start: Array, *, tolerance: float = TOLERANCE, max_cycles: int = MAX_CYCLES
) -> Ascent:
    """MM with extrapolation from ``start`` (K_t, K_s, m) until a cycle gains at most ``tolerance`` nats per sample."""
    return ascend(problems, start, mm_step, tolerance=tolerance, max_cycles=max_cycles)


def mixed_with(channels: Array, row_stochastic: Array) -> Array:
    """Channels (K_t, K_s, m), scaled to a mean row sum of 1, with 1 % of the row-stochastic ones."""
    return (1 - ROW_STOCHASTIC_SHARE) * scaled(channels) + ROW_STOCHASTIC_SHARE * row_stochastic


def scaled(channels: Array) -> Array:
    """Channels (K_t, K_s, m) with a mean row sum of 1."""
    total = channels.sum(axis=(0, 1), dtype=np.float64)
    return channels * (channels.shape[1] / total).astype(channels.dtype)


def carried(channels: Array, before: float, after: float) -> Array:
    """Channels (K_t, K_s, m) that fit at one temperature, as a start at another: ``(A / max A)^(T / T')``."""
    relative = channels / channels.max(axis=(0, 1))
    return np.power(relative, np.array(before / after, dtype=channels.dtype))


def conditional_likelihood(problems: ChannelProblems, channels: Array) -> Array:
    """``q_A(y_i | x_i)`` (n, m) of channels (K_t, K_s, m), of samples that are fitted on and of others alike."""
    mass = problems.floor(problems.tempered.p @ channels.sum(axis=0))
    return problems.likelihood(channels) / mass


def mean_mass(problems: ChannelProblems, channels: Array) -> Floats:
    """Mean of ``(pA 1)_i`` (m,) over the fitting samples."""
    sums = problems.weights.T @ problems.tempered.p
    return (sums.T * channels.sum(axis=0)).sum(axis=0, dtype=np.float64) / problems.sizes
