"""What the plain functions of statistics check of the arrays that they are given."""

from __future__ import annotations

import numpy as np

from gapkit.arrays import Array, Features
from gapkit.errors import DataError


def check_features(features: Array, name: str = "features") -> Features:
    """Features (n, d) as float64.

    Raises:
        DataError: no matrix of finite numbers.
    """
    found = np.asarray(features)
    if found.ndim != 2 or found.size == 0 or found.dtype.kind not in "biuf":
        raise DataError(
            f"{name} has shape {found.shape} and dtype {found.dtype}",
            expected="real numbers (n, d)",
            remedy="give one row for each sample",
        )
    values = found.astype(np.float64, copy=False)
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        raise DataError(
            f"{name} has NaN or infinite values in {len(bad)} samples, the first at sample {bad[0]}",
            expected="finite numbers",
            remedy="drop these samples or fill the values in",
        )
    return values
