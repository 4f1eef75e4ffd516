"""Statistics of the train split, in blocks and in float64, so that x may be a memory map of any size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Array, Floats, Indices, Mask
from gapkit.errors import DataError
from gapkit.types import TRAIN, Target

BLOCK_BYTES = 1 << 24
SAMPLE_VALUES = 1 << 22
"""Values that a quantile or a share is taken from: 4 million."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Summary:
    """Moments and extremes over the samples and other axes, each with the reduced axes kept as 1.

    Attributes:
        mean: mean.
        std: standard deviation of the population.
        low: smallest value.
        high: largest value.
    """

    mean: Floats
    std: Floats
    low: Floats
    high: Floats


def train_mask(target: Target) -> Mask:
    """(n,) True for the samples that statistics may come from: the train split, or all where there is none."""
    mask = np.ones(len(target), dtype=bool) if target.split is None else target.split == TRAIN
    return mask if mask.any() else np.ones(len(target), dtype=bool)


def train_words(target: Target, *, used: int | None = None) -> str:
    """The samples of ``train_mask``, in words, with how many of them were looked at where not all were."""
    split = target.split is not None and bool((target.split == TRAIN).any())
    count = int(train_mask(target).sum())
    what = f"the {count} train samples" if split else f"all {count} samples, for there is no train split"
    return what if used is None or used == count else f"{used} evenly spaced of {what}"


def train_blocks(target: Target) -> Iterator[Array]:
    """The train samples in pieces of about 16 MiB, in order; pieces without a train sample are not read."""
    mask = train_mask(target)
    step = max(1, BLOCK_BYTES // max(1, target.x.nbytes // len(target)))
    for start in range(0, len(target), step):
        chosen = mask[start : start + step]
        if chosen.any():
            yield target.x[start : start + step][chosen]


def train_rows(target: Target, *, limit: int) -> Indices:
    """Positions of at most ``limit`` evenly spaced train samples, in order."""
    rows = np.flatnonzero(train_mask(target))
    count = max(1, min(len(rows), limit))
    return rows[np.arange(count) * len(rows) // count]


def train_sample(target: Target, *, limit: int) -> Array:
    """Evenly spaced train samples: at most ``limit`` of them and about 4 million values."""
    return target.x[train_rows(target, limit=min(limit, SAMPLE_VALUES // max(1, target.x[:1].size)))]


def summarise(parts: Iterable[Array], *, axis: tuple[int, ...], name: str) -> Summary:
    """Mean, deviation and extremes over ``axis`` of all parts together.

    Sums of squares are centred within a part and merged by Chan, Golub and LeVeque (1979), so that large means lose
    no digits.

    Args:
        parts: arrays that differ in their first axis only.
        axis: axes to reduce, 0 among them.
        name: of the target, for messages.

    Raises:
        DataError: the values are so large that their variance overflows float64.
    """
    count, mean, squares, low, high = 0, np.zeros(1), np.zeros(1), np.full(1, np.inf), np.full(1, -np.inf)
    with np.errstate(over="ignore", invalid="ignore"):
        for part in parts:
            if not len(part):
                continue
            values = part.astype(np.float64)
            size = values.size // max(1, np.prod([values.shape[k] for k in range(values.ndim) if k not in axis]))
            centre = values.mean(axis=axis, keepdims=True)
            step = centre - mean
            total = count + size
            squares = squares + ((values - centre) ** 2).sum(axis=axis, keepdims=True)
            squares = squares + step**2 * (count * size / total)
            mean = mean + step * (size / total)
            low = np.minimum(low, values.min(axis=axis, keepdims=True))
            high = np.maximum(high, values.max(axis=axis, keepdims=True))
            count = total
        std = np.sqrt(squares / count)
    if not np.isfinite(std).all():
        raise DataError(
            f"{name}: x has values up to {max(abs(low.min()), abs(high.max())):.3g}, whose variance overflows",
            expected="values below 1e150",
            remedy="rescale x, or drop the samples that hold them",
        )
    return Summary(mean=mean[0], std=std[0], low=low[0], high=high[0])


def spread_words(values: Floats) -> str:
    """A number, or the range of several.

    Example:
        >>> spread_words(np.array([2.0])), spread_words(np.array([0.5, 12.3456]))
        ('2', '0.5 to 12.3')
    """
    low, high = float(np.min(values)), float(np.max(values))
    return f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
