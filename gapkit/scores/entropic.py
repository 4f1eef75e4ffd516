"""Entropic optimal transport between two samples of uniform weights, solved until its marginals agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy  # pyright: ignore[reportMissingTypeStubs]

from gapkit.arrays import Floats
from gapkit.errors import UndefinedError
from gapkit.scores.coupling import DensePlan, Matrix, TransportEvidence, log_mean_exp

LARGEST_LOG = 100.0
"""Scalings beyond exp of this are absorbed into the potentials; float64 ends at exp(709)."""
ANNEALING = 0.5
"""Factor between the regularisations that are gone through from the largest cost down."""
LOOSE_TOLERANCE, LOOSE_STEPS = 1e-3, 100
"""Of the marginals, and the number of steps, before the next regularisation."""
HALF_STEPS = 40
"""Steps that move both scalings half-way at once. They halve what is off alike on both sides, which is all there is to
do for a sample with itself, where alternating steps may need tens of thousands (Feydy et al., AISTATS 2019)."""
PERIOD = 50
"""Alternating steps after which their rate is estimated anew."""
WINDOW = 20
"""Steps that the rate is estimated from."""
LARGEST_RATE = 0.9999
"""Of residuals from step to step, so that the overrelaxation stays below 2."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EntropicSolution:
    """The minimum of ``<P, C> + epsilon KL(P || a b')`` over couplings P.

    Attributes:
        plan: P, rounded to exact marginals.
        dual: the dual objective, a lower bound of the minimum.
        entropy: KL(P || a b') of it, in nats.
        evidence: of convergence; its gap is that of the objective with the entropy.
    """

    plan: DensePlan
    dual: float
    entropy: float
    evidence: TransportEvidence


def solve_entropic(cost: Matrix, epsilon: float, *, tolerance: float, max_iterations: int) -> EntropicSolution:
    """Sinkhorn's algorithm with potentials in the log domain (Schmitzer, SIAM Journal on Scientific Computing 2019).

    The regularisation is annealed from the largest cost down to ``epsilon``. At each level a log-sum-exp sweep brings
    the kernel ``exp((f + g - C) / level)`` to order 1. It is then scaled by products with vectors, many times cheaper
    than sweeps, with overrelaxation (Lehmann et al., Optimization Letters 2022), and the scalings are absorbed into the
    potentials. It ends where the marginals are within ``tolerance`` (sum of absolute differences) of the weights; the
    coupling is then rounded to exact marginals (Altschuler, Weed and Rigollet, NeurIPS 2017), so that the objective is
    an upper and the dual a lower bound of the minimum.

    Args:
        cost: (n, m).
        epsilon: regularisation, in units of the cost, positive.
        tolerance: of the marginals.
        max_iterations: of sweeps and scalings together.
    """
    n, m = cost.shape
    if not np.isfinite(cost).all():
        raise UndefinedError("costs that are no numbers", expected="finite costs", remedy="scale the features")
    f, g = np.zeros(n), np.zeros(m)
    iterations, level = 0, max(float(cost.max()), epsilon)
    while True:
        f, g = _sweep(cost, f, g, level)
        kernel = np.exp((f[:, None] + g - cost) / level) / cost.size
        last = level == epsilon
        left = max_iterations - iterations - 1
        u, v, steps = (
            _scale(kernel, tolerance, left) if last else _scale(kernel, LOOSE_TOLERANCE, min(left, LOOSE_STEPS))
        )
        f, g = f + level * np.log(u), g + level * np.log(v)
        iterations += 1 + steps
        if last:
            kernel *= u[:, None]
            kernel *= v
            residual = _residual(kernel)
            if residual <= tolerance or iterations >= max_iterations:
                break
        level = max(level * ANNEALING, epsilon)
    dual = float(f.mean() + g.mean() - epsilon * (kernel.sum() - 1))
    plan = _round(kernel)
    entropy = _entropy(plan)
    evidence = TransportEvidence(
        gap=float(np.vdot(plan, cost) + epsilon * entropy - dual),
        residual=residual,
        iterations=iterations,
        converged=residual <= tolerance,
    )
    return EntropicSolution(plan=DensePlan(mass=plan), dual=dual, entropy=entropy, evidence=evidence)


def _sweep(cost: Matrix, f: Floats, g: Floats, epsilon: float) -> tuple[Floats, Floats]:
    """Both potentials moved half-way to the soft minimum against the other."""
    left = -epsilon * log_mean_exp((g - cost) / epsilon)
    right = -epsilon * log_mean_exp((f[:, None] - cost).T / epsilon)
    return (f + left) / 2, (g + right) / 2


def _scale(kernel: Matrix, tolerance: float, budget: int) -> tuple[Floats, Floats, int]:
    """Scalings u and v that bring the marginals of ``u K v`` to the weights, and the number of steps.

    It ends early where scalings leave the range that float64 holds with ease; those of the step before are returned.
    """
    n, m = kernel.shape
    u, v, power = np.ones(n), np.ones(m), 1.0
    residuals: list[float] = []
    for step in range(budget):
        half = step < HALF_STEPS
        rows = kernel @ v
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            u_next = _towards(u, 1 / (n * rows), 0.5 if half else power)
            columns = (u if half else u_next) @ kernel
            v_next = _towards(v, 1 / (m * columns), 0.5 if half else power)
            largest = float(np.maximum(np.abs(np.log(u_next)).max(), np.abs(np.log(v_next)).max()))
        residuals.append(float(np.abs(u * rows - 1 / n).sum() + np.abs(v * columns - 1 / m).sum()))
        if residuals[-1] <= tolerance or not largest <= LARGEST_LOG:  # true of NaN too
            return u, v, step + 1
        u, v = u_next, v_next
        power = _overrelaxation(residuals, power)
    return u, v, max(budget, 0)


def _towards(scaling: Floats, goal: Floats, power: float) -> Floats:
    """The step in logarithms: half-way, to the goal, or beyond it."""
    return goal if power == 1.0 else scaling ** (1 - power) * goal**power


def _overrelaxation(residuals: list[float], power: float) -> float:
    """The power that the observed rate of plain alternating steps makes the best one, ``2 / (1 + (1 - rate)^(1/2))``.

    Looked at once in a period; where residuals have grown since the last time, it is plain steps again.
    """
    steps = len(residuals) - HALF_STEPS
    if steps <= 0 or steps % PERIOD:
        return power
    if power > 1.0:
        return power if residuals[-1] < residuals[-PERIOD] else 1.0
    rate = (residuals[-1] / residuals[-1 - WINDOW]) ** (1 / WINDOW)
    return 2 / (1 + np.sqrt(1 - min(rate, LARGEST_RATE)))


def _residual(plan: Matrix) -> float:
    """How far the marginals are off: sum of absolute differences over both."""
    n, m = plan.shape
    return float(np.abs(plan.sum(axis=1) - 1 / n).sum() + np.abs(plan.sum(axis=0) - 1 / m).sum())


def _round(kernel: Matrix) -> Matrix:
    """The nearby coupling with exact marginals: rows and columns too heavy lose, then all gain what is missing."""
    n, m = kernel.shape
    plan = kernel * np.minimum(1 / (n * kernel.sum(axis=1)), 1.0)[:, None]
    plan *= np.minimum(1 / (m * plan.sum(axis=0)), 1.0)
    rows, columns = 1 / n - plan.sum(axis=1), 1 / m - plan.sum(axis=0)
    missing = rows.sum()
    if missing > 0:
        plan += np.maximum(rows, 0.0)[:, None] * (np.maximum(columns, 0.0) / missing)
    return plan


def _entropy(plan: Matrix) -> float:
    """KL of the coupling from the product of its marginals."""
    n, m = plan.shape
    return float(xlogy(plan, plan).sum() + np.log(n * m))
