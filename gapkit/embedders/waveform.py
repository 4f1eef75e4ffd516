"""``waveform``: series and everything else as the samples of an audio source."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from scipy.signal import resample_poly
from torch import Tensor

from gapkit.arrays import Array
from gapkit.embedders.base import FixedEmbedder
from gapkit.embedders.grid import change_length
from gapkit.embedders.modality import has_waveform
from gapkit.embedders.training import summarise, train_blocks, train_words
from gapkit.embedders.values import CLIP, Standardised, fit_standardised
from gapkit.types import InputSpec, Target

MAX_DENOMINATOR = 1000
"""Ratios of sample rates are rounded to fractions of this; 44.1 to 16 kHz is 160 / 441."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Resampled(FixedEmbedder):
    """A series with a sample rate, standardised, resampled to the source's rate, cut or padded with zeros at its end.

    Polyphase filtering (scipy's ``resample_poly``) keeps what is below half of the lower rate. Mean and deviation are
    those of all train values, so that loud samples stay louder than quiet ones. Channels are averaged.

    Attributes:
        mean: of the averaged channels.
        std: likewise; infinite where the series are constant.
        target_rate: of the target, in Hz.
        source_rate: of the source, in Hz.
        length: samples that the source takes.
    """

    mean: float
    std: float
    target_rate: float
    source_rate: float
    length: int

    @property
    def description(self) -> str:
        """Rates, lengths and statistics, in one line."""
        return (
            f"{self.name}: standardised (mean {self.mean:.3g}, std {self.std:.3g}), channels averaged, resampled from "
            f"{self.target_rate:g} to {self.source_rate:g} Hz by polyphase filtering, cut or zero-padded at the end to "
            f"{self.length} samples; statistics of {self.statistics_from}"
        )

    def __call__(self, x: Array) -> Tensor:
        """Series (B, L) or (B, C, L) to float32 (B, length)."""
        series = (mono(x) - self.mean) / self.std
        ratio = Fraction(self.source_rate / self.target_rate).limit_denominator(MAX_DENOMINATOR)
        if ratio != 1 and ratio > 0:
            series = resample_poly(series, ratio.numerator, ratio.denominator, axis=-1)
        out = np.zeros((len(series), self.length), dtype=np.float32)
        kept = series[:, : self.length]
        out[:, : kept.shape[1]] = kept
        return torch.from_numpy(out)


@dataclass(frozen=True, kw_only=True, eq=False)
class Interpolated(FixedEmbedder):
    """Numbers without a common time axis, standardised, laid in one row and stretched to the source's length.

    Attributes:
        values: samples to (C, L), channel after channel.
        length: samples that the source takes.
    """

    values: Standardised
    length: int

    @property
    def description(self) -> str:
        """Values and lengths, in one line."""
        channels, steps = self.values.shape
        return (
            f"{self.name}: {self.values.words}; {channels * steps} values in a row interpolated linearly to "
            f"{self.length} samples; statistics of {self.statistics_from}"
        )

    def __call__(self, x: Array) -> Tensor:
        """Samples (B, ...) to float32 (B, length), within 3 standard deviations."""
        rows = self.values(x)
        stretched = change_length(rows.reshape(len(rows), 1, -1), self.length)
        return torch.from_numpy(np.clip(stretched[:, 0], -CLIP, CLIP))


def mono(x: Array) -> Array:
    """Series (B, L) or (B, C, L) to the mean of their channels (B, L), float64."""
    return x.astype(np.float64) if x.ndim == 2 else x.mean(axis=1, dtype=np.float64)


def fit_waveform(target: Target, input: InputSpec) -> Resampled | Interpolated:
    """Resampled for series (n, L) or (n, C <= 3, L) with a sample rate, else interpolated.

    Raises:
        DataError: the variance overflows.
    """
    words = train_words(target)
    length = int(input.shape[-1])
    if target.sample_rate is None or input.sample_rate is None or not has_waveform(target):
        return Interpolated(name="waveform", statistics_from=words, values=fit_standardised(target), length=length)
    summary = summarise((mono(block) for block in train_blocks(target)), axis=(0, 1), name=target.name)
    std = float(summary.std.item())
    return Resampled(
        name="waveform",
        statistics_from=words,
        mean=float(summary.mean.item()),
        std=std if std > 0 else float("inf"),
        target_rate=float(target.sample_rate),
        source_rate=float(input.sample_rate),
        length=length,
    )
