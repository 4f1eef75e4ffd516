"""``fold`` and ``onehot`` for sources that take arrays of any other shape."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal

import torch
from torch import Tensor

from gapkit.arrays import Array
from gapkit.embedders.base import FixedEmbedder
from gapkit.embedders.grid import change_length
from gapkit.embedders.training import train_words
from gapkit.embedders.values import Values
from gapkit.types import InputSpec, Target

Way = Literal["reshape", "interpolate steps", "interpolate all"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ArrayFold(FixedEmbedder):
    """Values (C, L) to the source's shape.

    As many values as the source takes are reshaped; the same channels with other steps are interpolated linearly along
    the steps; everything else is laid in one row and interpolated linearly. Where it shrinks, values are averaged.

    Attributes:
        values: samples to (C, L).
        shape: of one sample of the source.
        way: which of the three.
    """

    values: Values
    shape: tuple[int, ...]
    way: Way

    @property
    def description(self) -> str:
        """Values and shapes, in one line."""
        channels, steps = self.values.shape
        shape = "x".join(str(size) for size in self.shape)
        done = {
            "reshape": f"reshaped to {shape}",
            "interpolate steps": f"{steps} steps interpolated linearly to {self.shape[-1]}",
            "interpolate all": f"{channels * steps} values in a row interpolated linearly to {shape}",
        }
        return f"{self.name}: {self.values.words}; {done[self.way]}; statistics of {self.statistics_from}"

    def __call__(self, x: Array) -> Tensor:
        """Samples (B, ...) to float32 (B, *shape), standardised."""
        centre, spread = self.values.moments
        rows = self.values(x)
        if self.way == "interpolate steps":
            rows = change_length(rows, self.shape[-1])
        elif self.way == "interpolate all":
            rows = change_length(rows.reshape(len(rows), 1, -1), prod(self.shape))
        return torch.from_numpy((rows - centre) / spread).to(torch.float32).reshape(len(rows), *self.shape)


def fit_array_fold(name: str, values: Values, target: Target, input: InputSpec) -> ArrayFold:
    """The way from the values' shape to the source's."""
    way: Way = "interpolate all"
    if prod(values.shape) == prod(input.shape):
        way = "reshape"
    elif len(input.shape) == 2 and input.shape[0] == values.shape[0]:
        way = "interpolate steps"
    return ArrayFold(name=name, statistics_from=train_words(target), values=values, shape=tuple(input.shape), way=way)
