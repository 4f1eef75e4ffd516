"""``fold`` and ``onehot`` for image sources: values as grey levels of a grid."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor

from gapkit.arrays import Array
from gapkit.embedders.base import FixedEmbedder
from gapkit.embedders.grid import fold_rows, piece_length
from gapkit.embedders.picture import Frame, enlarge
from gapkit.embedders.training import train_words
from gapkit.embedders.values import Values
from gapkit.types import InputSpec, Target


@dataclass(frozen=True, kw_only=True, eq=False)
class Fold(FixedEmbedder):
    """Values (C, L) cut into pieces, stacked to a near-square grid, scaled to [0, 1] and brought to the source's size.

    Vectors are folded row by row; cells that are left over are the mean (fold) or absent (onehot). One-hot rows stay
    rows rather than colours: there are more symbols than colours, and colours would make some of them brighter.
    Cells are enlarged to blocks of one grey level (nearest neighbour): columns of a table that are neighbours have
    nothing in common, so that values between them would mean nothing. A side that is longer than the source's is shrunk
    with antialiasing, so that no value is dropped.

    Attributes:
        values: samples to (C, L).
        length: columns of the grid.
        frame: of the source.
    """

    values: Values
    length: int
    frame: Frame

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns."""
        channels, steps = self.values.shape
        return channels * ceil(steps / self.length), self.length

    @property
    def description(self) -> str:
        """Values, grid and scale, in one line."""
        low, high = self.values.range
        rows, columns = self.grid
        height, width = self.frame.size
        way = "nearest" if rows <= height and columns <= width else "antialiased"
        return (
            f"{self.name}: {self.values.words}; folded to {rows}x{columns}; {low:g} to {high:g} becomes 0 to 1; "
            f"{way} to {height}x{width}{self.frame.words(1)}; statistics of {self.statistics_from}"
        )

    def __call__(self, x: Array) -> Tensor:
        """Samples (B, ...) to float32 (B, C, H, W)."""
        low, high = self.values.range
        grids = torch.from_numpy(fold_rows(self.values(x), self.length, padding=0.0))
        pictures = enlarge(((grids - low) / (high - low)).unsqueeze(1), self.frame.size)
        return self.frame.normalise(pictures)


def fit_fold(name: str, values: Values, target: Target, input: InputSpec) -> Fold:
    """The grid for fitted values and the frame of an image source."""
    return Fold(
        name=name,
        statistics_from=train_words(target),
        values=values,
        length=piece_length(*values.shape),
        frame=Frame.of(input),
    )
