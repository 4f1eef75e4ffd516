"""``resize``: pictures of any layout and size to the source's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gapkit.arrays import Array
from gapkit.embedders.base import FixedEmbedder
from gapkit.embedders.modality import ImageLayout, readable_layout
from gapkit.embedders.picture import Frame, stretch
from gapkit.embedders.training import train_sample, train_words
from gapkit.errors import DataError
from gapkit.types import InputSpec, Target

MIN_PADDED = 0.75
"""Pictures of at least this share of the source's size may be padded instead of enlarged."""
BORDER_SHARE = 0.9
"""Share of border pixels that have to be of one value for that."""
BORDER_TOLERANCE = 4 / 255
"""Differences that compression leaves in a plain border."""
MAX_STRETCH = 4.0
"""Largest ratio of horizontal to vertical enlargement; a picture that is longer gets bars."""
TAILS = (0.001, 0.999)
"""Quantiles of train values that become 0 and 1 where the dtype has no range of its own."""
DARK = 64
"""Uint8 pictures without a value from here on do not use the scale up to 255."""
MAX_LOOKED_AT = 2048
"""Train pictures that scale and border are taken from, evenly spaced."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where the resized picture stands in the frame.

    Attributes:
        height: rows of the resized picture.
        width: columns of it.
        fill: value of each channel around it, in [0, 1].
    """

    height: int
    width: int
    fill: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Resize(FixedEmbedder):
    """Pictures to [0, 1], to the size of the source, to its colours and scale.

    Bilinear with antialiasing, stretched to the source's aspect ratio as is usual, up to 4:1. Pictures that are only a
    little smaller than the source's and have a plain border are padded with the border's value instead: enlarging them
    would blur their strokes and change their scale by little (MNIST in 32 x 32 is customarily padded by 2, the bundled
    source saw it so).

    Attributes:
        layout: of the target's samples.
        low: value that becomes 0.
        high: value that becomes 1.
        placement: size and surroundings of the picture in the frame.
        frame: of the source.
    """

    layout: ImageLayout
    low: float
    high: float
    placement: Placement
    frame: Frame

    @property
    def description(self) -> str:
        """Layout, sizes, scale and colours, in one line."""
        colours = 3 if self.layout.channels == 4 else self.layout.channels
        alpha = "; alpha composited over white" if self.layout.channels == 4 else ""
        scale = f"{self.low:.3g} to {self.high:.3g} becomes 0 to 1"
        steps = f"{self.layout}{alpha}; {scale}; {self._size_words()}{self.frame.words(colours)}"
        return f"resize: {steps}; statistics of {self.statistics_from}"

    def _size_words(self) -> str:
        """What happens to the size."""
        inner, size = (self.placement.height, self.placement.width), self.frame.size
        given = (self.layout.height, self.layout.width)
        done = "size kept" if inner == given else f"bilinear with antialiasing to {inner[0]}x{inner[1]}"
        if inner == size:
            return done
        fill = " ".join(f"{value:.3g}" for value in self.placement.fill)
        return f"{done}, padded to {size[0]}x{size[1]} with the border's {fill}"

    def __call__(self, x: Array) -> Tensor:
        """Pictures (B, ...) in the target's layout to float32 (B, C, H, W)."""
        pictures = stretch(to_unit(x, self.layout, self.low, self.high), (self.placement.height, self.placement.width))
        return self.frame.normalise(place(pictures, self.frame.size, self.placement.fill))


def to_unit(x: Array, layout: ImageLayout, low: float, high: float) -> Tensor:
    """Pictures of any layout to (B, c, H, W) in [0, 1]; alpha is composited over white, as viewers show it."""
    if x.dtype == np.uint8:
        # The same numbers as below, several times faster.
        pictures = torch.from_numpy(x.astype(np.float32)).sub_(low).div_(high - low)
    else:
        values = x.astype(np.float64)
        values -= low
        values /= high - low
        pictures = torch.from_numpy(np.clip(values, 0, 1).astype(np.float32))
    if layout.channel_axis == "none":
        pictures = pictures.unsqueeze(1)
    elif layout.channel_axis == "last":
        pictures = pictures.permute(0, 3, 1, 2).contiguous()
    if layout.channels == 4:
        colours, alpha = pictures[:, :3], pictures[:, 3:]
        pictures = colours * alpha + (1 - alpha)
    return pictures


def place(pictures: Tensor, size: tuple[int, int], fill: tuple[float, ...]) -> Tensor:
    """Centre pictures (B, c, h, w) in a frame of ``size``, each channel filled up with its value of ``fill``."""
    rows, columns = size[0] - pictures.shape[-2], size[1] - pictures.shape[-1]
    if not rows and not columns:
        return pictures
    top, left = rows // 2, columns // 2
    canvas = torch.tensor(fill, dtype=torch.float32).view(1, -1, 1, 1).repeat(len(pictures), 1, *size)
    canvas[:, :, top : top + pictures.shape[-2], left : left + pictures.shape[-1]] = pictures
    return canvas


def fit_resize(target: Target, input: InputSpec) -> Resize:
    """Scale, border and size from the target's shape and its train split.

    Raises:
        DataError: x cannot be read as pictures.
    """
    layout = readable_layout(target)
    if layout is None:
        raise DataError(
            f"{target.name}: x has shape {target.x.shape} and dtype {target.x.dtype}",
            expected="images (n, H, W), (n, H, W, C) or (n, C, H, W)",
            remedy="use --embedder auto (embedder='auto')",
        )
    frame = Frame.of(input)
    seen = train_sample(target, limit=MAX_LOOKED_AT)
    low, high = value_range(seen)
    return Resize(
        name="resize",
        statistics_from=train_words(target, used=len(seen)),
        layout=layout,
        low=low,
        high=high,
        placement=choose_placement(to_unit(seen, layout, low, high), frame.size),
        frame=frame,
    )


def value_range(x: Array) -> tuple[float, float]:
    """The values that become 0 and 1: 0 and 255 for uint8, 0 and 1 for booleans, else the tails of the train values.

    Uint8 below 64 throughout are no photographs but fewer grey levels, or black and white as 0 and 1: the highest is 1.

    Quantiles, because one broken pixel would take all contrast from a range between extremes.
    """
    if x.dtype.kind == "b":
        return 0.0, 1.0
    if x.dtype == np.uint8:
        highest = int(x.max())
        return 0.0, float(highest) if 0 < highest < DARK else 255.0
    values = x.astype(np.float64)
    low, high = (float(value) for value in np.quantile(values, TAILS))
    if low == high:
        low, high = float(values.min()), float(values.max())
    return (low, high) if low < high else (low, low + 1.0)


def choose_placement(pictures: Tensor, size: tuple[int, int]) -> Placement:
    """Pad or stretch: size within the frame for train pictures (m, c, h, w) in [0, 1]."""
    height, width = int(pictures.shape[-2]), int(pictures.shape[-1])
    fill, share = border(pictures)
    fits = all(MIN_PADDED * outer <= inner <= outer for inner, outer in zip((height, width), size, strict=True))
    if fits and share >= BORDER_SHARE:
        return Placement(height=height, width=width, fill=fill)
    ratio = (size[0] / height) / (size[1] / width)
    rows = max(1, round(size[0] * min(1.0, MAX_STRETCH / ratio)))
    columns = max(1, round(size[1] * min(1.0, MAX_STRETCH * ratio)))
    return Placement(height=rows, width=columns, fill=fill)


def border(pictures: Tensor) -> tuple[tuple[float, ...], float]:
    """Median of the outermost pixels of each channel, and the share of those pixels that have that value."""
    edges = [pictures[:, :, 0], pictures[:, :, -1], pictures[:, :, :, 0], pictures[:, :, :, -1]]
    ring = torch.cat(edges, dim=2).transpose(0, 1).flatten(1)
    median = ring.median(dim=1, keepdim=True).values
    share = ((ring - median).abs() <= BORDER_TOLERANCE).float().mean()
    return tuple(float(value) for value in median[:, 0]), float(share)
