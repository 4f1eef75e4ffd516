"""Sums of features by class, in one pass and without a one-hot matrix in memory."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from scipy import sparse  # pyright: ignore[reportMissingTypeStubs]

from gapkit.arrays import Features, Floats, Indices, Labels, blocks

SUMMED = 1 << 22
"""Bytes of a block that is added up by class: enough to be worth the overhead of a sparse product."""


def class_counts(codes: Labels, n_classes: int) -> Indices:
    """Samples of each class (K,).

    Example:
        >>> class_counts(np.array([0, 2, 2]), 4).tolist()
        [1, 0, 2, 0]
    """
    return np.bincount(codes, minlength=n_classes).astype(np.int64)


def class_sums(features: Features, codes: Labels, n_classes: int, centre: Floats | None = None) -> Floats:
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
    sums = np.zeros((n_classes, features.shape[1]))
    if centre is None:
        return sums + _spread(codes, n_classes) @ features
    start = 0
    for block in blocks(features, nbytes=SUMMED):
        sums += _spread(codes[start : start + len(block)], n_classes) @ (block - centre)
        start += len(block)
    return sums


def _spread(codes: Labels, n_classes: int) -> Any:
    """The one-hot matrix (K, n), sparse, as something to multiply from the left."""
    # One entry to a column: as they stand, columns need no sorting.
    ends = np.arange(len(codes) + 1)
    return cast("Any", sparse).csc_array((np.ones(len(codes)), codes, ends), shape=(n_classes, len(codes)))


def by_class(codes: Labels, n_classes: int) -> list[Indices]:
    """Positions of the samples of each class, in order.

    Example:
        >>> [index.tolist() for index in by_class(np.array([1, 0, 1]), 3)]
        [[1], [0, 2], []]
    """
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.cumsum(np.bincount(codes, minlength=n_classes))[:-1])
