"""What the array of a target is: pictures, series, vectors, codes or strings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gapkit.types import Target

MIN_SIDE = 8
"""Smallest side of a picture: scikit-learn's digits have 8 x 8 pixels."""
MAX_ASPECT = 4
"""Grey pictures without further evidence are at most this many times longer than wide; longer ones are series."""
MIN_AUDIO_RATE = 1000.0
"""Hz from which a series has an audible spectrum."""
MAX_AUDIO_CHANNELS = 3
"""More channels than colours do not fit into one spectrogram."""
MIN_AUDIO_LENGTH = 64
"""Shorter series have too few frames and bands."""


@dataclass(frozen=True, kw_only=True)
class ImageLayout:
    """Where pixels and channels are in a sample.

    Attributes:
        channel_axis: "none" (H, W), "last" (H, W, C) or "first" (C, H, W).
        channels: C.
        height: H.
        width: W.
    """

    channel_axis: Literal["none", "last", "first"]
    channels: int
    height: int
    width: int

    def __str__(self) -> str:
        """Size and colours, in words."""
        colours = {1: "grey", 2: "two-channel", 3: "RGB", 4: "RGBA"}[self.channels]
        return f"{colours} images {self.height}x{self.width}"


def is_text(target: Target) -> bool:
    """Whether x holds strings."""
    return target.x.dtype.kind == "U"


def is_codes(target: Target) -> bool:
    """Whether x can be integer codes: (n, L) integers or booleans."""
    return target.x.ndim == 2 and target.x.dtype.kind in "bui"


def is_audio(target: Target) -> bool:
    """Whether x is a one-dimensional series with a spectrum: (n, L) or (n, C <= 3, L >= 64) at 1000 Hz or more."""
    if is_text(target) or target.sample_rate is None or target.sample_rate < MIN_AUDIO_RATE:
        return False
    return has_waveform(target) and target.x.shape[-1] >= MIN_AUDIO_LENGTH


def has_waveform(target: Target) -> bool:
    """Whether x is (n, L), or (n, C, L) with at most three channels."""
    return target.x.ndim == 2 or (target.x.ndim == 3 and target.x.shape[1] <= MAX_AUDIO_CHANNELS)


def readable_layout(target: Target) -> ImageLayout | None:
    """How x is read as pictures when the user says that it holds pictures; None where that cannot be."""
    shape = target.x.shape[1:]
    if is_text(target):
        return None
    if len(shape) == 2:
        return ImageLayout(channel_axis="none", channels=1, height=shape[0], width=shape[1])
    if len(shape) != 3:
        return None
    for last, first in (((1, 3, 4), (1, 3)), ((2,), (2,))):
        if shape[2] in last:
            return ImageLayout(channel_axis="last", channels=shape[2], height=shape[0], width=shape[1])
        if shape[0] in first:
            return ImageLayout(channel_axis="first", channels=shape[0], height=shape[1], width=shape[2])
    return None


def image_layout(target: Target) -> ImageLayout | None:
    """The layout of x where x is of image shape, else None.

    Image shape is: both sides of 8 pixels or more, and

    * rank 4, (n, H, W, 1 | 2 | 3 | 4) or (n, 1 | 2 | 3, H, W), of any real dtype; or
    * rank 3, (n, H, W), without a sample rate, and uint8 or boolean with the longer side at most 4 times the shorter;
      or of another dtype and square.

    So (n, 28, 28) uint8 or float is a picture; (n, 9, 128) float32 and (n, 8, 64) int8 or uint8 are series.
    """
    layout = readable_layout(target)
    if layout is None or min(layout.height, layout.width) < MIN_SIDE:
        return None
    if layout.channel_axis != "none":
        return layout
    if target.sample_rate is not None:
        return None
    pixels = target.x.dtype.kind == "b" or target.x.dtype == "uint8"
    aspect = max(layout.height, layout.width) / min(layout.height, layout.width)
    return layout if aspect <= (MAX_ASPECT if pixels else 1) else None
