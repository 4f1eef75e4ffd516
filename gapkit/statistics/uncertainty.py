"""Intervals: a studentised bootstrap of ratios of sums, with the same resamples for every ratio."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Floats, Labels, generator

BOOTSTRAP_STREAM = 3
BLOCK_ENTRIES = 2_000_000
"""Entries of the counts matrix that are held at once (16 MB)."""


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """Ratios with their standard errors and interval ends, one entry for each ratio (m,)."""

    value: Floats
    standard_error: Floats
    low: Floats
    high: Floats


def ratio_intervals(
    numerators: Floats,
    denominators: Floats,
    *,
    groups: Labels | None = None,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Intervals:
    """Studentised bootstrap intervals for ``sum_i x_ij / sum_i y_ij``, j = 1..m.

    A mean is the ratio with y = 1; a normalised value has the prior's losses as y. All ratios share the resampled
    indices, so differences between columns may be given as columns too. With e = x - R y the linearised standard error
    is ``se^2 = g / (g - 1) sum e^2 / (sum y)^2``; ``t* = (R* - R) / se*`` and the interval is
    ``[R - t*_(1 - a/2) se, R - t*_(a/2) se]``, widened to hold R where it would not. Groups are resampled whole, which
    is the same computation on sums over groups. Where e is zero everywhere the interval is the point.

    Resamples without any of the few samples that vary (three errors among 500) would have se* = 0; se*^2 is kept at or
    above ``se^2 sum e^4 / (sum e^2)^2``, the variance that one such sample brings. With fewer than about ten errors the
    upper end of a zero-one loss is too low all the same, and with none the interval is [0, 0].

    Args:
        numerators: (n, m) x.
        denominators: (n, m) or (n, 1) y, of positive sum.
        groups: (n,) codes of samples that are resampled together.
        resamples: B.
        seed: of the resamples.
        level: of confidence.

    Returns:
        Values and interval ends (m,).
    """
    denominators = np.broadcast_to(denominators, numerators.shape)
    if groups is not None:
        numerators, denominators = _sums(numerators, groups), _sums(denominators, groups)
    total = denominators.sum(axis=0)
    value = numerators.sum(axis=0) / total
    residuals = numerators - value * denominators
    # Rounding leaves dust where x is a multiple of y; it is no variance.
    dust = 1e-12 * (np.abs(numerators).max(axis=0) + np.abs(value) * np.abs(denominators).max(axis=0))
    residuals = np.where(np.abs(residuals) <= dust, 0.0, residuals)
    size = len(residuals)
    squares = np.square(residuals).sum(axis=0)
    error = np.sqrt(squares * (size / max(1, size - 1))) / total
    statistics = _studentised(residuals, denominators, resamples=resamples, seed=seed)
    tails = np.quantile(statistics, [(1 - level) / 2, (1 + level) / 2], axis=0)
    low, high = value - np.maximum(tails[1], 0.0) * error, value - np.minimum(tails[0], 0.0) * error
    return Intervals(value=value, standard_error=error, low=low, high=high)


def _sums(values: Floats, groups: Labels) -> Floats:
    """Sums over groups (g, m)."""
    _, codes = np.unique(groups, return_inverse=True)
    sums = np.zeros((int(codes.max()) + 1, values.shape[1]))
    np.add.at(sums, codes.reshape(-1), values)
    return sums


def _studentised(residuals: Floats, denominators: Floats, *, resamples: int, seed: int) -> Floats:
    """t* (B, m): zero where a ratio does not vary at all."""
    squares = np.square(residuals)
    m, size = residuals.shape[1], len(residuals)
    total = squares.sum(axis=0)
    least = np.square(squares).sum(axis=0) / np.where(total > 0, total, 1.0)
    moments = np.hstack([residuals, denominators, squares, residuals * denominators, np.square(denominators)])
    found: list[Floats] = []
    for counts in resampling_counts(size, resamples, seed=seed):
        e, y, ee, ey, yy = np.split(counts @ moments, 5, axis=1)
        shift = e / np.where(y > 0, y, 1.0)
        spread = np.maximum(ee - 2 * shift * ey + np.square(shift) * yy, least) * (size / max(1, size - 1))
        vary = (spread > 0) & (y > 0)
        # shift / (sqrt(spread) / y); a resample whose denominators are all zero says nothing.
        found.append(np.where(vary, e / np.sqrt(np.where(vary, spread, 1.0)), 0.0))
    return np.concatenate(found).reshape(-1, m)


def resampling_counts(size: int, resamples: int, *, seed: int) -> Iterator[Floats]:
    """How often each of ``size`` units is drawn in each resample, in blocks (b, size) of bounded memory."""
    rng = generator(seed, BOOTSTRAP_STREAM)
    step = max(1, BLOCK_ENTRIES // size)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = rng.integers(size, size=(rows, size)) + np.arange(rows)[:, None] * size
        yield np.bincount(drawn.reshape(-1), minlength=rows * size).reshape(rows, size).astype(np.float64)


def mean_ratio_interval(
    numerators: Floats,
    denominators: Floats,
    *,
    groups: Labels | None = None,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Intervals:
    """Studentised bootstrap interval for the mean of ratios ``(1/m) sum_j sum_i x_ij / sum_i y_ij``.

    As ``ratio_intervals``, with the influence ``e_i = (1/m) sum_j (x_ij - R_j y_ij) / mean(y_j)`` of each sample on the
    mean of the ratios, again in every resample. The same seed gives the same resamples as there; with m = 1 the
    interval is the same.

    Args:
        numerators: (n, m) x.
        denominators: (n, m) y, of positive sums.
        groups: (n,) codes of samples that are resampled together.
        resamples: B.
        seed: of the resamples.
        level: of confidence.

    Returns:
        Value and interval ends, (1,) each.
    """
    if groups is not None:
        numerators, denominators = _sums(numerators, groups), _sums(denominators, groups)
    size, m = numerators.shape
    ratios, means = numerators.sum(axis=0) / denominators.sum(axis=0), denominators.mean(axis=0)
    influence = (numerators - ratios * denominators) @ (1 / (m * means))
    dust = 1e-12 * float((np.abs(numerators).max(axis=0) / means).max())
    influence = np.where(np.abs(influence) <= dust, 0.0, influence)
    squares = float(np.square(influence).sum())
    value, error = float(ratios.mean()), np.sqrt(squares / (size * max(1, size - 1)))
    if squares == 0:
        return _single(value, 0.0, value, value)
    least = float(np.power(influence, 4).sum()) / squares
    found: list[Floats] = []
    for counts in resampling_counts(size, resamples, seed=seed):
        below = counts @ denominators
        sound = (below > 0).all(axis=1)
        below = np.where(below > 0, below, 1.0)
        drawn = counts @ numerators / below
        weights = size / (m * below)
        again = numerators @ weights.T - denominators @ (weights * drawn).T
        spread = np.maximum((counts.T * np.square(again)).sum(axis=0), least) / (size * max(1, size - 1))
        found.append(np.where(sound, (drawn.mean(axis=1) - value) / np.sqrt(spread), 0.0))
    tails = np.quantile(np.concatenate(found), [(1 - level) / 2, (1 + level) / 2])
    low, high = value - max(float(tails[1]), 0.0) * error, value - min(float(tails[0]), 0.0) * error
    return _single(value, float(error), low, high)


def _single(value: float, error: float, low: float, high: float) -> Intervals:
    """Intervals of one number."""
    return Intervals(
        value=np.array([value]), standard_error=np.array([error]), low=np.array([low]), high=np.array([high])
    )
