"""Sums of logarithms by products: a logarithm takes as long as a dozen multiplications."""

from __future__ import annotations

import numpy as np

from gapkit.arrays import Array, Floats

TOGETHER = 8
"""So many factors are multiplied before the logarithm is taken."""
FEW = 1 << 12
"""Up to this many factors, logarithms take no longer than what it takes to avoid them."""
LEAST, MOST = 1e-290, 1e290
"""Where a product is outside, its factors' logarithms are taken one by one: it may have lost digits, or all."""


def sum_logs(factors: Floats) -> Floats:
    """``sum_i log f_mi`` (m,) of positive factors (m, n), each row all at least 1 or all at most 1.

    Then products only grow or only fall, so that one that has left the range of float64 on the way is seen at the end.

    Example:
        >>> sum_logs(np.array([[1.0, 2.0, 4.0], [1e-200, 1e-200, 1.0]])).round(3).tolist()
        [2.079, -921.034]
    """
    n_rows, n = factors.shape
    width = n // TOGETHER
    if factors.size <= FEW or width == 0:
        return np.log(factors).sum(axis=1)
    whole = width * TOGETHER
    # A product may leave the range: such rows are done again below.
    with np.errstate(over="ignore"):
        products: Floats = np.multiply.reduce(factors[:, :whole].reshape(n_rows, TOGETHER, width), axis=1)
        # In turn: there may be more of them than products.
        for start in range(whole, n, width):
            rest = factors[:, start : start + width]
            products[:, : rest.shape[1]] *= rest
    return np.log(products).sum(axis=1) if _in_range(products) else _one_by_one(factors, products)


def _in_range(products: Array) -> bool:
    """Whether no product is outside the range where all its digits are kept."""
    return products.size == 0 or bool(products.min() > LEAST and products.max() < MOST)


def _one_by_one(factors: Floats, products: Array) -> Floats:
    """As ``sum_logs``, with a logarithm for each factor in rows whose products are out of range."""
    sound = ((products > LEAST) & (products < MOST)).all(axis=1)
    sums = np.empty(len(factors))
    sums[sound] = np.log(products[sound]).sum(axis=1)
    sums[~sound] = np.log(factors[~sound]).sum(axis=1)
    return sums
