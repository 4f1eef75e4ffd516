"""Targets that are no single classes as classes: quantile bins of a value, the rarest of several labels."""

from __future__ import annotations

import numpy as np

from gapkit.arrays import Array, Floats, Labels
from gapkit.errors import DataError, OptionError


def quantile_bins(y: Array, n_bins: int = 10) -> tuple[Labels, Floats]:
    """Bins of about equal size, bounded by quantiles of ``y``.

    Quantiles that fall together (ties in y) are merged and bins without a sample are dropped, so
    ``len(edges) - 1``, the number of bins that remained, can be below ``n_bins``. Bin k holds
    ``edges[k] <= y < edges[k + 1]``, the last one its upper edge too.

    Args:
        y: (n,) finite values of the regression target.
        n_bins: bins asked for.

    Returns:
        Codes (n,) int64 and the edges (number of bins + 1,), in units of y.

    Raises:
        OptionError: ``n_bins`` is below 2.
        DataError: y is empty, not finite, or has a single value.

    Example:
        >>> codes, edges = quantile_bins(np.arange(6.0), 3)
        >>> codes.tolist(), edges.round(2).tolist()
        ([0, 0, 1, 1, 2, 2], [0.0, 1.67, 3.33, 5.0])
        >>> codes, edges = quantile_bins(np.array([0.0, 0.0, 0.0, 0.0, 1.0, 2.0]), 3)
        >>> codes.tolist(), len(edges) - 1
        ([0, 0, 0, 0, 1, 1], 2)
    """
    if n_bins < 2:
        raise OptionError(f"n_bins is {n_bins}", expected="at least 2 bins", remedy="use --n-bins 10")
    y = np.asarray(y, dtype=np.float64)
    if y.ndim != 1 or len(y) == 0 or not np.isfinite(y).all():
        raise DataError(
            f"regression target of shape {y.shape}", expected="finite numbers (n,)", remedy="drop the other samples"
        )
    if y.min() == y.max():
        raise DataError(
            f"regression target is {y[0]} everywhere", expected="values that differ", remedy="check how it was saved"
        )
    edges = np.unique(np.quantile(y, np.linspace(0, 1, n_bins + 1)))
    codes = np.searchsorted(edges[1:-1], y, side="right")
    kept, codes = np.unique(codes, return_inverse=True)
    # A bin that is dropped leaves its range to the one below it.
    return codes.astype(np.int64).reshape(-1), np.append(edges[np.append(0, kept[1:])], edges[-1])


def rarest_labels(several: Array) -> Labels:
    """One code for each sample of zeros and ones (n, K): the rarest label that it has, K where it has none.

    Example:
        >>> rarest_labels(np.array([[1, 1], [1, 0], [0, 0]])).tolist()
        [1, 0, 2]
    """
    counts: Array = several.sum(axis=0)
    rarest: Array = np.where(several > 0, counts, len(several) + 1).argmin(axis=1)
    codes: Array = np.where(several.any(axis=1), rarest, several.shape[1])
    return codes.astype(np.int64)
