"""Optimal transport between two samples of uniform weights: couplings, and the exact solver with its certificate."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from gapkit.arrays import AnyShape, Array, Floats, Indices, Labels, PerSample
from gapkit.scores.bures import PerPair

PIVOTS = 10**9
"""Limit of the network simplex, never met: POT's own of 100 000 is met at n = 3 000, with a value that is too large."""
WARM_SHARE = 0.03
"""Regularisation of the potentials that the cost is reduced by, as a share of its mean; between 0.01 and 0.1 it makes
little difference."""
BLOCK_ENTRIES = 1 << 22
"""Float64 that are held at once where differences of samples are summed (32 MB)."""

Matrix = np.ndarray[AnyShape, np.dtype[np.float64]]


@dataclass(frozen=True, kw_only=True)
class TransportEvidence:
    """How near a transport problem's solution is to the optimum.

    Attributes:
        gap: primal minus dual objective, both feasible, in squared units: the value is at most so much too large. None
            for a sliced one, which is no optimum.
        residual: sum of |marginal - weight| over both sides: of the returned coupling, of sinkhorn before it is rounded
            to exact marginals.
        iterations: sweeps of sinkhorn, directions of sliced; None where the solver does not count.
        converged: whether the solver met its own criterion.
        standard_error: of a sliced value over its directions, in squared units; None for others.
    """

    gap: float | None
    residual: float
    iterations: int | None
    converged: bool
    standard_error: float | None = None


class Plan(Protocol):
    """A coupling of n and m samples, each side of uniform weights."""

    def between_classes(self, first: Labels, second: Indices) -> PerPair:
        """Mass (K1, K2) that goes from class to class; its marginals are the shares of the classes."""
        ...

    def mean_squared_distance(self, x: Floats, y: Floats) -> float:
        """``sum_ij P_ij |x_i - y_j|^2``."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class SparsePlan:
    """The coupling as a list of its at most n + m - 1 positive entries.

    Attributes:
        rows: positions in the first sample.
        columns: positions in the second sample.
        mass: at these positions; it sums to 1.
    """

    rows: Indices
    columns: Indices
    mass: PerSample

    def between_classes(self, first: Labels, second: Indices) -> PerPair:
        """See ``Plan``."""
        width = int(second.max()) + 1
        pairs = first[self.rows] * width + second[self.columns]
        total = (int(first.max()) + 1) * width
        between = np.asarray(np.bincount(pairs, weights=self.mass, minlength=total), dtype=np.float64)
        return between.reshape(-1, width)

    def mean_squared_distance(self, x: Floats, y: Floats) -> float:
        """From the differences themselves, so that nothing cancels and equal samples are exactly 0 apart."""
        step = max(1, BLOCK_ENTRIES // x.shape[1])
        total = 0.0
        for start in range(0, len(self.mass), step):
            part = slice(start, start + step)
            differences = x[self.rows[part]] - y[self.columns[part]]
            total += float(self.mass[part] @ np.einsum("ij,ij->i", differences, differences))
        return total


@dataclass(frozen=True, kw_only=True, eq=False)
class DensePlan:
    """The coupling as a matrix.

    Attributes:
        mass: (n, m).
    """

    mass: Matrix

    def between_classes(self, first: Labels, second: Indices) -> PerPair:
        """See ``Plan``."""
        rows = np.eye(int(first.max()) + 1)[first]
        columns = np.eye(int(second.max()) + 1)[second]
        return rows.T @ (self.mass @ columns)

    def mean_squared_distance(self, x: Floats, y: Floats) -> float:
        """See ``Plan``."""
        return float(np.vdot(self.mass, squared_distances(x, y)))


@dataclass(frozen=True, kw_only=True, eq=False)
class Transport:
    """A transport between two labelled datasets about their own means, in weighted squared units.

    Attributes:
        features: cost of the features.
        labels: cost of the classes.
        entropy: what an entropic objective has beside them.
        class_coupling: (K1, K2) mass from class to class.
        shape: (K1, K2) W^2 between classes, each about its own mean.
        evidence: of convergence.
    """

    features: float
    labels: float
    entropy: float = 0.0
    class_coupling: PerPair
    shape: PerPair
    evidence: TransportEvidence


def squared_distances(x: Floats, y: Floats) -> Matrix:
    """``|x_i - y_j|^2`` (n, m) by one product; x and y are about centred, as the error grows with their norms.

    Example:
        >>> squared_distances(np.array([[0.0], [1.0]]), np.array([[3.0]])).tolist()
        [[9.0], [4.0]]
    """
    left = np.hstack([x, np.square(x).sum(axis=1)[:, None], np.ones((len(x), 1))])
    right = np.hstack([-2 * y, np.ones((len(y), 1)), np.square(y).sum(axis=1)[:, None]])
    distances = left @ right.T
    return np.maximum(distances, 0.0, out=distances)


def exact_plan(cost: Matrix) -> tuple[SparsePlan, TransportEvidence]:
    """The optimal coupling for a cost (n, m), by POT's network simplex (Bonneel et al., SIGGRAPH Asia 2011).

    The simplex is given the cost reduced by feasible potentials, which has the same optimal couplings and takes it
    about half the pivots. The gap is that of its dual potentials after one c-transform, which makes them feasible.

    Args:
        cost: not negative; overwritten, as it is large. With the solver's own arrays about 50 bytes for each entry.
    """
    import ot  # pyright: ignore[reportMissingTypeStubs]

    library: Any = ot
    scale = _reduce(cost)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of iterations: what it says is in the evidence
        found, log = library.emd([], [], cost, numItermax=PIVOTS, log=True)
    n, m = cost.shape
    rows, columns = np.divmod(np.flatnonzero(found > 0), m)
    plan = SparsePlan(rows=rows, columns=columns, mass=found[rows, columns])
    primal = plan.mass @ cost[rows, columns]
    potentials = np.asarray(log["u"])
    cost -= potentials[:, None]
    dual = potentials.mean() + cost.min(axis=0).mean()
    residual = np.abs(np.bincount(rows, plan.mass, n) - 1 / n).sum()
    residual += np.abs(np.bincount(columns, plan.mass, m) - 1 / m).sum()
    evidence = TransportEvidence(
        gap=float(scale * (primal - dual)),
        residual=float(residual),
        iterations=None,
        converged=log["warning"] is None,
    )
    return plan, evidence


def log_mean_exp(scores: Array) -> Array:
    """Log of the mean of exp over each row, in the precision of the scores, which are overwritten."""
    largest = scores.max(axis=1)
    scores -= largest[:, None]
    np.exp(scores, out=scores)
    return largest + np.log(scores.mean(axis=1))


def _reduce(cost: Matrix) -> float:
    """Scale the cost to order 1 and subtract feasible potentials, in place; returns the scale.

    The solver adds 1 to the largest cost, so that tiny costs would drown; a power of two scales without rounding. The
    potentials are those of one sweep of Sinkhorn's algorithm, made feasible by two c-transforms.
    """
    largest = cost.max()
    if largest == 0:
        return 1.0
    scale = 2.0 ** np.ceil(np.log2(largest))
    cost /= scale
    level = WARM_SHARE * cost.mean()
    # In float32: whatever is subtracted here, the transforms below make it feasible.
    scores = (cost / -level).astype(np.float32)
    f = -log_mean_exp(scores.copy())
    g = -level * log_mean_exp((scores + f[:, None]).T)
    cost -= (cost - g).min(axis=1)[:, None]
    cost -= cost.min(axis=0)
    return float(scale)
