"""Gaussian mixtures, fitted by expectation maximisation from seeded k-means; the same samples give the same mixture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from gapkit.arrays import Array, Features, Floats, Indices, Labels, generator
from gapkit.options import check_choice, check_least, check_number
from gapkit.statistics.class_sums import class_sums

Covariance = Literal["diagonal", "full"]
MIXTURE_STREAM = 61
ROUNDS = 30
"""Of k-means, at most."""
DUPLICATE = 1e-24
"""Share of the mean squared radius at which squared distances are rounding."""
LOG_TWO_PI = float(np.log(2 * np.pi))


@dataclass(frozen=True, kw_only=True)
class MixtureOptions:
    """How a mixture is fitted.

    Attributes:
        covariance: of each component, "diagonal" or "full".
        regularisation: share of the variance of all points, coordinate by coordinate, that is added to that of each
            component.
        tolerance: expectation maximisation stops where a step gains less, in nats per sample.
        most: steps at most.
    """

    covariance: Covariance = "diagonal"
    regularisation: float = 1e-2
    tolerance: float = 1e-3
    most: int = 100

    def __post_init__(self) -> None:
        """Check the ranges: with nothing added, variances may become 0.

        Raises:
            OptionError: another covariance, or a number that is out of range.
        """
        check_choice("covariance", self.covariance, get_args(Covariance))
        check_number("regularisation", self.regularisation)
        check_number("tolerance", self.tolerance, least=0)
        check_least("most", self.most, 1)


DEFAULT = MixtureOptions()


@dataclass(frozen=True, kw_only=True, eq=False)
class Mixture:
    """m Gaussians in k coordinates.

    Attributes:
        weights: (m,) they sum to 1.
        means: (m, k).
        spreads: (m, k) variances, or (m, k, k) covariances.
    """

    weights: Floats
    means: Floats
    spreads: Floats

    def log_joint(self, points: Features) -> Floats:
        """``log w_z N(x_i; mu_z, S_z)`` (n, m)."""
        with np.errstate(divide="ignore"):
            constants = np.log(self.weights) - points.shape[1] * LOG_TWO_PI / 2
        if self.spreads.ndim == 2:
            precisions = 1 / self.spreads
            distances = np.square(points) @ precisions.T
            distances -= 2 * points @ (self.means * precisions).T
            constants -= (np.square(self.means) * precisions + np.log(self.spreads)).sum(axis=1) / 2
            distances *= -0.5
            return distances + constants
        found = np.empty((len(points), len(self.means)))
        for z in range(len(self.means)):
            factor = np.asarray(np.linalg.cholesky(self.spreads[z]), dtype=np.float64)
            whitened = np.asarray(np.linalg.solve(factor, (points - self.means[z]).T), dtype=np.float64)
            found[:, z] = constants[z] - np.log(np.diag(factor)).sum() - np.square(whitened).sum(axis=0) / 2
        return found

    def posterior(self, points: Features) -> tuple[Floats, float]:
        """``P(z | x_i)`` (n, m), and the mean log-likelihood of the points."""
        joint = self.log_joint(points)
        highest = joint.max(axis=1, keepdims=True)
        joint -= highest
        np.exp(joint, out=joint)
        totals = joint.sum(axis=1, keepdims=True)
        joint /= totals
        return joint, float((np.log(totals) + highest).mean())


def fit_mixture(points: Features, count: int, options: MixtureOptions = DEFAULT, *, seed: int = 0) -> Mixture:
    """A mixture of ``count`` Gaussians, or of fewer where fewer points differ.

    Args:
        points: (n, k) centred, in coordinates that are not correlated.
        count: m.
        options: how.
        seed: of the start.

    Example:
        >>> points = np.array([[-1.1], [-0.9], [0.8], [1.2]])
        >>> sorted(fit_mixture(points, 2).means.round(2).ravel().tolist())
        [-1.0, 1.0]
    """
    floor = options.regularisation * np.square(points).mean(axis=0)
    nearest = cluster(points, count, seed=seed)
    posterior = np.zeros((len(points), int(nearest.max()) + 1))
    posterior[np.arange(len(points)), nearest] = 1.0
    mixture = estimate(points, posterior, floor, options.covariance)
    reached = -np.inf
    for _ in range(options.most):
        posterior, likelihood = mixture.posterior(points)
        mixture = estimate(points, posterior, floor, options.covariance)
        if abs(likelihood - reached) < options.tolerance:
            break
        reached = likelihood
    return mixture


def estimate(points: Features, posterior: Array, floor: Floats, covariance: Covariance) -> Mixture:
    """The most likely mixture for given posteriors (n, m), with ``floor`` (k,) added to variances."""
    masses = posterior.sum(axis=0)
    safe = np.maximum(masses, np.finfo(np.float64).tiny)[:, None]
    means = posterior.T @ points / safe
    if covariance == "diagonal":
        # Points are centred: what the difference of squares loses is far below the floor.
        squares = posterior.T @ np.square(points) / safe
        spreads = squares - np.square(means) + floor
    else:
        spreads = np.empty((len(means), len(floor), len(floor)))
        for z, mean in enumerate(means):
            apart = points - mean
            spreads[z] = (posterior[:, z, None] * apart).T @ apart / safe[z] + np.diag(floor)
    return Mixture(weights=masses / len(points), means=means, spreads=spreads)


def cluster(points: Features, count: int, *, seed: int) -> Labels:
    """The cluster (n,) of each point, 0 .. m - 1: k-means from a start by k-means++.

    There are fewer clusters than ``count`` where fewer points differ, or where one has lost all its points.

    Example:
        >>> cluster(np.array([[0.0], [5.0], [0.1], [5.0]]), 2, seed=0).tolist()
        [0, 1, 0, 1]
    """
    nearest = _nearest(points, points[spread_out(points, count, seed=seed)])
    for _ in range(ROUNDS):
        counts = np.bincount(nearest)
        before, nearest = nearest, _nearest(points, class_sums(points, nearest, len(counts)) / counts[:, None])
        if np.array_equal(before, nearest):
            break
    return nearest


def spread_out(points: Features, count: int, *, seed: int) -> Indices:
    """Positions of at most ``count`` points that differ, each drawn by its squared distance from those before it.

    This is k-means++ (Arthur and Vassilvitskii, SODA 2007).
    """
    rng = generator(seed, MIXTURE_STREAM)
    alike = DUPLICATE * float(np.square(points).sum(axis=1).mean())
    chosen = [int(rng.integers(len(points)))]
    left = np.full(len(points), np.inf)
    while True:
        np.minimum(left, np.square(points - points[chosen[-1]]).sum(axis=1), out=left)
        left[left <= alike] = 0.0
        sums = np.cumsum(left, dtype=np.float64)
        if len(chosen) == count or sums[-1] == 0:
            return np.array(chosen, dtype=np.int64)
        # To the right of equal sums, so that no point at the distance 0 is drawn.
        drawn = int(np.searchsorted(sums, rng.random() * float(sums[-1]), side="right"))
        chosen.append(drawn if drawn < len(points) else int(np.flatnonzero(left)[-1]))


def _nearest(points: Features, centres: Floats) -> Labels:
    """The nearest centre (n,) of each point, numbered among those that are the nearest of any."""
    nearest = (np.square(centres).sum(axis=1) - 2 * points @ centres.T).argmin(axis=1)
    return np.unique(nearest, return_inverse=True)[1].reshape(-1).astype(np.int64)
