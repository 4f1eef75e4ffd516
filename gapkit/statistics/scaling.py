"""Standardised features, with the statistics of the fitting side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Features, Floats, Indices

LEAST_SPREAD = 1e-12
"""Of a column that varies, as a share of its mean; below it is rounding."""


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """Mean and standard deviation of the columns that vary.

    Attributes:
        columns: (k,) the columns that vary, k <= d.
        mean: (k,).
        spread: (k,) standard deviation (divisor n).
    """

    columns: Indices
    mean: Floats
    spread: Floats

    def apply(self, features: Features) -> Floats:
        """Features (n, d) to ``(x - mean) / spread`` (n, k); columns that did not vary are left out."""
        kept = features if len(self.columns) == features.shape[1] else features[:, self.columns]
        scaled = kept - self.mean
        scaled /= self.spread
        return scaled


def fit_scaling(features: Features) -> Scaling:
    """The scaling of these samples (n, d).

    Example:
        >>> features = np.array([[1.0, 7.0], [3.0, 7.0]])
        >>> fit_scaling(features).apply(features).tolist()
        [[-1.0], [1.0]]
    """
    mean, spread = features.mean(axis=0), features.std(axis=0)
    columns = np.flatnonzero(spread > LEAST_SPREAD * np.abs(mean))
    return Scaling(columns=columns, mean=mean[columns], spread=spread[columns])
