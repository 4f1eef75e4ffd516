"""Gaussian mixtures, fitted by expectation maximisation from seeded k-means; the same samples give the same mixture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from gapkit.arrays import Array, Features, Floats, Indices, Labels, PerSample, generator
from gapkit.options import check_choice, check_least, check_number
from gapkit.statistics.mapped import MappedRows, as_rows
from gapkit.statistics.totals import MULTIPLIED

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


def fit_mixture(
    points: Features | MappedRows, count: int, options: MixtureOptions = DEFAULT, *, seed: int = 0
) -> Mixture:
    """A mixture of ``count`` Gaussians, or of fewer where fewer points differ.

    Points are read in blocks, so that their posteriors are never held: O(m k), or O(m k^2) of full covariances, and
    two numbers for each point.

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
    rows = as_rows(points)
    floor = options.regularisation * _mean_squares(rows)
    mixture = of_clusters(rows, cluster(rows, count, seed=seed), floor, options.covariance)
    reached = -np.inf
    for _ in range(options.most):
        mixture, likelihood = improve(mixture, rows, floor)
        if abs(likelihood - reached) < options.tolerance:
            break
        reached = likelihood
    return mixture


def of_clusters(points: Features | MappedRows, nearest: Labels, floor: Floats, covariance: Covariance) -> Mixture:
    """The most likely mixture of points whose cluster 0 .. m - 1 is known, with ``floor`` (k,) added to variances."""
    rows, counts = as_rows(points), np.bincount(nearest)
    centres = rows.class_sums(nearest, len(counts)) / counts[:, None]
    sums = _Sums.about(centres, covariance)
    for place, block in rows.by(_nbytes(rows, len(counts))):
        sums.add(block, (nearest[place, None] == np.arange(len(counts))).astype(np.float64))
    return sums.mixture(len(rows), floor)


def improve(mixture: Mixture, points: Features | MappedRows, floor: Floats) -> tuple[Mixture, float]:
    """One step of expectation maximisation, and the mean log-likelihood of the points before it."""
    rows, likelihood = as_rows(points), 0.0
    sums = _Sums.about(mixture.means, "diagonal" if mixture.spreads.ndim == 2 else "full")
    for _, block in rows.by(_nbytes(rows, len(mixture.means))):
        posterior, mean = mixture.posterior(block)
        sums.add(block, posterior)
        likelihood += mean * len(block)
    return sums.mixture(len(rows), floor), likelihood / len(rows)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Sums:
    """Sums over points, weighted by their posteriors.

    Attributes:
        centres: (m, k) near the means, which products are taken about.
        masses: (m,) of the posteriors.
        firsts: (m, k) of the points.
        seconds: (m, k) of their squares, or (m, k, k) of products of what they are from the centre.
    """

    centres: Floats
    masses: Floats
    firsts: Floats
    seconds: Floats

    @classmethod
    def about(cls, centres: Floats, covariance: Covariance) -> _Sums:
        """Sums over no point."""
        firsts = np.zeros_like(centres)
        seconds = np.zeros(centres.shape if covariance == "diagonal" else (*centres.shape, centres.shape[1]))
        return cls(centres=centres, masses=np.zeros(len(centres)), firsts=firsts, seconds=seconds)

    def add(self, points: Features, posterior: Array) -> None:
        """Points (b, k) with their posteriors (b, m)."""
        masses, firsts, seconds = self.masses, self.firsts, self.seconds
        masses += posterior.sum(axis=0)
        firsts += posterior.T @ points
        if seconds.ndim == 2:
            seconds += posterior.T @ np.square(points)
            return
        for z, centre in enumerate(self.centres):
            apart = points - centre
            seconds[z] += (posterior[:, z, None] * apart).T @ apart

    def mixture(self, n: int, floor: Floats) -> Mixture:
        """The most likely mixture of n points, with ``floor`` (k,) added to variances."""
        safe = np.maximum(self.masses, np.finfo(np.float64).tiny)[:, None]
        means = self.firsts / safe
        if self.seconds.ndim == 2:
            # Points are centred: what the difference of squares loses is far below the floor.
            spreads = self.seconds / safe - np.square(means) + floor
        else:
            # A component without mass is at 0, and not its centre away from it.
            shift = means - self.centres * (self.masses[:, None] / safe)
            spreads = self.seconds / safe[:, :, None] - shift[:, :, None] * shift[:, None, :] + np.diag(floor)
        return Mixture(weights=self.masses / n, means=means, spreads=spreads)


def _nbytes(rows: MappedRows, m: int) -> int:
    """Of blocks of points, so that neither they nor their posteriors (b, m) are more than ``MULTIPLIED`` bytes."""
    return MULTIPLIED * rows.broadest // max(m, rows.broadest)


def cluster(points: Features | MappedRows, count: int, *, seed: int) -> Labels:
    """The cluster (n,) of each point, 0 .. m - 1: k-means from a start by k-means++.

    There are fewer clusters than ``count`` where fewer points differ, or where one has lost all its points.

    Example:
        >>> cluster(np.array([[0.0], [5.0], [0.1], [5.0]]), 2, seed=0).tolist()
        [0, 1, 0, 1]
    """
    rows = as_rows(points)
    nearest = _nearest(rows, rows.take(spread_out(rows, count, seed=seed)))
    for _ in range(ROUNDS):
        counts = np.bincount(nearest)
        before, nearest = nearest, _nearest(rows, rows.class_sums(nearest, len(counts)) / counts[:, None])
        if np.array_equal(before, nearest):
            break
    return nearest


def spread_out(points: Features | MappedRows, count: int, *, seed: int) -> Indices:
    """Positions of at most ``count`` points that differ, each drawn by its squared distance from those before it.

    This is k-means++ (Arthur and Vassilvitskii, SODA 2007).
    """
    rows, rng = as_rows(points), generator(seed, MIXTURE_STREAM)
    alike = DUPLICATE * float(_squared_distances(rows, np.zeros(rows.width)).mean())
    chosen = [int(rng.integers(len(rows)))]
    left = np.full(len(rows), np.inf)
    while True:
        np.minimum(left, _squared_distances(rows, rows.take(np.array(chosen[-1:]))[0]), out=left)
        left[left <= alike] = 0.0
        sums = np.cumsum(left, dtype=np.float64)
        if len(chosen) == count or sums[-1] == 0:
            return np.array(chosen, dtype=np.int64)
        # To the right of equal sums, so that no point at the distance 0 is drawn.
        drawn = int(np.searchsorted(sums, rng.random() * float(sums[-1]), side="right"))
        chosen.append(drawn if drawn < len(rows) else int(np.flatnonzero(left)[-1]))


def _mean_squares(rows: MappedRows) -> Floats:
    """Of each coordinate (k,)."""
    squares = np.zeros(rows.width)
    for _, block in rows:
        squares += np.square(block).sum(axis=0)
    return squares / len(rows)


def _squared_distances(rows: MappedRows, point: Floats) -> PerSample:
    """Of each row (n,) from a point (k,)."""
    return np.concatenate([np.square(block - point).sum(axis=1) for _, block in rows])


def _nearest(rows: MappedRows, centres: Floats) -> Labels:
    """The nearest centre (n,) of each point, numbered among those that are the nearest of any."""
    squares, blocks = np.square(centres).sum(axis=1), rows.by(_nbytes(rows, len(centres)))
    nearest = np.concatenate([(squares - 2 * block @ centres.T).argmin(axis=1) for _, block in blocks])
    return np.unique(nearest, return_inverse=True)[1].reshape(-1).astype(np.int64)
