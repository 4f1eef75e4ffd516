"""Numbers and codes as rows of comparable values, channels by steps: what fold, onehot and token folding start from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from jaxtyping import Float32

from gapkit.arrays import Array, Floats
from gapkit.embedders.training import Summary, spread_words, summarise, train_blocks
from gapkit.errors import DataError
from gapkit.types import Target

CLIP = 3.0
"""Standard deviations that values are clipped to: 99.7 % of a normal feature."""
MAX_SYMBOLS = 256
"""More different codes without an alphabet are counts, not symbols."""

Layout = Literal["features", "channels first", "channels last"]
Rows = Float32[np.ndarray, "b c l"]


class Values(Protocol):
    """Samples to values (B, channels, steps) in [low, high], with mean ``centre`` and deviation ``spread`` in train."""

    @property
    def shape(self) -> tuple[int, int]:
        """(channels, steps)."""
        ...

    @property
    def range(self) -> tuple[float, float]:
        """Smallest and largest value there can be."""
        ...

    @property
    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation of all values in train."""
        ...

    @property
    def words(self) -> str:
        """What is done, in words."""
        ...

    def __call__(self, x: Array) -> Rows:
        """Samples (B, ...) to values (B, channels, steps)."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Standardised:
    """z = clip((x - mean) / std, -3, 3), for each feature of vectors or each channel of series.

    A value that is constant in train has an infinite ``std``: z is 0 whatever comes later, for no scale is known.

    Attributes:
        layout: "features" flattens a sample, "channels first" is (C, L), "channels last" (L, C).
        shape: channels and steps (C, L); vectors have one channel.
        mean: (C, 1) or (1, L).
        std: likewise.
    """

    layout: Layout
    shape: tuple[int, int]
    mean: Floats
    std: Floats

    @property
    def range(self) -> tuple[float, float]:
        """Where values are clipped."""
        return -CLIP, CLIP

    @property
    def moments(self) -> tuple[float, float]:
        """By construction, but for clipped and constant values."""
        return 0.0, 1.0

    @property
    def words(self) -> str:
        """Shape and statistics, in words."""
        channels, steps = self.shape
        varying = np.isfinite(self.std)
        what = (
            f"{steps} features, each"
            if self.layout == "features"
            else f"{channels} {'channel' if channels == 1 else 'channels'} of {steps} steps, each channel"
        )
        turned = " (channels last, turned)" if self.layout == "channels last" else ""
        stds = spread_words(self.std[varying]) if varying.any() else "0"
        constant = f", {int((~varying).sum())} constant" if not varying.all() else ""
        return (
            f"{what} standardised{turned} (mean {spread_words(self.mean)}, std {stds}{constant}) "
            f"and clipped to {CLIP:g} standard deviations"
        )

    def __call__(self, x: Array) -> Rows:
        """Samples (B, ...) to z (B, C, L)."""
        values = as_rows(x, self.layout).astype(np.float64)
        values -= self.mean
        values /= self.std
        return np.clip(values, -CLIP, CLIP).astype(np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class OneHot:
    """Codes (B, L) to 0 and 1 (B, symbols, L): row k is 1 where the code is k.

    "Other" of an alphabet is a symbol like the rest; a code beyond the alphabet is 0 in every row.

    Attributes:
        shape: number of symbols and of codes in a sample.
        symbols: names for the description, "" where there are none.
    """

    shape: tuple[int, int]
    symbols: str

    @property
    def range(self) -> tuple[float, float]:
        """Absent or present."""
        return 0.0, 1.0

    @property
    def moments(self) -> tuple[float, float]:
        """Exact where every code is a symbol: one of A rows is 1."""
        share = 1 / self.shape[0]
        return share, float(np.sqrt(share * (1 - share))) or 1.0

    @property
    def words(self) -> str:
        """Symbols and lengths, in words."""
        names = f" ({self.symbols})" if self.symbols else ""
        return f"{self.shape[1]} codes as one row for each of {self.shape[0]} symbols{names}"

    def __call__(self, x: Array) -> Rows:
        """Codes (B, L) to (B, A, L)."""
        symbols = np.arange(self.shape[0]).reshape(1, -1, 1)
        return (x[:, np.newaxis, :].astype(np.int64) == symbols).astype(np.float32)


def as_rows(x: Array, layout: Layout) -> Array:
    """Samples of any rank to (B, C, L)."""
    if layout == "features":
        return x.reshape(len(x), 1, -1)
    series = x[:, np.newaxis] if x.ndim == 2 else x
    return series.swapaxes(1, 2) if layout == "channels last" else series


def fit_standardised(target: Target) -> Standardised:
    """Mean and deviation of each feature of vectors (n, d) and arrays of rank 4 and more, or of each channel of series.

    Series are (n, C, L), and (n, L) with a sample rate. Without one, the shorter of two axes holds the channels:
    (n, 128, 9) is nine channels.

    Raises:
        DataError: the variance overflows.
    """
    shape = target.x.shape[1:]
    layout: Layout = "features"
    if len(shape) == 2:
        turned = shape[0] > shape[1] and target.sample_rate is None
        layout = "channels last" if turned else "channels first"
    elif len(shape) == 1 and target.sample_rate is not None:
        layout = "channels first"
    rows = (as_rows(block, layout) for block in train_blocks(target))
    summary = summarise(rows, axis=(0,) if layout == "features" else (0, 2), name=target.name)
    first = as_rows(target.x[:1], layout)
    return Standardised(
        layout=layout,
        shape=(first.shape[1], first.shape[2]),
        mean=summary.mean,
        std=varying_std(summary),
    )


def varying_std(summary: Summary) -> Floats:
    """Standard deviations, infinite where all values are equal; the extremes tell, the moments have rounding errors."""
    return np.where((summary.low == summary.high) | (summary.std == 0), np.inf, summary.std)


def fit_onehot(target: Target) -> OneHot:
    """The alphabet of the target, or the codes 0 .. largest of the train split.

    Raises:
        DataError: codes outside the alphabet in train, negative codes, or too many for symbols.
    """
    summary = summarise((block[:, np.newaxis] for block in train_blocks(target)), axis=(0, 1, 2), name=target.name)
    low, high = int(summary.low.min()), int(summary.high.max())
    count = len(target.alphabet) if target.alphabet is not None else high + 1
    if low < 0 or high >= count or count > MAX_SYMBOLS:
        what = "the alphabet" if target.alphabet is not None else f"one-hot coding, at most {MAX_SYMBOLS} symbols"
        raise DataError(
            f"{target.name}: x has codes from {low} to {high}",
            expected=f"codes from 0 to {min(count, MAX_SYMBOLS) - 1} for {what}",
            remedy="correct alphabet or the codes, or use --embedder fold",
        )
    return OneHot(shape=(count, target.x.shape[1]), symbols=" ".join((target.alphabet or ())[:10]))
