"""Dense targets: a field of values for each sample, over a line or a plane."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from torch import Tensor

from gapkit.arrays import Array
from gapkit.embedders.learned import LearnedEmbedder
from gapkit.embedders.patch_modules import Patches
from gapkit.embedders.patch_sizes import squarest
from gapkit.embedders.preparation import read_kind
from gapkit.errors import DataError
from gapkit.types import Target


@dataclass(frozen=True, kw_only=True)
class Field:
    """How the values of a sample are laid out.

    Attributes:
        channels: C.
        size: (L,) or (H, W).
        last: whether the channels are the last axis of y.
    """

    channels: int
    size: tuple[int, ...]
    last: bool = False

    def channels_first(self, y: Array) -> Array:
        """Values as the target has them (n, ...) to (n, C, *size)."""
        return np.moveaxis(y, -1, 1) if self.last else y.reshape(len(y), self.channels, *self.size)

    def as_given(self, outputs: Array, shape: tuple[int, ...]) -> Array:
        """Outputs (n, C, *size) to the layout of y, whose samples have this shape."""
        return np.moveaxis(outputs, 1, -1) if self.last else outputs.reshape(len(outputs), *shape)


def field_of(target: Target) -> Field:
    """The layout of a dense target's y.

    (n, L) is a line. (n, A, B) is a plane where x is read as pictures or fields, else A channels of a line. With one
    more axis it is a plane, whose channels are the first axis, or the last one where that is the shorter one.

    Raises:
        DataError: more axes.

    Example:
        >>> field_of(Target(np.arange(792).reshape(4, 2, 99), np.zeros((4, 3, 50)), task="dense"))
        Field(channels=3, size=(50,), last=False)
    """
    shape = tuple(int(size) for size in target.y.shape[1:])
    if len(shape) == 1:
        return Field(channels=1, size=shape)
    if len(shape) == 2:
        return (
            Field(channels=1, size=shape) if read_kind(target) == "field" else Field(channels=shape[0], size=shape[1:])
        )
    if len(shape) == 3:
        last = shape[2] < shape[0]
        return Field(channels=shape[2 if last else 0], size=shape[:2] if last else shape[1:], last=last)
    raise DataError(
        f"{target.name}: y has shape {target.y.shape}",
        expected="(n, L), (n, C, L), (n, H, W), (n, C, H, W) or (n, H, W, C) for a dense target",
        remedy="merge axes, or keep one time step",
    )


def token_grid(hidden: Tensor, embedder: LearnedEmbedder, axes: int) -> tuple[int, ...]:
    """How hidden tokens are laid out, for a decoder to a field of so many axes.

    Args:
        hidden: (B, N, dim), tokens of the sample last, or (B, rows, columns, dim).
        embedder: that the tokens came from.
        axes: 1 or 2.
    """
    if hidden.ndim == 4:
        rows, columns = hidden.shape[1:3]
        return (rows * columns,) if axes == 1 else (rows, columns)
    count = min(hidden.shape[1], embedder.count)
    if axes == 1:
        return (count,)
    sizes = embedder.module.sizes
    patches = tuple(cut.count for cut in embedder.module.sizes.axes) if isinstance(embedder.module, Patches) else ()
    for grid in (patches, sizes.grid):
        if grid is not None and len(grid) == 2 and prod(grid) == count:
            return grid
    return squarest(count)
