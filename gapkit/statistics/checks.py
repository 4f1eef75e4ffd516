"""What plain functions check of the arrays that they are given."""

from __future__ import annotations

import numpy as np

from gapkit.arrays import Array, Features, blocks
from gapkit.coercion import as_floats
from gapkit.errors import DataError


def check_features(features: Array, name: str = "features") -> Features:
    """Features (n, d) of any real dtype as float64.

    Raises:
        DataError: no matrix, an empty one, no real numbers, or NaN or infinite values.
    """
    values = as_floats(features, name)
    if values.ndim != 2 or values.size == 0:
        raise DataError(
            f"{name} has shape {values.shape}",
            expected="a matrix (n, d) with at least one sample and one feature",
            remedy="give one row for each sample",
        )
    bad = np.flatnonzero(np.concatenate([~np.isfinite(block).all(axis=1) for block in blocks(values)]))
    if len(bad):
        raise DataError(
            f"{name} has NaN or infinite values in {len(bad)} samples, the first at sample {bad[0]}",
            expected="finite numbers",
            remedy="drop these samples or fill the values in",
        )
    return values
