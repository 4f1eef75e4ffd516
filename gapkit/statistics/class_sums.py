"""Sums of features by class, in one pass and without a one-hot matrix in memory."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from scipy import sparse  # pyright: ignore[reportMissingTypeStubs]

from gapkit.arrays import Array, Floats, Indices, Labels
from gapkit.statistics.stacked import FeatureRows, row_blocks

SUMMED = 1 << 22
"""Bytes of a block that is added up by class: enough to be worth the overhead of a sparse product."""


def class_counts(codes: Labels, n_classes: int) -> Indices:
    """Samples of each class (K,).

    Example:
        >>> class_counts(np.array([0, 2, 2]), 4).tolist()
        [1, 0, 2, 0]
    """
    return np.bincount(codes, minlength=n_classes).astype(np.int64)


def class_sums(features: FeatureRows, codes: Labels, n_classes: int, centre: Floats | None = None) -> Floats:
    """``sum of (x_i - centre)`` over the samples of each class, (K, d); 0 for a class without a sample.

    The centre is subtracted before anything is added, so that a large mean costs no digits. Blocks of rows are, so that
    nothing of the size of the features is held.

    Args:
        features: (n, d).
        codes: (n,) in 0 .. K - 1.
        n_classes: K.
        centre: (d,) such as the mean; nothing is subtracted without.

    Example:
        >>> class_sums(np.array([[1.0], [2.0], [4.0]]), np.array([1, 0, 1]), 3).tolist()
        [[2.0], [5.0], [0.0]]
    """
    if centre is None:
        return np.zeros((n_classes, features.shape[1])) + _spread(codes[:, None], n_classes) @ np.asarray(features)
    return several_class_sums(features, codes[:, None], n_classes, centre)[0]


def several_class_sums(features: FeatureRows, codes: Array, n_classes: int, centre: Floats) -> Array:
    """As ``class_sums``, of m labellings (n, m), in one pass: (m, K, d), each to the last bit as alone.

    Example:
        >>> codes = np.array([[1, 0], [0, 0], [1, 1]])
        >>> several_class_sums(np.array([[1.0], [2.0], [4.0]]), codes, 2, np.zeros(1)).tolist()
        [[[2.0], [5.0]], [[3.0], [4.0]]]
    """
    count, start = int(codes.shape[1]), 0
    columns: Array = codes + n_classes * np.arange(count)
    sums = np.zeros((count * n_classes, features.shape[1]))
    for block in row_blocks(features, nbytes=SUMMED):
        sums += _spread(columns[start : start + len(block)], len(sums)) @ (block - centre)
        start += len(block)
    return sums.reshape(count, n_classes, features.shape[1])


def _spread(columns: Array, count: int) -> Any:
    """The matrix (count, n) of m ones in each column, sparse, as something to multiply from the left."""
    n, m = len(columns), int(columns.shape[1])
    # The same number of entries to a column: as they stand, columns need no sorting.
    ends = m * np.arange(n + 1)
    return cast("Any", sparse).csc_array((np.ones(n * m), columns.ravel(), ends), shape=(count, n))


def by_class(codes: Labels, n_classes: int) -> list[Indices]:
    """Positions of the samples of each class, in order.

    Example:
        >>> [index.tolist() for index in by_class(np.array([1, 0, 1]), 3)]
        [[1], [0, 2], []]
    """
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.cumsum(np.bincount(codes, minlength=n_classes))[:-1])
