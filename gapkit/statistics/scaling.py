"""Standardised features, with the statistics of the fitting side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Array, Features, Floats, Indices, spans
from gapkit.statistics.stacked import ChosenRows, FeatureRows, StackedRows, column_ends
from gapkit.statistics.totals import CACHED

LEAST_SPREAD = 1e-12
"""Of a column that varies, as a share of its mean; below it is rounding."""
MODERATE = 2.0**200
"""Values up to it, and down to its inverse, have sums of fourth powers in float64."""


def power_of_two(*values: Array | ChosenRows) -> float:
    """The power of two in whose units very large or very small values are of order 1; 1.0 for all others.

    Values that are divided by it keep all of their digits.

    Example:
        >>> power_of_two(np.array([-3.0, 0.5])), power_of_two(np.array([1e80])) == 2.0**265
        (1.0, True)
    """
    largest = max(map(_largest, values))
    if largest == 0 or 1 / MODERATE <= largest <= MODERATE:
        return 1.0
    return 2.0 ** (int(np.frexp(largest)[1]) - 1)


def _largest(values: Array | ChosenRows) -> float:
    """The largest of their sizes, 0 of none."""
    if isinstance(values, ChosenRows):
        return max(float(np.abs(ends).max()) for ends in column_ends(values))
    return max(float(values.max(initial=0.0)), -float(values.min(initial=0.0)))


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


def fit_scaling(features: FeatureRows | StackedRows, index: Indices | None = None) -> Scaling:
    """The scaling of these samples (n, d), or of those at ``index``; read twice, in blocks.

    Example:
        >>> features = np.array([[1.0, 7.0], [3.0, 7.0]])
        >>> fit_scaling(features).apply(features).tolist()
        [[-1.0], [1.0]]
    """
    index = np.arange(len(features)) if index is None else index
    mean = _mean(features, index, None)
    spread = np.sqrt(_mean(features, index, mean))
    columns = np.flatnonzero(spread > LEAST_SPREAD * np.abs(mean))
    return Scaling(columns=columns, mean=mean[columns], spread=spread[columns])


def _mean(features: FeatureRows | StackedRows, index: Indices, centre: Floats | None) -> Floats:
    """Mean (d,) of the samples at ``index``, or of their squared distances from a centre."""
    total = np.zeros(features.shape[1])
    for place in spans(len(index), 8 * features.shape[1], CACHED):
        block = features[index[place]].astype(np.float64, copy=False)
        if centre is not None:
            block = np.square(block - centre)
        total += block.sum(axis=0)
    return total / len(index)
