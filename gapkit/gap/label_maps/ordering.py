"""Orders of samples and of source classes that depend on what they hold, not on how they came."""

from __future__ import annotations

import numpy as np

from gapkit.arrays import Array, Features, Floats, Indices, Labels, PerSample, generator

CANONICAL_STREAM = 21
KNOTS = 64
"""Of the weights of samples, straight lines between them: neighbours that change places hardly change a projection."""


def order_samples(features: Features, log_p: Floats, labels: Labels, groups: Array | None) -> Indices:
    """Positions (n,) by a projection of features, then of sorted log p, then by what class and group hold."""
    marks = _marks(features, log_p)
    units = labels if groups is None else groups
    return np.lexsort((_held(marks, units), _held(marks, labels), marks)).astype(np.int64)


def order_columns(log_p: Floats) -> Array:
    """Positions (K_s,) of source classes by a projection of their column, samples being ordered already."""
    return np.argsort(_column_keys(log_p), kind="stable").astype(np.int64)


def _project(rows: Array) -> PerSample:
    """A fixed random projection (n,) of rows (n, k); a row's result does not depend on where it stands."""
    weights = np.asarray(generator(0, CANONICAL_STREAM).normal(size=rows.shape[1]), dtype=np.float64)
    return np.sum(np.ascontiguousarray(rows, dtype=np.float64) * weights, axis=1)


def _column_keys(log_p: Floats) -> Floats:
    """A fixed random projection (K_s,) of columns (n, K_s), row by row, so that places of columns do not matter."""
    knots = generator(0, CANONICAL_STREAM, 1).normal(size=KNOTS)
    weights = np.interp(np.linspace(0, 1, len(log_p)), np.linspace(0, 1, KNOTS), knots)
    return np.sum(log_p * weights[:, None], axis=0)


def _marks(features: Features, log_p: Floats) -> Indices:
    """Dense ranks (n,) by the features' projection; among equals by that of sorted log p, which few samples need."""
    _, ranks, counts = np.unique(_project(features), return_inverse=True, return_counts=True)
    tied = counts[ranks.reshape(-1)] > 1
    second = np.zeros(len(ranks))
    # Sorted, so that places of source classes do not matter; in float32, so that rounding of log p does not.
    second[tied] = _project(np.sort(log_p[tied], axis=1).astype(np.float32))
    order = np.lexsort((second, ranks.reshape(-1)))
    steps = (np.diff(ranks.reshape(-1)[order]) != 0) | (np.diff(second[order]) != 0)
    marks = np.empty(len(order), dtype=np.int64)
    marks[order] = np.concatenate([[0], np.cumsum(steps)])
    return marks


def _held(marks: Indices, codes: Labels) -> Indices:
    """For each sample a number that stands for the multiset of marks in its class or group."""
    _, codes = np.unique(codes, return_inverse=True)
    weights = generator(0, CANONICAL_STREAM, 2).integers(1 << 62, size=int(marks.max(initial=0)) + 1)
    sums = np.zeros(int(codes.max(initial=0)) + 1, dtype=np.int64)
    # Integers wrap around, so the sum does not depend on the order of the samples.
    np.add.at(sums, codes.reshape(-1), weights[marks])
    return sums[codes.reshape(-1)]
