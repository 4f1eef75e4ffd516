"""Examples of a target and of what its source was shown, for people to look at."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from gapkit.arrays import Array, Indices
from gapkit.results import Pictures

if TYPE_CHECKING:
    from torch import Tensor

    from gapkit.sources.source import Source
    from gapkit.types import Embedder, InputSpec, Target

EXAMPLES = 6
MOST_CLASSES = 30
"""More would not be looked at, and make the report large."""
BYTE = 255
LOOKED_AT = 256
"""Samples that the range of values is taken from."""


def example_pictures(source: Source, target: Target, embedder: Embedder) -> Pictures | None:
    """The first samples of each class as they are, as an image source sees them, and the surrogate's of each class.

    None where the source takes no images, or tokens instead of them.
    """
    if source.input.kind != "image" or embedder.space != "input" or target.y.ndim != 1:
        return None
    found, surrogate = target_pictures(target, embedder, source.input), source.surrogate
    if surrogate is None:
        return found
    known = {name: raw_pictures(surrogate, rows) for name, rows in class_examples(surrogate, most=None).items()}
    return replace(found, source=known)


def target_pictures(target: Target, embedder: Embedder, input: InputSpec) -> Pictures:
    """The first samples of each class, as they are where they are images, and as an image source sees them."""
    chosen, images = class_examples(target), embedder.name == "resize"
    return Pictures(
        target={name: raw_pictures(target, rows) for name, rows in chosen.items()} if images else {},
        seen={name: seen_pictures(embedder(target.x[rows]), input) for name, rows in chosen.items()},
    )


def class_examples(target: Target, *, most: int | None = MOST_CLASSES) -> dict[str, Indices]:
    """Positions of the first samples of each of the first classes that have any; without classes, of all."""
    names = target.class_names or ()
    if target.y.ndim != 1 or not names:
        return {"samples": np.arange(min(EXAMPLES, len(target)), dtype=np.int64)}
    codes = np.unique(target.y).tolist()[:most]
    return {names[int(code)]: np.flatnonzero(target.y == code)[:EXAMPLES] for code in codes}


def raw_pictures(target: Target, rows: Indices) -> tuple[Array, ...]:
    """Images of any layout and range at their own size, as (H, W) or (H, W, 3) uint8; empty where x is no image."""
    from gapkit.embedders.modality import readable_layout
    from gapkit.embedders.resize import to_unit, value_range

    layout = readable_layout(target)
    if layout is None:
        return ()
    low, high = value_range(target.x[:LOOKED_AT])
    return as_bytes(to_unit(target.x[rows], layout, low, high))


def seen_pictures(batch: Tensor, input: InputSpec) -> tuple[Array, ...]:
    """What a source is given (B, C, H, W), without its normalisation, as (H, W) or (H, W, 3) uint8."""
    import torch

    mean = torch.tensor(input.mean or (0.0,), dtype=torch.float32).view(-1, 1, 1)
    std = torch.tensor(input.std or (1.0,), dtype=torch.float32).view(-1, 1, 1)
    return as_bytes(batch * std + mean)


def as_bytes(pictures: Tensor) -> tuple[Array, ...]:
    """Pictures (B, c, H, W) in [0, 1] as uint8: (H, W, 3) of three channels, else the mean (H, W)."""
    values = (pictures.clamp(0, 1) * BYTE).round().numpy().astype(np.uint8)
    if values.shape[1] == 3:
        return tuple(np.ascontiguousarray(picture.transpose(1, 2, 0)) for picture in values)
    return tuple(values.mean(axis=1).round().astype(np.uint8))
