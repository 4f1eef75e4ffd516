"""Classes as Gaussians, and the Bures distance between their covariances.

Covariances are kept as roots R (r, d) with ``C = R' R``: the centred samples themselves where a class has no more
samples than features, the triangle of their QR decomposition where it has more. Nothing is squared, so that small
eigenvalues keep their digits, and nothing is regularised: ``tr (C1^(1/2) C2 C1^(1/2))^(1/2)`` is the sum of the
singular values of ``R1 R2'`` whatever the ranks are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64
from scipy.spatial.distance import cdist

from gapkit.arrays import AnyShape, Array, Features, Floats, Indices, Labels
from gapkit.statistics.totals import measure_totals

Covariance = Literal["full", "diagonal", "shrunk"]
Correction = Literal[0, 1]
PerPair = Float64[np.ndarray[AnyShape, np.dtype[np.float64]], "c1 c2"]
"""One number for each pair of a class of the first and one of the second sample."""
CrossProducts = Callable[[int, Indices], Floats]
"""``R1 R2'`` (count, r1, r2) of a class of the first sample and several of the second, which have equal ranks."""
CANCELLATION = 1e-4
"""Share of both traces below which the distance is recomputed as the norm of a residual: nothing cancels in it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassGaussians:
    """Mean and covariance of every class.

    Attributes:
        counts: (K,) samples.
        means: (K, d).
        roots: K arrays (r, d), ``C = R' R``; of diagonal covariances the standard deviations (1, d).
        diagonal: whether they are.
    """

    counts: Indices
    means: Floats
    roots: tuple[Floats, ...]
    diagonal: bool

    @property
    def of_samples(self) -> bool:
        """Whether the roots are the classes' samples themselves, centred and scaled."""
        return not self.diagonal and all(len(root) == n for root, n in zip(self.roots, self.counts, strict=True))

    @property
    def traces(self) -> Floats:
        """``tr C`` (K,)."""
        return np.array([np.square(root).sum() for root in self.roots])


def class_means(features: Features, labels: Labels, n_classes: int) -> Floats:
    """Means (K, d) of the classes; every class has a sample."""
    return np.stack([features[labels == code].mean(axis=0) for code in range(n_classes)])


def class_gaussians(
    features: Features, labels: Labels, *, covariance: Covariance = "full", correction: Correction = 1
) -> ClassGaussians:
    """Fit a Gaussian to every class.

    A class with one sample has the covariance zero. Shrunk covariances are ``(1 - a) C + a (tr C / d) I`` with Ledoit
    and Wolf's a (Journal of Multivariate Analysis 2004) of the class.

    Args:
        features: (n, d).
        labels: (n,) class codes; every class has a sample.
        covariance: of classes.
        correction: covariances are divided by ``n_c - correction``.

    Example:
        >>> fitted = class_gaussians(np.array([[0.0], [2.0], [5.0]]), np.array([0, 0, 1]))
        >>> fitted.means.ravel().tolist(), fitted.traces.round(6).tolist()
        ([1.0, 5.0], [2.0, 0.0])
    """
    counts = np.bincount(labels)
    means = class_means(features, labels, len(counts))
    roots: list[Floats] = []
    for code, count in enumerate(counts.tolist()):
        centred = features[labels == code] - means[code]
        centred /= np.sqrt(max(count - correction, 1))
        roots.append(_root(centred, covariance))
    return ClassGaussians(counts=counts, means=means, roots=tuple(roots), diagonal=covariance == "diagonal")


def squared_bures(first: ClassGaussians, second: ClassGaussians, products: CrossProducts | None = None) -> PerPair:
    """``tr C1 + tr C2 - 2 tr (C1^(1/2) C2 C1^(1/2))^(1/2)`` for all K1 x K2 pairs of classes.

    The squared 2-Wasserstein distance of centred Gaussians (Dowson and Landau, Journal of Multivariate Analysis 1982).
    Pairs of equal ranks r1, r2 are decomposed as one stack: O(K1 K2 r1 r2 (d + min(r1, r2))).

    Args:
        first: Gaussians of one sample.
        second: Gaussians of the other one, of as many features.
        products: of their roots, where they are known; computed otherwise.

    Example:
        >>> unit, double = np.array([[-1.0], [1.0]]), np.array([[-2.0], [2.0]])
        >>> first, second = (class_gaussians(x, np.array([0, 0]), correction=0) for x in (unit, double))
        >>> squared_bures(first, second).round(12).tolist()
        [[1.0]]
    """
    if first.diagonal:
        return np.asarray(cdist(np.vstack(first.roots), np.vstack(second.roots), "sqeuclidean"), dtype=np.float64)
    distances = first.traces[:, None] + second.traces[None, :]
    small = CANCELLATION * distances
    for columns, stack in _by_rank(second.roots):
        for row, root in enumerate(first.roots):
            crossed = products(row, columns) if products else root @ stack.transpose(0, 2, 1)
            distances[row, columns] -= 2 * np.linalg.svd(crossed, compute_uv=False).sum(axis=1)
    for row, column in np.argwhere(distances < small).tolist():
        distances[row, column] = squared_residual(first.roots[row], second.roots[column])
    return distances


def squared_residual(first: Floats, second: Floats) -> float:
    """The least ``|R1 - Q R2|^2`` over orthogonal Q: the squared Bures distance, with a relative error near rounding.

    The minimiser is the polar factor of ``R1 R2'`` (orthogonal Procrustes); roots of unequal ranks are filled up with
    zero rows. Equal covariances are at most about ``(1e-16)^2 tr C`` apart, so that the root of the distance is zero to
    rounding too.
    """
    rank = max(len(first), len(second))
    left, right = (np.vstack([root, np.zeros((rank - len(root), root.shape[1]))]) for root in (first, second))
    u, _, v = np.linalg.svd(left @ right.T)
    return float(np.square(left - (u @ v) @ right).sum())


def _root(centred: Floats, covariance: Covariance) -> Floats:
    """R with ``R' R`` the covariance, from centred samples divided by the root of their number."""
    n_features = centred.shape[1]
    if covariance == "diagonal":
        return np.sqrt(np.square(centred).sum(axis=0))[None, :]
    if covariance == "shrunk" and centred.any():
        share = _shrinkage(centred)
        # Two roots below each other are a root of the sum of their covariances.
        isotropic = np.sqrt(share * np.square(centred).sum() / n_features) * np.eye(n_features)
        centred = np.vstack([np.sqrt(1 - share) * centred, isotropic])
    if len(centred) <= n_features:
        return centred
    return np.asarray(np.linalg.qr(centred, mode="r"))


def _shrinkage(centred: Floats) -> float:
    """Ledoit and Wolf's share, which no scale of the samples changes."""
    # Of order 1: its fourth powers would leave float64 at extreme scales.
    return measure_totals(centred / np.abs(centred).max()).shrinkage


def _by_rank(roots: Sequence[Floats]) -> Iterator[tuple[Array, Floats]]:
    """Positions and stacks (count, r, d) of the roots of each number of rows."""
    ranks = np.array([len(root) for root in roots])
    for rank in np.unique(ranks):
        columns = np.flatnonzero(ranks == rank)
        yield columns, np.stack([roots[column] for column in columns.tolist()])
