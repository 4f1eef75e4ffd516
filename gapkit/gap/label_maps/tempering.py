"""The source conditional at a temperature, with the samples sorted by target class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gapkit.arrays import Array, Floats, Indices, Labels, LogProbabilities, Probabilities

FLOOR = 1e-200
"""Least p: sums and ratios of two probabilities stay in the range of float64."""
LOG_FLOOR = float(np.log(FLOOR))
TEMPERATURES = tuple(0.25 * 2.0 ** (2 * k / 3) for k in range(13))
"""Log grid on [0.25, 64] with T = 1 on it."""
UNIT, LAST, COARSE = 3, len(TEMPERATURES) - 1, 3


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
        return Tempered(samples=self, temperature=temperature, p=temper(self.log_p, temperature))


@dataclass(frozen=True, kw_only=True)
class Tempered:
    """Samples at one temperature; no entry of ``p`` (n, K_s) is below the floor."""

    samples: Samples
    temperature: float
    p: Probabilities

    @cached_property
    def log_p(self) -> LogProbabilities:
        """Log p (n, K_s), with the floor."""
        return np.log(self.p)

    @cached_property
    def columns(self) -> Floats:
        """P transposed (K_s, n): searches read whole source classes."""
        return np.ascontiguousarray(self.p.T)

    def class_sums(self, values: Array, weights: Floats) -> Floats:
        """``sum_{i: y_i = y} w_im v_iz`` for values (n, K_s) and weights (n, m), as (K_t, K_s, m)."""
        return np.stack([values[rows].T @ weights[rows] for rows in self.samples.blocks])


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
    p -= p.max(axis=1, keepdims=True)
    np.exp(p, out=p)
    p /= p.sum(axis=1, keepdims=True)
    return np.maximum(p, FLOOR, out=p)


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
