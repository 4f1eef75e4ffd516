"""Some rows of an array, or those of two, as the rows of one array, without a copy of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gapkit.arrays import Array, Features, Floats, Indices, spans

HELD = 1 << 27
"""Bytes that are kept, and no more: 128 MiB, as much as 10 000 samples of 1 600 numbers."""

STREAMED = 1 << 24
"""Bytes of a block that is read once."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ChosenRows:
    """Rows of an array (n, d) at some positions; they are read by their places, as those of an array.

    ``numpy.asarray`` makes a copy of all of them.

    Attributes:
        rows: (n, d) float64.
        index: (m,) which row comes where.

    Example:
        >>> rows = ChosenRows(rows=np.array([[1.0], [2.0], [3.0]]), index=np.array([2, 0]))
        >>> rows.shape, rows[:1].tolist(), np.asarray(rows).tolist()
        ((2, 1), [[3.0]], [[3.0], [1.0]])
    """

    rows: Features
    index: Indices

    @property
    def shape(self) -> tuple[int, int]:
        """(m, d)."""
        return len(self.index), self.rows.shape[1]

    @property
    def itemsize(self) -> int:
        """Bytes of a number."""
        return self.rows.itemsize

    def __len__(self) -> int:
        """Their number."""
        return len(self.index)

    def __getitem__(self, place: int | np.integer[Any] | slice | Indices) -> Floats:
        """The rows at these places."""
        return self.rows[self.index[place]]

    def __array__(self, dtype: object = None, copy: bool | None = None) -> Array:
        """All of them, as ``numpy.asarray`` asks for them."""
        return self[:]


FeatureRows = Features | ChosenRows
"""Rows (n, d) that are read in blocks."""


def take_rows(rows: FeatureRows, index: Indices) -> Floats | ChosenRows:
    """The rows at these positions: a copy of at most ``HELD`` bytes, or d x d numbers; of more than that none.

    Example:
        >>> take_rows(np.array([[1.0], [2.0]]), np.array([1])).tolist()
        [[2.0]]
    """
    d = rows.shape[1]
    if len(index) <= d or rows.itemsize * len(index) * d <= HELD:
        return rows[index]
    return chosen_rows(rows, index)


def chosen_rows(rows: FeatureRows, index: Indices) -> ChosenRows:
    """The rows at these positions, not copied; chosen ones of chosen ones are those of the array.

    Example:
        >>> rows = chosen_rows(chosen_rows(np.array([[1.0], [2.0], [3.0]]), np.array([2, 0])), np.array([1]))
        >>> rows.index.tolist(), rows[:].tolist()
        ([0], [[1.0]])
    """
    if isinstance(rows, ChosenRows):
        return ChosenRows(rows=rows.rows, index=rows.index[index])
    return ChosenRows(rows=rows, index=index)


def row_blocks(rows: FeatureRows, *, nbytes: int | None = None) -> Iterator[Floats]:
    """Consecutive rows, about so many bytes at a time (None: ``STREAMED``).

    Example:
        >>> [block.tolist() for block in row_blocks(np.array([[1.0], [2.0], [3.0]]), nbytes=16)]
        [[[1.0], [2.0]], [[3.0]]]
    """
    for place in spans(len(rows), rows.itemsize * rows.shape[1], nbytes or STREAMED):
        yield rows[place]


def column_means(rows: FeatureRows) -> Floats:
    """(d,)."""
    if isinstance(rows, ChosenRows):
        return np.sum([block.sum(axis=0) for block in row_blocks(rows)], axis=0) / len(rows)
    return rows.mean(axis=0)


def column_ends(rows: FeatureRows) -> tuple[Floats, Floats]:
    """Smallest and largest number of each column, (d,) each."""
    ends = [(block.min(axis=0), block.max(axis=0)) for block in row_blocks(rows)]
    return np.min([least for least, _ in ends], axis=0), np.max([most for _, most in ends], axis=0)


@dataclass(frozen=True, kw_only=True, eq=False)
class StackedRows:
    """Rows of two arrays (n, d) and (m, d), in an order; they are read by their positions, as those of an array.

    Attributes:
        first: (n, d).
        second: (m, d).
        order: (n + m,) which row comes where, those of the second numbered from n.

    Example:
        >>> rows = StackedRows(first=np.array([[1.0]]), second=np.array([[2.0], [3.0]]), order=np.array([2, 0, 1]))
        >>> rows.shape, rows[np.array([0, 1])].tolist()
        ((3, 1), [[3.0], [1.0]])
    """

    first: FeatureRows
    second: Array | ChosenRows
    order: Indices

    @property
    def shape(self) -> tuple[int, int]:
        """Of all rows together."""
        return len(self.order), self.first.shape[1]

    def __len__(self) -> int:
        """All rows."""
        return len(self.order)

    def __getitem__(self, index: Indices) -> Floats:
        """The rows at these positions, as float64."""
        at, n = self.order[index], len(self.first)
        ahead = at < n
        found = np.empty((len(at), self.shape[1]))
        found[ahead], found[~ahead] = self.first[at[ahead]], self.second[at[~ahead] - n]
        return found
