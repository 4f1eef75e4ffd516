"""What plain functions check of the arrays that they are given."""

from __future__ import annotations

import numpy as np

from gapkit.arrays import Array, Features
from gapkit.errors import DataError


def check_features(features: Array, name: str = "features") -> Features:
    """Features (n, d) of any real dtype as float64.

    Raises:
        DataError: no matrix, an empty one, no real numbers, or NaN or infinite values.
    """
    found = np.asarray(features)
    if found.ndim != 2 or found.size == 0:
        raise DataError(
            f"{name} has shape {found.shape}",
            expected="a matrix (n, d) with at least one sample and one feature",
            remedy="give one row for each sample",
        )
    if found.dtype.kind not in "biuf":
        raise DataError(f"{name} has dtype {found.dtype}", expected="real numbers", remedy="convert it first")
    values = found.astype(np.float64, copy=False)
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        raise DataError(
            f"{name} has NaN or infinite values in {len(bad)} samples, the first at sample {bad[0]}",
            expected="finite numbers",
            remedy="drop these samples or fill the values in",
        )
    return values
