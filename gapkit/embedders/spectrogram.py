"""``spectrogram``: one-dimensional series as log-mel pictures, by ``torch.stft``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import ceil

import numpy as np
import torch
from torch import Tensor

from gapkit.arrays import Array, Floats
from gapkit.embedders.base import FixedEmbedder
from gapkit.embedders.mel import filter_bank
from gapkit.embedders.picture import Frame, stretch
from gapkit.embedders.training import spread_words, summarise, train_blocks, train_rows, train_words
from gapkit.errors import DataError, OptionError
from gapkit.types import InputSpec, Target

WINDOW_SECONDS = 0.025
"""Shortest window: speech is stationary for about 25 ms."""
MAX_BANDS = 128
"""More mel bands than that are finer than the window resolves; the picture is enlarged instead."""
MAX_PADDING = 8
"""Zero-padding of the window that gives narrow bands a bin of their own."""
FLOOR_DECIBELS = -80.0
"""Power that counts as silence, relative to white noise as loud as the train samples."""
CLIP = 2.0
"""Standard deviations of log-mel power that become black and white."""
MAX_READ = 64
"""Train samples that are read at once for them."""
MAX_SERIES = 4096
"""Train samples that the statistics of the log-mel power are taken from, evenly spaced."""
PIECE_VALUES = 1 << 22
"""Complex values of a spectrum that are in memory at once."""


@dataclass(frozen=True, kw_only=True)
class Bands:
    """Sizes of the short-time Fourier transform and of the filter bank.

    Attributes:
        sample_rate: in Hz.
        window: samples under a Hann window.
        hop: samples from one frame to the next.
        n_fft: length of the transform, ``window`` or longer.
        bands: number of mel bands.
    """

    sample_rate: float
    window: int
    hop: int
    n_fft: int
    bands: int

    @cached_property
    def filters(self) -> Tensor:
        """Filter bank (bands, n_fft // 2 + 1), in units of bins: white noise of power 1 has 1 in every band."""
        per_hertz = filter_bank(self.sample_rate, self.n_fft, self.bands)
        return torch.from_numpy(per_hertz * (self.sample_rate / self.n_fft)).to(torch.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Spectrogram(FixedEmbedder):
    """Log-mel power (low frequencies below, time from left to right), standardised per band, as a picture.

    Series are divided by the root mean square of train, and power is floored 80 dB below white noise of that loudness.
    10 log10 of it is standardised for each band, so that the tilt of the spectrum does not take the contrast, by the
    train frames that are not silent throughout; 2 standard deviations either side become 0 to 1. As many channels as
    the source has colours are colours, otherwise the power of the channels is averaged.

    Attributes:
        bands: sizes.
        channels: of the series.
        scale: root mean square of train.
        mean: dB, of each band (bands, 1).
        std: dB, likewise; infinite where a band is constant.
        frame: of the source.
    """

    bands: Bands
    channels: int
    scale: float
    mean: Floats
    std: Floats
    frame: Frame

    @property
    def description(self) -> str:
        """Sizes, statistics and scale, in one line."""
        sizes, colours = self.bands, self._colours
        mixed = "" if colours == self.channels else f"power of {self.channels} channels averaged; "
        varying = self.std[np.isfinite(self.std)]
        stds = spread_words(varying) if varying.size else "0"
        height, width = self.frame.size
        return (
            f"spectrogram: log-mel, {sizes.bands} Slaney bands to {sizes.sample_rate / 2:g} Hz, Hann window of "
            f"{sizes.window} samples every {sizes.hop}; {mixed}train RMS {self.scale:.3g}, floor {FLOOR_DECIBELS:g} "
            f"dB; standardised per band (mean {spread_words(self.mean)} dB, std {stds} dB), -{CLIP:g} to {CLIP:g} "
            f"becomes 0 to 1; bilinear to {height}x{width}{self.frame.words(colours)}; "
            f"statistics of {self.statistics_from}"
        )

    @property
    def _colours(self) -> int:
        """Channels of the picture."""
        return self.channels if self.channels == self.frame.channels else 1

    def __call__(self, x: Array) -> Tensor:
        """Series (B, L) or (B, C, L) to float32 (B, C, H, W)."""
        pictures = [self._pictures(piece) for piece in pieces(x, self.bands)]
        if not pictures:
            return torch.zeros(0, self.frame.channels, *self.frame.size)
        return self.frame.normalise(torch.cat(pictures))

    def _pictures(self, x: Array) -> Tensor:
        """A few series to pictures (B, colours, H, W) in [0, 1]."""
        decibels = log_mel(x, self.bands, self.scale, average=self._colours != self.channels).numpy()
        z = np.clip((decibels - self.mean) / self.std, -CLIP, CLIP)
        unit = torch.from_numpy(((z + CLIP) / (2 * CLIP)).astype(np.float32))
        return stretch(unit.flip(2), self.frame.size)


def log_mel(x: Array, bands: Bands, scale: float, *, average: bool) -> Tensor:
    """Series (B, L) or (B, C, L) to log-mel power in dB (B, C or 1, bands, frames), float32, low bands first."""
    series = torch.from_numpy((x / np.float64(scale)).astype(np.float32))
    series = series.unsqueeze(1) if series.ndim == 2 else series
    spectra = power(series.flatten(0, 1), bands).unflatten(0, series.shape[:2])
    mel = bands.filters @ (spectra.mean(dim=1, keepdim=True) if average else spectra)
    return 10 * torch.log10(mel.clamp(min=10 ** (FLOOR_DECIBELS / 10)))


def power(series: Tensor, bands: Bands) -> Tensor:
    """Power spectra (B, n_fft // 2 + 1, frames) of series (B, L), zero-padded by half a transform at both ends.

    ``|sum_t w_t x_t exp(-2 pi i f t)|^2 / sum_t w_t^2``: white noise of variance 1 has power 1 in every bin.
    """
    window = torch.hann_window(bands.window, dtype=torch.float32)
    spectrum = torch.stft(
        series,
        n_fft=bands.n_fft,
        hop_length=bands.hop,
        win_length=bands.window,
        window=window,
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    return spectrum.abs().square() / window.square().sum()


def pieces(x: Array, bands: Bands) -> Iterator[Array]:
    """A batch in parts whose spectra fit into memory."""
    frames = 1 + x.shape[-1] // bands.hop
    values = frames * (bands.n_fft // 2 + 1) * (x.shape[1] if x.ndim == 3 else 1)
    step = max(1, PIECE_VALUES // values)
    for start in range(0, len(x), step):
        yield x[start : start + step]


def choose_bands(sample_rate: float, length: int, frame: Frame) -> Bands:
    """Sizes with which the picture has about the frame's columns and rows before it is resized.

    The hop gives one frame for each column; the window is two hops or 25 ms, whichever is longer, rounded up to a power
    of two and within the series; bands are as many as rows, at most 128. The window is zero-padded until every band has
    a bin, at most eightfold, and bands are given up after that.
    """
    hop = max(1, ceil(length / frame.width))
    wanted = max(2 * hop, ceil(WINDOW_SECONDS * sample_rate), 16)
    window = 1 << min((wanted - 1).bit_length(), max(4, length.bit_length() - 1))
    n_fft, bands = window, min(frame.height, MAX_BANDS)
    while (filter_bank(sample_rate, n_fft, bands).sum(axis=1) == 0).any():
        if n_fft < MAX_PADDING * window:
            n_fft *= 2
        else:
            bands -= 1
    return Bands(sample_rate=sample_rate, window=window, hop=hop, n_fft=n_fft, bands=bands)


def audible_frames(decibels: Tensor) -> Array:
    """Frames (m, bands) of log-mel power (B, C, bands, frames) that are above the floor in some band.

    Series are often filled up with zeros to a common length: with that silence among the statistics, half of the
    contrast would be between sound and silence, and sounds would all look alike.
    """
    frames = decibels.transpose(2, 3).flatten(0, 2).numpy()
    return frames[frames.max(axis=1) > FLOOR_DECIBELS]


def fit_spectrogram(target: Target, input: InputSpec) -> Spectrogram:
    """Sizes from rate, length and frame; loudness and the statistics of each band from the train split.

    Raises:
        OptionError: the target has no sample rate.
        DataError: the variance overflows, or train is silent throughout.
    """
    if target.sample_rate is None:
        raise OptionError(
            f"embedder 'spectrogram' for {target.name}, which has no sample rate",
            expected="a sample rate in Hz",
            remedy="pass --sample-rate HZ or use --embedder fold",
        )
    frame = Frame.of(input)
    bands = choose_bands(float(target.sample_rate), target.x.shape[-1], frame)
    axes = tuple(range(target.x.ndim))
    loudness = summarise(train_blocks(target), axis=axes, name=target.name)
    scale = float(np.hypot(loudness.mean, loudness.std).item())
    if scale == 0:
        raise DataError(
            f"{target.name}: x is 0 in all train samples", expected="a sound", remedy="check how it was saved"
        )
    channels = target.x.shape[1] if target.x.ndim == 3 else 1
    rows = train_rows(target, limit=MAX_SERIES)
    average = channels != frame.channels
    parts = (
        audible_frames(log_mel(piece, bands, scale, average=average))
        for start in range(0, len(rows), MAX_READ)
        for piece in pieces(target.x[rows[start : start + MAX_READ]], bands)
    )
    summary = summarise(parts, axis=(0,), name=target.name)
    return Spectrogram(
        name="spectrogram",
        statistics_from=train_words(target, used=len(rows)),
        bands=bands,
        channels=channels,
        scale=scale,
        mean=summary.mean[:, np.newaxis],
        std=np.where(summary.low == summary.high, np.inf, summary.std)[:, np.newaxis],
        frame=frame,
    )
