"""Inner products of all pairs of samples, where they fit: Gram matrices of many subsets are read from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Array, Floats, Indices
from gapkit.statistics.centred import CentredRows
from gapkit.statistics.stacked import HELD

SIDE = 512
"""Rows of a tile."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RowProducts:
    """``z_i' z_j`` of every pair j <= i.

    Attributes:
        tiles: for ``SIDE`` consecutive rows each, their products with these and all rows before.
    """

    tiles: tuple[Array, ...]

    def among(self, index: Indices) -> Floats:
        """The lower triangle of the Gram matrix (m, m) of some rows, ascending, in Fortran's order.

        Above it is what the tiles on the diagonal hold, or 0.

        Example:
            >>> rows = CentredRows(rows=np.array([[1.0], [2.0], [3.0]]))
            >>> np.tril(row_products(rows).among(np.array([0, 2]))).tolist()
            [[1.0, 0.0], [3.0, 9.0]]
        """
        found = np.zeros((len(index), len(index)))
        ends = np.searchsorted(index, SIDE * np.arange(len(self.tiles) + 1))
        for number, tile in enumerate(self.tiles):
            first, last = int(ends[number]), int(ends[number + 1])
            places = (index[first:last] - SIDE * number)[:, None] * tile.shape[1] + index[:last]
            # All are inside; to clip them is faster than to check them.
            found[:last, first:last] = tile.ravel().take(places, mode="clip").T
        return found.T


def row_products(rows: CentredRows) -> RowProducts:
    """The products of all rows (n, d): O(n^2 d)."""
    n = len(rows.rows)
    places = [np.arange(start, min(n, start + SIDE)) for start in range(0, n, SIDE)]
    tiles: list[Array] = []
    for number, place in enumerate(places):
        own, tile = rows.take(place), np.empty((len(place), place[-1] + 1))
        for other in places[: number + 1]:
            tile[:, other[0] : other[-1] + 1] = own @ (rows.take(other).T if other is not place else own.T)
        tiles.append(tile)
    return RowProducts(tiles=tuple(tiles))


def products_pay(n: int, pairs: int) -> bool:
    """Whether the products of n samples are fewer than half of the pairs that are read, and no more than ``HELD``."""
    return 4 * n * (n + SIDE) <= HELD and pairs > 2 * n * n
