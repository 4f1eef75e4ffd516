"""The design of a multinomial logistic regression, in the principal directions of its regressors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gapkit.arrays import Array, Floats, Labels, PerSample, spans
from gapkit.statistics.regressors import Regressors, of_width
from gapkit.statistics.stacked import HELD
from gapkit.statistics.totals import MULTIPLIED

PRECISION = np.float32
"""Of products over samples, twice as fast as float64: rounding is far below where descents end. Losses, weights and
sums over blocks are float64."""
LOGITS = 1 << 25
"""Bytes of logits that are held at once, of rotated regressors that are kept."""
LEAST_VARIANCE = 1e-10
"""Directions with a smaller share of the largest variance are constant up to rounding."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Design:
    """Regressors in principal directions, with the offsets and labels of their samples.

    The weights are those of principal directions Q: ``W = Q V``. They are uncorrelated, so that the loss of V, each
    entry in units of its curvature, is nearly round, and a descent needs few steps. The penalty is the same:
    ``|W| = |Q^T W|``. Rotated regressors are kept where they fit into ``HELD`` (43 000 samples of 768
    features); where they do not, each pass reads the regressors in blocks, and the weights are turned instead.

    Features and classes are along the first axis: sums over K classes run along rows of n numbers, which is several
    times as fast as the reverse.

    Attributes:
        regressors: x (n, D).
        mean: (D,) of x.
        directions: (D, r) Q.
        variances: (r,) of x Q.
        rotated: (r, n) ``Q^T (x - mean)^T``; None where it is not kept.
        offset: (K, n); None for zeros.
        labels: (n,) class codes.
        n_classes: K.
    """

    regressors: Regressors
    mean: Floats
    directions: Floats
    variances: Floats
    rotated: Array | None
    offset: Array | None
    labels: Labels
    n_classes: int

    def zeros(self) -> Floats:
        """Weights (K, r + 1), the last column the intercept, that leave the offset as it is."""
        return np.zeros((self.n_classes, len(self.variances) + 1))

    def loss(self, weights: Floats, place: slice | None = None) -> tuple[float, Floats]:
        """Mean log loss at weights (K, r + 1) and its slope, of the samples at a place; None for all of them."""
        slope, n, lost = np.zeros((self.n_classes, self._width + 1)), 0, 0.0
        for at, x, log_p in self._log_probabilities(weights, place):
            own = self.labels[at], np.arange(x.shape[1], dtype=np.int64)
            lost -= float(log_p[own].astype(np.float64).sum())
            error = np.exp(log_p, out=log_p)
            error[own] -= 1.0
            slope[:, :-1] += error @ x.T
            slope[:, -1] += error.sum(axis=1)
            n += x.shape[1]
        slope /= n
        return lost / n, slope if self.rotated is not None else self._turned_back(slope)

    def own(self, weights: Floats, place: slice | None = None) -> PerSample:
        """Probabilities (m,) that the samples at a place have of their own classes."""
        found = [
            log_p[self.labels[at], np.arange(log_p.shape[1])].astype(np.float64)
            for at, _, log_p in self._log_probabilities(weights, place)
        ]
        return np.exp(np.concatenate(found))

    def curvature(self, weights: Floats, place: slice | None = None) -> Floats:
        """Curvature (K, K) of the log loss in the logits: mean of ``diag(p) - p p^T`` over the samples at a place."""
        means, products, n = np.zeros(self.n_classes), np.zeros((self.n_classes, self.n_classes)), 0
        for _, _, log_p in self._log_probabilities(weights, place):
            p = np.exp(log_p, out=log_p)
            means += p.sum(axis=1)
            products += p @ p.T
            n += p.shape[1]
        return (np.diag(means) - products) / n

    def unrotate(self, weights: Floats) -> tuple[Floats, Floats]:
        """Weights (K, r + 1) in principal directions as those of x (D, K) and an intercept (K,)."""
        own = self.directions @ weights[:, :-1].T
        return own, weights[:, -1] - self.mean @ own

    @property
    def _width(self) -> int:
        """Rows of a block: r, or D."""
        return len(self.mean if self.rotated is None else self.variances)

    def _log_probabilities(self, weights: Floats, place: slice | None) -> Iterator[tuple[slice, Array, Array]]:
        """Places, blocks of regressors (width, m) and ``log softmax`` (K, m), which may be written to."""
        turned = weights[:, :-1] if self.rotated is not None else weights[:, :-1] @ self.directions.T
        turned, intercept = turned.astype(PRECISION), weights[:, -1:].astype(PRECISION)
        for at, x in self._blocks(place):
            logits = turned @ x
            logits += intercept
            if self.offset is not None:
                logits += self.offset[:, at]
            yield at, x, _log_softmax(logits)

    def _blocks(self, place: slice | None) -> Iterator[tuple[slice, Array]]:
        """The regressors in blocks (width, m), with their places."""
        if self.rotated is not None:
            first, end = (0, len(self.labels)) if place is None else (place.start, place.stop)
            for at in spans(end - first, np.dtype(PRECISION).itemsize * self.n_classes, LOGITS, first=first):
                yield at, self.rotated[:, at]
            return
        for at, x in self.regressors.blocks(place, nbytes=of_width(self.regressors.width, self.n_classes)):
            x -= self.mean
            yield at, x.T.astype(PRECISION)

    def _turned_back(self, slope: Floats) -> Floats:
        """A slope in the weights of x as one in those of principal directions."""
        return np.hstack([slope[:, :-1] @ self.directions, slope[:, -1:]])


def _log_softmax(logits: Array) -> Array:
    """Logarithms of probabilities along the first axis; ``logits`` (K, m) is overwritten."""
    logits -= logits.max(axis=0)
    logits -= np.log(np.exp(logits).sum(axis=0))
    return logits


def make_design(regressors: Regressors, labels: Labels, offset: Floats | None, n_classes: int) -> Design:
    """The design of regressors (n, D), class codes (n,) and offsets (n, K), None for zeros."""
    mean = sum((x.sum(axis=0) for _, x in regressors.blocks()), np.zeros(regressors.width)) / len(regressors)
    variances, directions = _principal(regressors, mean)
    return Design(
        regressors=regressors,
        mean=mean,
        directions=directions,
        variances=variances,
        rotated=_rotate(regressors, mean, directions),
        offset=None if offset is None or not offset.any() else np.ascontiguousarray(offset.T, dtype=PRECISION),
        labels=labels,
        n_classes=n_classes,
    )


def _principal(regressors: Regressors, mean: Floats) -> tuple[Floats, Floats]:
    """Variances (r,) and directions (D, r), from the smaller of the two Gram matrices."""
    n, width = len(regressors), regressors.width
    if width <= n:
        gram: Floats = np.zeros((width, width))
        for _, x in regressors.blocks(nbytes=MULTIPLIED):
            x -= mean
            gram += x.T @ x
        return _eigen(gram / n)
    centred = np.concatenate([x - mean for _, x in regressors.blocks()])  # at most D rows
    values, vectors = _eigen(centred @ centred.T / n)
    return values, centred.T @ (vectors / np.sqrt(n * values))


def _eigen(matrix: Floats) -> tuple[Floats, Floats]:
    """Eigenvalues above rounding, and their vectors."""
    values, vectors = np.linalg.eigh(matrix)
    kept = values > LEAST_VARIANCE * max(values.max(initial=0.0), np.finfo(np.float64).tiny)
    return values[kept], vectors[:, kept]


def _rotate(regressors: Regressors, mean: Floats, directions: Floats) -> Array | None:
    """``Q^T (x - mean)^T`` (r, n), where it may be kept."""
    n, rank = len(regressors), directions.shape[1]
    if np.dtype(PRECISION).itemsize * n * rank > HELD:
        return None
    own: Array = directions.T.astype(PRECISION)
    found: np.ndarray[Any, np.dtype[Any]] = np.empty((rank, n), dtype=PRECISION)
    for at, x in regressors.blocks(nbytes=MULTIPLIED):
        x -= mean
        found[:, at] = own @ x.T.astype(PRECISION)
    return found
