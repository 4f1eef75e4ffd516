"""The source conditional at a temperature, with the samples sorted by target class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gapkit.arrays import Array, Floats, Indices, Labels, LogProbabilities, Mask, PerSample, Probabilities

FLOOR = 1e-200
"""Least p: sums and ratios of two probabilities stay in the range of float64."""
LOG_FLOOR = float(np.log(FLOOR))
TEMPERATURES = tuple(0.25 * 2.0 ** (2 * k / 3) for k in range(13))
"""Log grid on [0.25, 64] with T = 1 on it."""
UNIT, LAST, COARSE = 3, len(TEMPERATURES) - 1, 3
TEMPERED_ROWS = 64
"""Samples that are tempered at once, so that they are in the cache while they are."""
KEPT, KEPT_BYTES = 2, 1 << 27
"""Temperatures whose p is kept, as long as all of them take no more memory than this: searches go to and fro."""


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Source conditional and target labels, sorted by class, so that every class is one block of rows.

    Attributes:
        log_p: (n, K_s) log-probabilities.
        labels: (n,) ascending class codes.
        bounds: (K_t + 1,) class y is the rows ``bounds[y]:bounds[y + 1]``.
    """

    log_p: LogProbabilities
    labels: Labels
    bounds: Indices

    @property
    def n_classes(self) -> int:
        """K_t."""
        return len(self.bounds) - 1

    @property
    def blocks(self) -> list[slice]:
        """Rows of each class."""
        return [slice(int(low), int(high)) for low, high in zip(self.bounds[:-1], self.bounds[1:], strict=True)]

    def temper(self, temperature: float) -> Tempered:
        """P at the temperature: ``softmax(log p / T)``, floored."""
        columns, log_norms = self._kept.pop(temperature, None) or temper_columns(self.log_p, temperature)
        self._kept[temperature] = columns, log_norms
        while len(self._kept) > min(KEPT, KEPT_BYTES // max(1, columns.nbytes)):
            del self._kept[next(iter(self._kept))]
        return Tempered(samples=self, temperature=temperature, columns=columns, log_norms=log_norms)

    @cached_property
    def _kept(self) -> dict[float, tuple[Floats, PerSample]]:
        """Columns and log norms at the last temperatures, the latest one last."""
        return {}


@dataclass(frozen=True, kw_only=True)
class Tempered:
    """Samples at one temperature; no probability is below the floor.

    Attributes:
        samples: what was tempered.
        temperature: T.
        columns: P transposed (K_s, n): searches read whole source classes.
        log_norms: (n,) what ``log p / T`` exceeds the logarithm of the tempered p by, where that is above the floor.
    """

    samples: Samples
    temperature: float
    columns: Floats
    log_norms: PerSample

    @property
    def p(self) -> Probabilities:
        """P (n, K_s), a view of the columns."""
        return self.columns.T

    def take(self, rows: Mask) -> Floats:
        """P (m, K_s) of some samples."""
        return take_samples(self.columns, rows).T

    def class_sums(self, values: Array, weights: Floats) -> Floats:
        """``sum_{i: y_i = y} w_im v_iz`` for values (n, K_s) and weights (n, m), as (K_t, K_s, m)."""
        return np.stack([values[rows].T @ weights[rows] for rows in self.samples.blocks])

    def log_sums(self, weights: Floats) -> Floats:
        """``sum_{i: y_i = y} w_im log p_iz`` for weights (n, m), as (K_t, K_s, m), without a logarithm for each p."""
        sums = np.empty((self.samples.n_classes, len(self.columns), weights.shape[1]))
        for y, rows in enumerate(self.samples.blocks):
            which = rows.start + np.flatnonzero(weights[rows].any(axis=1))
            log_p = self.samples.log_p[which]
            log_p /= self.temperature
            log_p -= self.log_norms[which, None]
            np.matmul(np.maximum(log_p, LOG_FLOOR, out=log_p).T, weights[which], out=sums[y])
        return sums


def sort_samples(log_p: LogProbabilities, labels: Labels, n_classes: int) -> tuple[Samples, Indices]:
    """Samples sorted by class, and the order: row j of the result is row ``order[j]`` of the input."""
    order = np.argsort(labels, kind="stable")
    counts = np.bincount(labels, minlength=n_classes)
    bounds = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Samples(log_p=log_p[order], labels=labels[order], bounds=bounds), order


def temper(log_p: LogProbabilities, temperature: float) -> Probabilities:
    """``softmax(log p / T)`` in float64, no entry below the floor.

    Example:
        >>> temper(np.log([[0.8, 0.2]]), 2.0).round(3).tolist()
        [[0.667, 0.333]]
    """
    p = log_p / temperature
    _softmax(p)
    return p


def temper_columns(log_p: LogProbabilities, temperature: float) -> tuple[Floats, PerSample]:
    """``temper`` transposed, (K_s, n), and the log norms ``log sum_z p_iz^(1 / T)`` (n,), some samples at a time.

    Example:
        >>> columns, log_norms = temper_columns(np.log([[0.8, 0.2]]), 2.0)
        >>> columns.round(3).tolist(), log_norms.round(3).tolist()
        ([[0.667], [0.333]], [0.294])
    """
    n, n_source = log_p.shape
    columns, log_norms = np.empty((n_source, n)), np.empty(n)
    for start in range(0, n, TEMPERED_ROWS):
        rows = slice(start, start + TEMPERED_ROWS)
        p = log_p[rows] / temperature
        log_norms[rows] = _softmax(p)
        columns[:, rows] = p.T
    return columns, log_norms


def take_samples(columns: Floats, rows: Mask) -> Floats:
    """Some samples (K_s, m) of columns (K_s, n); the columns themselves where those are all."""
    return columns if rows.all() else np.take(columns, np.flatnonzero(rows), axis=1)


def _softmax(p: Floats) -> PerSample:
    """Softmax of each row in place, no entry below the floor, and the log of the sum of exponentials (n,)."""
    most = p.max(axis=1, keepdims=True)
    p -= most
    np.exp(p, out=p)
    total = p.sum(axis=1, keepdims=True)
    p /= total
    np.maximum(p, FLOOR, out=p)
    return (most + np.log(total))[:, 0]


def log_of(probs: Probabilities) -> LogProbabilities:
    """Log p, with the floor where p is zero."""
    return np.log(np.maximum(probs, FLOOR))


def choose_temperatures(losses_at: Callable[[float, Indices], Floats], parts: int) -> Floats:
    """The temperature with the least loss for each of ``parts`` problems, coarse to fine on the grid.

    Every third temperature from 1 to 16 first; where an end of these is best, the end of the grid beyond it; then both
    neighbours of the best one. Among equal losses the temperature nearest to 1 is taken.

    Args:
        losses_at: losses (len(which),) at a temperature of the problems ``which``.
        parts: number of problems.
    """
    losses = np.full((parts, len(TEMPERATURES)), np.inf)

    for k in range(UNIT, LAST, COARSE):
        losses[:, k] = losses_at(TEMPERATURES[k], np.arange(parts, dtype=np.int64))
    for distance, positions in ((COARSE, (0, LAST)), (1, range(LAST + 1))):
        best = _least(losses)
        for k in positions:
            which = np.flatnonzero(np.abs(best - k) == distance)
            if len(which):
                losses[which, k] = losses_at(TEMPERATURES[k], which)
    return np.array(TEMPERATURES)[_least(losses)]


def _least(losses: Floats) -> Indices:
    """Column of the least loss in each row, the one nearest to T = 1 among equals."""
    distance = np.abs(np.arange(losses.shape[1], dtype=np.int64) - UNIT)
    tied = losses <= losses.min(axis=1, keepdims=True) + 1e-9
    return np.argmin(np.where(tied, distance, len(TEMPERATURES)), axis=1)
