"""Long thin rows of values to grids that are about square."""

from __future__ import annotations

from math import ceil, isqrt, log

import numpy as np
from jaxtyping import Float32

from gapkit.embedders.values import Rows

Grids = Float32[np.ndarray, "b h w"]
ResampledRows = Float32[np.ndarray, "b c m"]


def piece_length(channels: int, steps: int) -> int:
    """Steps in a piece, so that pieces of all channels under one another are nearest to a square.

    The grid has ``channels * ceil(steps / length)`` rows and ``length`` columns; of equally square ones the one with
    fewer cells is taken, then the wider one.

    Example:
        >>> piece_length(1, 16), piece_length(1, 60), piece_length(9, 128), piece_length(5, 60)
        (4, 8, 32, 20)
    """
    guess = isqrt(max(1, steps // channels))
    lengths = {ceil(steps / count) for count in range(max(1, guess - 1), guess + 3)}

    def badness(length: int) -> tuple[float, int, int]:
        rows = channels * ceil(steps / length)
        return round(abs(log(rows / length)), 9), rows * length, -length

    return min(lengths, key=badness)


def fold_rows(values: Rows, length: int, *, padding: float) -> Grids:
    """Cut (B, C, L) into pieces of ``length`` steps and stack them: (B, C * ceil(L / length), length).

    The channels of the first piece come first, then those of the second, as lines of a score; the last piece is filled
    up with ``padding``. With one channel this is the row-major grid.
    """
    batch, channels, steps = values.shape
    count = ceil(steps / length)
    full = np.full((batch, channels, count * length), padding, dtype=np.float32)
    full[:, :, :steps] = values
    pieces = full.reshape(batch, channels, count, length).swapaxes(1, 2)
    return pieces.reshape(batch, count * channels, length)


def change_length(values: Rows, length: int) -> ResampledRows:
    """Linear interpolation of every row to ``length`` values, ends kept; averages over the bins where it shrinks.

    Averages, because picking single values would drop the others; a bin of a fraction takes its share of a value.
    """
    steps = values.shape[-1]
    if length == steps:
        return values
    wide = values.astype(np.float64)
    if length > steps:
        position = np.linspace(0, steps - 1, length)
        left = np.minimum(position.astype(np.int64), max(steps - 2, 0))
        right = np.minimum(left + 1, steps - 1)
        share = position - left
        return (wide[..., left] * (1 - share) + wide[..., right] * share).astype(np.float32)
    edges = np.linspace(0, steps, length + 1)
    total = np.concatenate([np.zeros((*wide.shape[:-1], 1)), np.cumsum(wide, axis=-1)], axis=-1)
    left = np.minimum(edges.astype(np.int64), steps - 1)
    at_edges = total[..., left] + wide[..., left] * (edges - left)
    return (np.diff(at_edges, axis=-1) / np.diff(edges)).astype(np.float32)
