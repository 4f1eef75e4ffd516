"""Wav files to one array (n, samples) of float32 at one sample rate."""

from __future__ import annotations

import io
import struct
import warnings
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from scipy.io import wavfile
from scipy.signal import resample_poly

from gapkit.arrays import Array
from gapkit.data.memory import check_memory
from gapkit.data.text import reason
from gapkit.errors import DataError

SUFFIXES = (".wav", ".wave")
SLOWEST, FASTEST = 100, 768_000  # Hz; a rate beyond is a damaged header, and would take a filter of any length
KEPT_WHOLE = 95  # per cent of the files that are not trimmed
# what scipy raises on damaged files; NameError is its unset `data` where a file has no data chunk
DAMAGE = (ValueError, struct.error, EOFError, ZeroDivisionError, OverflowError, MemoryError, TypeError, NameError)


def stack_waves(paths: Sequence[Path], *, rate: float | None, where: str) -> tuple[Array, float, tuple[str, ...]]:
    """Read all files: stereo to the mean of its channels, to one sample rate, to one length.

    Values are in units of full scale: 16-bit 32767 becomes 32767 / 32768. The rate is ``rate``, or the one that most
    files have; other files are resampled by polyphase filtering. The length keeps 95 % of the files whole: shorter
    ones are padded with zeros at their end, longer ones trimmed.

    Returns:
        The series, their sample rate in Hz, and notes on what was done.

    Raises:
        DataError: a file that cannot be read (the message names it), or more than the memory there is.
    """
    # one byte of an 8-bit file becomes a float32, and the series are held twice while they are stacked
    check_memory(8 * sum(path.stat().st_size for path in paths), where=where)
    rates, series, channels = zip(*(read_wave(path) for path in paths), strict=True)
    common = rate or Counter(rates).most_common(1)[0][0]
    notes = [f"sample rate {common:g} Hz from the files"] if rate is None else []
    if any(channels_of > 1 for channels_of in channels):
        notes.append(f"{sum(channels_of > 1 for channels_of in channels)} files: mean of their channels")
    others = sum(own != common for own in rates)
    if others:
        notes.append(f"{others} of {len(paths)} files resampled to {common:g} Hz")
    resampled = [resample(one, own, common) for one, own in zip(series, rates, strict=True)]
    x, said = _to_one_length(resampled, where)
    return x, common, (*notes, *said)


def read_wave(path: Path) -> tuple[float, Array, int]:
    """One file: sample rate, float32 series (the mean of the channels), number of channels.

    PCM of 8, 16, 24 or 32 bits and float; full scale is 1.

    Raises:
        DataError: no wav file, cut, empty, or of another encoding.
    """
    content = path.read_bytes()
    try:
        with warnings.catch_warnings():
            # chunks that scipy does not know carry no samples
            warnings.simplefilter("ignore", wavfile.WavFileWarning)
            _refuse_cut(content)
            rate, values = wavfile.read(io.BytesIO(content))
        if not SLOWEST <= rate <= FASTEST:
            raise ValueError(f"sample rate {rate} Hz")
        if values.size == 0:
            raise ValueError("no samples")
    except DAMAGE as error:
        raise DataError(
            f"{path.parent.name}/{path.name} cannot be read ({reason(error)})",
            expected="a wav file with PCM of 8, 16, 24 or 32 bits or floats",
            remedy="remove the file, or convert it, for example with ffmpeg -i FILE -c:a pcm_s16le NEW.wav",
        ) from error
    scaled = _full_scale_one(values)
    mono = scaled if scaled.ndim == 1 else scaled.mean(axis=1)
    return float(rate), mono, 1 if scaled.ndim == 1 else scaled.shape[1]


def _refuse_cut(content: bytes) -> None:
    """Refuse a file with fewer bytes than its header declares; scipy would return what is left."""
    if content[:4] == b"RIFF" and len(content) >= 8:
        declared = struct.unpack("<I", content[4:8])[0]
        # streaming writers do not know the size and write the largest one
        if declared + 8 > len(content) and declared < 0x7FFFFFFF:
            raise ValueError(f"truncated: declares {declared + 8} bytes and holds {len(content)}")


def _full_scale_one(values: Array) -> Array:
    """PCM or float samples to float32 with full scale 1."""
    if values.dtype.kind == "u":
        return ((values.astype(np.float32) - 128) / 128).astype(np.float32)
    if values.dtype.kind == "i":
        return (values / float(np.iinfo(values.dtype).max + 1)).astype(np.float32)
    return values.astype(np.float32)


def resample(series: Array, rate: float, wanted: float) -> Array:
    """Series (samples,) from ``rate`` to ``wanted`` Hz by polyphase filtering; unchanged where they are equal."""
    if rate == wanted:
        return series
    # rates are whole numbers of Hz, or nearly so; the bound keeps the filter short
    ratio = Fraction(wanted / rate).limit_denominator(FASTEST)
    return resample_poly(series, ratio.numerator, ratio.denominator).astype(np.float32)


def _to_one_length(series: Sequence[Array], where: str) -> tuple[Array, list[str]]:
    """Pad or trim to the length that keeps most series whole."""
    lengths = np.array([len(one) for one in series])
    length = int(np.percentile(lengths, KEPT_WHOLE, method="higher"))
    check_memory(4 * length * len(series), where=where)
    x = np.zeros((len(series), length), dtype=np.float32)
    for row, one in zip(x, series, strict=True):
        row[: len(one)] = one[:length]
    if lengths.min() == lengths.max():
        return x, []
    longer, shorter = int((lengths > length).sum()), int((lengths < length).sum())
    return x, [f"length {length} samples: {shorter} files padded with zeros, {longer} trimmed"]
