"""Distances of all pairs, in blocks, with the digits that a product of matrices alone would lose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float64

from gapkit.arrays import AnyShape, Floats
from gapkit.scores.subsample import canonical_order, subsample

Pairs = Float64[np.ndarray[AnyShape, np.dtype[np.float64]], "a b"]
"""One number for each pair of a row and a column."""
BLOCK_ENTRIES = 1 << 20
"""Pairs that are held at once (8 MB)."""
CANCELLATION = 1e-4
"""Share of |x|^2 + |y|^2 below which |x - y|^2 is taken from the difference: above it, 1e-12 of it is certain."""
EQUAL = 1e-20
"""Share of the largest squared distance below which two samples are the same up to rounding."""
MEDIAN_SAMPLES, MEDIAN_STREAM = 2000, 42


def squared_distances(x: Floats, y: Floats) -> Pairs:
    """``|x_i - y_j|^2`` (n, m), each with a relative error of about 1e-12; of equal samples exactly 0.

    ``|x|^2 + |y|^2 - 2 x y`` by one product, and from the differences where that cancels. Samples that lie far from 0
    and near each other make all of them cancel: the caller centres them.

    Example:
        >>> squared_distances(np.array([[0.0], [1.0]]), np.array([[3.0], [1.0]])).tolist()
        [[9.0, 1.0], [4.0, 0.0]]
    """
    norms = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1)
    distances = norms - 2 * (x @ y.T)
    rows, columns = np.nonzero(distances < CANCELLATION * norms)
    step = max(1, BLOCK_ENTRIES // x.shape[1])
    for start in range(0, len(rows), step):
        i, j = rows[start : start + step], columns[start : start + step]
        distances[i, j] = np.square(x[i] - y[j]).sum(axis=1)
    return distances


def mean_between(x: Floats, y: Floats, value: Callable[[Pairs], Floats]) -> float:
    """The mean, over all n m pairs of x and y, of a function of the squared distance.

    Args:
        x: (n, d).
        y: (m, d).
        value: of a block of squared distances, entry by entry.

    Example:
        >>> mean_between(np.array([[0.0], [1.0]]), np.array([[3.0]]), np.sqrt)
        2.5
    """
    centre = (len(x) * x.mean(axis=0) + len(y) * y.mean(axis=0)) / (len(x) + len(y))
    y = y - centre
    step = max(1, BLOCK_ENTRIES // len(y))
    total = 0.0
    for start in range(0, len(x), step):
        total += float(value(squared_distances(x[start : start + step] - centre, y)).sum())
    return total / (len(x) * len(y))


def mean_within(x: Floats, value: Callable[[Pairs], Floats]) -> float:
    """The mean, over the n (n - 1) / 2 pairs of different samples, of a function of the squared distance.

    Args:
        x: (n, d), n >= 2.
        value: of a block of squared distances, entry by entry.

    Example:
        >>> mean_within(np.array([[0.0], [1.0], [3.0]]), np.sqrt)
        2.0
    """
    n = len(x)
    x = x - x.mean(axis=0)
    step = max(1, BLOCK_ENTRIES // n)
    total = 0.0
    for start in range(0, n, step):
        block = x[start : start + step]
        values = value(squared_distances(block, x[start:]))
        own = values[:, : len(block)]
        total += float(values[:, len(block) :].sum()) + float(own[np.triu_indices(len(block), 1)].sum())
    return total / (n * (n - 1) / 2)


def median_square(squares: Pairs) -> float:
    """The median of the squared distances that are not 0 up to rounding; 0.0 where all are.

    Duplicates, and samples beside themselves, say nothing about the scale.

    Example:
        >>> median_square(np.array([[0.0, 1.0], [4.0, 9.0]]))
        4.0
    """
    apart = squares[squares > EQUAL * squares.max()]
    return float(np.median(apart)) if apart.size else 0.0


def pooled_median(x: Floats, y: Floats, *, seed: int = 0) -> float:
    """The median squared distance between different samples of x and y together; 0.0 where all are the same.

    Of more than 2000 samples 2000 are drawn, whatever their order.

    Example:
        >>> pooled_median(np.array([[0.0], [1.0]]), np.array([[3.0]]))
        4.0
    """
    pooled: Any = np.concatenate([x, y])
    if len(pooled) > MEDIAN_SAMPLES:
        drawn = subsample(len(pooled), MEDIAN_SAMPLES, seed=seed, stream=MEDIAN_STREAM)
        pooled = pooled[canonical_order(pooled)[drawn]]
    pooled = pooled - pooled.mean(axis=0)
    return median_square(squared_distances(pooled, pooled))
