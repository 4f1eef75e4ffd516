"""Samples of two arrays as those of one, without a copy of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Array, Features, Floats, Indices


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

    first: Features
    second: Array
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
