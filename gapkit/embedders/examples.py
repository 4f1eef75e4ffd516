"""Samples as pictures for people: as they are, and as an image source is given them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gapkit.arrays import Array, Indices
from gapkit.embedders.modality import readable_layout
from gapkit.embedders.resize import to_unit, value_range
from gapkit.types import InputSpec, Target

BYTE = 255
LOOKED_AT = 256
"""Samples that the range of values is taken from."""


def raw_pictures(target: Target, rows: Indices) -> tuple[Array, ...]:
    """Images of any layout and range at their own size, as (H, W) or (H, W, 3) uint8; empty where x is no image."""
    layout = readable_layout(target)
    if layout is None:
        return ()
    low, high = value_range(target.x[:LOOKED_AT])
    return as_bytes(to_unit(target.x[rows], layout, low, high))


def seen_pictures(batch: Tensor, input: InputSpec) -> tuple[Array, ...]:
    """What a source is given (B, C, H, W), without its normalisation, as (H, W) or (H, W, 3) uint8."""
    mean = torch.tensor(input.mean or (0.0,), dtype=torch.float32).view(-1, 1, 1)
    std = torch.tensor(input.std or (1.0,), dtype=torch.float32).view(-1, 1, 1)
    return as_bytes(batch * std + mean)


def as_bytes(pictures: Tensor) -> tuple[Array, ...]:
    """Pictures (B, c, H, W) in [0, 1] as uint8: (H, W, 3) of three channels, else the mean (H, W)."""
    values = (pictures.clamp(0, 1) * BYTE).round().numpy().astype(np.uint8)
    if values.shape[1] == 3:
        return tuple(np.ascontiguousarray(picture.transpose(1, 2, 0)) for picture in values)
    return tuple(values.mean(axis=1).round().astype(np.uint8))
