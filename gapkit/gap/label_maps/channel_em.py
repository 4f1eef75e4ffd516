"""Row-stochastic channels by EM: many problems on the same source conditional at once.

A channel A (K_s x K_t, rows sum to 1) gives ``q(y | x) = (pA)_y``. With a pseudo-count c the penalised log-likelihood

    F(A) = (1/n) [ sum_i log (pA)_{i y_i} + c sum_z sum_y pi_y log A_zy ]

is concave; its EM step is ``A <- (A * G + c pi) / (sum_y A * G + c)`` with ``G_zy = sum_{i: y_i = y} p_iz / (pA)_iy``,
and ``(1/n) sum_z [max_y g_zy - sum_y A_zy g_zy]`` with g = G + c pi / A bounds how far F is below its optimum (F is
concave and A in a product of simplices). Problems differ in their samples (weights), priors and pseudo-counts and
share every product with p; arrays are (K_t, K_s, m) with m the problems.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Floats, Indices
from gapkit.gap.label_maps.tempering import Tempered

TOLERANCE = 1e-4
"""Certified gap at which EM stops, in nats per sample."""
MAX_CYCLES = 400
LEAST_LIKELIHOOD = 1e-290
"""Only samples that are not fitted on can have less; a ratio with it would overflow."""
LONGEST = 1e3
KEPT_SHARE = 1e-3
"""Least share of an entry that an extrapolation leaves: a zero would stay zero."""


@dataclass(frozen=True, kw_only=True)
class ChannelProblems:
    """M problems on one tempered source conditional.

    Attributes:
        tempered: p, sorted by class.
        weights: (n, m) 1 for samples to fit on, else 0.
        priors: (K_t, m) class priors pi.
        pseudo: (m,) pseudo-counts c.
    """

    tempered: Tempered
    weights: Floats
    priors: Floats
    pseudo: Floats

    def take(self, which: Indices) -> ChannelProblems:
        """Some of the problems."""
        return ChannelProblems(
            tempered=self.tempered,
            weights=self.weights[:, which],
            priors=self.priors[:, which],
            pseudo=self.pseudo[which],
        )

    def plug_in(self) -> Floats:
        """LEEP's estimate of P(y | z) with the pseudo-count: ``(J + c pi) / (sum_y J + c)``, J the summed mass."""
        return self.normalise(self.tempered.class_sums(self.tempered.p, self.weights))

    def normalise(self, expected: Floats) -> Floats:
        """Expected counts (K_t, K_s, m) to the channel that maximises the penalised likelihood for them."""
        added = expected + self.pseudo * self.priors[:, None, :]
        return added / np.maximum(added.sum(axis=0), np.finfo(np.float64).tiny)

    def likelihood(self, channels: Floats) -> Floats:
        """``(pA)_{i y_i}`` (n, m), of samples that are fitted on and of others alike."""
        p = self.tempered.p
        return np.concatenate([p[rows] @ channels[y] for y, rows in enumerate(self.tempered.samples.blocks)])


@dataclass(frozen=True, kw_only=True)
class ChannelFits:
    """Channels (K_t, K_s, m) with the evidence of their convergence.

    Attributes:
        channels: A transposed, one for each problem.
        objective: (m,) F(A) per sample, in nats: the larger the better.
        gap: (m,) certified distance of F from its optimum.
        steps: (m,) EM steps taken.
    """

    channels: Floats
    objective: Floats
    gap: Floats
    steps: Indices


def em_step(problems: ChannelProblems, channels: Floats) -> tuple[Floats, Floats, Floats]:
    """The next channels (K_t, K_s, m); objective (m,) and certified gap (m,) of the given ones."""
    tempered, weights, pseudo = problems.tempered, problems.weights, problems.pseudo
    likelihood = np.maximum(problems.likelihood(channels), LEAST_LIKELIHOOD)
    gradient = tempered.class_sums(tempered.p, weights / likelihood)
    size = weights.sum(axis=0)
    expected = channels * gradient
    penalty = np.where(pseudo > 0, channels, 1.0)
    pull = pseudo * problems.priors[:, None, :]
    slope = gradient + pull / penalty
    gap = (slope.max(axis=0) - expected.sum(axis=0) - pseudo).sum(axis=0) / size
    objective = (weights * np.log(likelihood)).sum(axis=0) + (pull * np.log(penalty)).sum(axis=(0, 1))
    return problems.normalise(expected), objective / size, np.maximum(gap, 0.0)


def fit_channels(
    problems: ChannelProblems,
    *,
    start: Floats | None = None,
    tolerance: float = TOLERANCE,
    max_cycles: int = MAX_CYCLES,
) -> ChannelFits:
    """EM with extrapolation (SQUAREM, Varadhan & Roland 2008) until every certified gap is at most ``tolerance``.

    A cycle takes two EM steps, extrapolates along them and takes a third from there; where the extrapolated channel has
    a lower objective than the second one, the cycle ends with the two plain steps. So the objective never falls.

    Args:
        problems: what is fitted.
        start: (K_t, K_s, m) channels, by default LEEP's plug-in.
        tolerance: certified gap in nats per sample.
        max_cycles: cycles after which a problem is given up as it stands; its gap says how far it may be.
    """
    current = problems.plug_in() if start is None else start
    m = current.shape[2]
    final, objective, gap = np.empty_like(current), np.empty(m), np.empty(m)
    steps, active = np.zeros(m, dtype=np.int64), np.arange(m, dtype=np.int64)
    for cycle in range(max_cycles + 1):
        first, value, distance = em_step(problems, current)
        done = (distance <= tolerance) | (cycle == max_cycles)
        final[..., active], objective[active], gap[active] = current, value, distance
        if done.all():
            break
        if done.any():
            kept = np.flatnonzero(~done)
            active, problems = active[kept], problems.take(kept)
            current, first = current[..., kept], first[..., kept]
        current = _cycle(problems, current, first)
        steps[active] += 3
    return ChannelFits(channels=final, objective=objective, gap=gap, steps=steps)


def _cycle(problems: ChannelProblems, current: Floats, first: Floats) -> Floats:
    """Two more EM steps after ``first``, one of them from the extrapolated channels."""
    second, first_value, _ = em_step(problems, first)
    move = first - current
    bend = second - first - move
    length = np.sqrt(np.square(move).sum(axis=(0, 1)) / np.maximum(np.square(bend).sum(axis=(0, 1)), 1e-300))
    length = np.clip(length, 1.0, LONGEST)
    far = np.maximum(current + 2 * length * move + np.square(length) * bend, KEPT_SHARE * second)
    far /= far.sum(axis=0)
    beyond, far_value, _ = em_step(problems, far)
    return np.where(far_value >= first_value, beyond, second)
