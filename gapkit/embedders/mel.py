"""Mel scale and filter bank, after Slaney's Auditory Toolbox (1998), as librosa has them by default."""

from __future__ import annotations

import numpy as np

from gapkit.arrays import Floats

LINEAR_HERTZ = 200 / 3
"""Hz per mel below the break."""
BREAK_HERTZ = 1000.0
BREAK_MEL = BREAK_HERTZ / LINEAR_HERTZ
LOG_STEP = np.log(6.4) / 27
"""Logarithm of the frequency ratio of one mel above the break: 27 mels from 1000 to 6400 Hz."""


def mel_of(hertz: Floats) -> Floats:
    """Frequencies in Hz to Slaney mels: linear below 1000 Hz, logarithmic above.

    Example:
        >>> mel_of(np.array([0.0, 1000.0, 6400.0])).round(9).tolist()
        [0.0, 15.0, 42.0]
    """
    above = BREAK_MEL + np.log(np.maximum(hertz, BREAK_HERTZ) / BREAK_HERTZ) / LOG_STEP
    return np.where(hertz < BREAK_HERTZ, hertz / LINEAR_HERTZ, above)


def hertz_of(mel: Floats) -> Floats:
    """Slaney mels to frequencies in Hz: the inverse of ``mel_of``."""
    above = BREAK_HERTZ * np.exp(LOG_STEP * np.maximum(mel - BREAK_MEL, 0.0))
    return np.where(mel < BREAK_MEL, mel * LINEAR_HERTZ, above)


def band_edges(sample_rate: float, bands: int) -> Floats:
    """(bands + 2,) frequencies in Hz, equally spaced in mels from 0 to half the sample rate.

    Band k rises from edge k to edge k + 1 and falls to edge k + 2.
    """
    top = mel_of(np.array(sample_rate / 2, dtype=np.float64))
    return hertz_of(np.linspace(0.0, float(top), bands + 2))


def filter_bank(sample_rate: float, n_fft: int, bands: int) -> Floats:
    """Triangular filters (bands, n_fft // 2 + 1) of area 1 in Hz: weights from spectrum to bands."""
    frequency = np.arange(n_fft // 2 + 1) * (sample_rate / n_fft)
    edges = band_edges(sample_rate, bands)
    low, centre, high = (edges[k : k + bands, np.newaxis] for k in range(3))
    rising = (frequency - low) / (centre - low)
    falling = (high - frequency) / (high - centre)
    return np.maximum(0.0, np.minimum(rising, falling)) * (2 / (high - low))
