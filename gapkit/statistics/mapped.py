"""A function of rows, in blocks: what is small is kept, what is not is computed again by every pass over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gapkit.arrays import Array, Floats, Indices, Labels, spans
from gapkit.statistics.class_sums import class_sums
from gapkit.statistics.stacked import HELD, ChosenRows
from gapkit.statistics.totals import CACHED


@dataclass(frozen=True, kw_only=True, eq=False)
class MappedRows:
    """``function(rows)``, (n, width), which at no time needs more memory than ``HELD`` beyond the rows.

    Attributes:
        rows: (n, r).
        width: columns of what the function returns.
        function: from some rows (m, r) to (m, width), each row by itself; None for the rows as they are.
        reads: numbers that the function reads for a row, where that is more than r and the width: rows may be indices.
    """

    rows: Array | ChosenRows
    width: int
    function: Callable[[Array], Floats] | None = None
    reads: int = 0

    def __len__(self) -> int:
        """Samples."""
        return len(self.rows)

    def __iter__(self) -> Iterator[tuple[slice, Floats]]:
        """Blocks of consecutive rows that fit into the processor's cache, with their positions.

        Example:
            >>> rows = MappedRows(rows=np.array([[1.0], [2.0]]), width=2, function=lambda x: np.hstack([x, x * x]))
            >>> [(place.start, place.stop, block.tolist()) for place, block in rows]
            [(0, 2, [[1.0, 1.0], [2.0, 4.0]])]
        """
        return self.by(CACHED)

    def by(self, nbytes: int) -> Iterator[tuple[slice, Floats]]:
        """Blocks of about so many bytes, with their positions."""
        rows = self if self._kept is None else MappedRows(rows=self._kept, width=self.width)
        return rows._computed(nbytes)

    @property
    def broadest(self) -> int:
        """Numbers that a block holds for each row, whichever of reading and returning it takes more."""
        return self._span if self._kept is None else max(1, self.width)

    def take(self, index: Indices) -> Floats:
        """The rows at ``index``."""
        if self._kept is not None:
            return self._kept[index]
        return self.rows[index] if self.function is None else self.function(self.rows[index])

    def class_sums(
        self, codes: Labels, n_classes: int, centre: Floats | None = None, at: Indices | None = None
    ) -> Floats:
        """Sums of the rows, or of those at some positions, less the centre, of each class (K, width)."""
        sums = np.zeros((n_classes, self.width))
        for place, block in self if at is None else self._at(at):
            sums += class_sums(block, codes[place], n_classes, centre)
        return sums

    def _at(self, index: Indices) -> Iterator[tuple[Indices, Floats]]:
        """Blocks of the rows at some positions, with these."""
        for span in spans(len(index), 8 * self.width, CACHED):
            yield index[span], self.take(index[span])

    @property
    def _span(self) -> int:
        """As ``broadest``, where nothing is kept."""
        return max(1, self.width, self.reads, *self.rows.shape[1:])

    @cached_property
    def _kept(self) -> Array | ChosenRows | None:
        """All of them, where they are small enough; the rows themselves where nothing is done to them."""
        if self.function is None:
            return self.rows
        if 8 * len(self.rows) * self.width > HELD:
            return None
        found = np.empty((len(self.rows), self.width))
        for place, block in self._computed(CACHED):
            found[place] = block
        return found

    def _computed(self, nbytes: int) -> Iterator[tuple[slice, Floats]]:
        """As ``by``, whether or not they are kept."""
        for place in spans(len(self.rows), 8 * self._span, nbytes):
            block = self.rows[place]
            yield place, block if self.function is None else self.function(block)


def as_rows(rows: Array | ChosenRows | MappedRows) -> MappedRows:
    """An array (n, r) as what may be computed in blocks."""
    return rows if isinstance(rows, MappedRows) else MappedRows(rows=rows, width=rows.shape[1])
