"""Features less their mean, without a copy of them: what sums and products over samples need."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from gapkit.arrays import Features, Floats, Indices, Labels, blocks
from gapkit.statistics.class_sums import class_sums
from gapkit.statistics.totals import CACHED


@dataclass(frozen=True, kw_only=True, eq=False)
class CentredRows:
    """``rows - centre``, subtracted block by block when it is read.

    Attributes:
        rows: (n, r).
        centre: (r,); None for 0.
    """

    rows: Features
    centre: Floats | None = None
    _latest: list[tuple[Labels, Floats]] = field(default_factory=list[tuple[Labels, Floats]], init=False, repr=False)

    def __iter__(self) -> Iterator[tuple[slice, Floats]]:
        """Blocks of consecutive rows that fit into the processor's cache, with their positions."""
        start = 0
        for block in blocks(self.rows, nbytes=CACHED):
            place = slice(start, start + len(block))
            yield place, block if self.centre is None else block - self.centre
            start = place.stop

    def take(self, index: Indices) -> Floats:
        """The rows at ``index``."""
        taken = self.rows[index]
        if self.centre is not None:
            taken -= self.centre
        return taken

    def onto(self, basis: Floats) -> Floats:
        """The rows times a basis (r, k)."""
        found = np.empty((len(self.rows), basis.shape[1]))
        for place, block in self:
            found[place] = block @ basis
        return found

    def products(self, targets: Floats) -> Floats:
        """Targets (n, m), transposed, times the rows: (m, r)."""
        found = np.zeros((targets.shape[1], self.rows.shape[1]))
        for place, block in self:
            found += targets[place].T @ block
        return found

    def class_sums(self, codes: Labels, n_classes: int) -> Floats:
        """Sums of the rows of each class (K, r), not to be written to.

        Those of the latest codes are kept, as several scores ask for the same in turn.

        Example:
            >>> rows = CentredRows(rows=np.array([[1.0], [2.0], [6.0]]), centre=np.array([3.0]))
            >>> rows.class_sums(np.array([0, 0, 1]), 2).tolist()
            [[-3.0], [3.0]]
        """
        for kept, sums in self._latest:
            if len(sums) == n_classes and np.array_equal(kept, codes):
                return sums
        sums = class_sums(self.rows, codes, n_classes, self.centre)
        sums.flags.writeable = False
        self._latest[:] = [(codes.copy(), sums)]
        return sums
