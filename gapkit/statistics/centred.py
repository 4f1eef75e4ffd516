"""Features less their mean, without a copy of them: what sums and products over samples need."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from gapkit.arrays import Array, Floats, Indices, Labels
from gapkit.statistics.class_sums import class_sums, several_class_sums
from gapkit.statistics.stacked import FeatureRows, row_blocks
from gapkit.statistics.totals import CACHED

TOGETHER = 128
"""Classes, of several labellings together, that are summed up in one pass over the rows."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CentredRows:
    """``rows - centre``, subtracted block by block when it is read.

    Attributes:
        rows: (n, r).
        centre: (r,); None for 0.
        expected: labellings (n,) whose class sums are about to be asked for, one after the other; they are found some
            at a time. May change.
    """

    rows: FeatureRows
    centre: Floats | None = None
    expected: list[Array] = field(default_factory=list[Array], repr=False)
    _latest: list[tuple[Labels, Floats]] = field(default_factory=list[tuple[Labels, Floats]], init=False, repr=False)

    def __iter__(self) -> Iterator[tuple[slice, Floats]]:
        """Blocks of consecutive rows that fit into the processor's cache, with their positions."""
        start = 0
        for block in row_blocks(self.rows, nbytes=CACHED):
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

        Those of the latest codes are kept, as several scores ask for the same in turn, with those that are found with
        them.

        Example:
            >>> rows = CentredRows(rows=np.array([[1.0], [2.0], [6.0]]), centre=np.array([3.0]))
            >>> rows.class_sums(np.array([0, 0, 1]), 2).tolist()
            [[-3.0], [3.0]]
        """
        for kept, sums in self._latest:
            if len(sums) == n_classes and np.array_equal(kept, codes):
                return sums
        self._latest[:] = self._found_with(codes, n_classes)
        return self._latest[0][1]

    def _found_with(self, codes: Labels, n_classes: int) -> list[tuple[Labels, Floats]]:
        """Class sums of these codes, and of those that are expected next, ``TOGETHER`` classes at once."""
        places = (place for place, one in enumerate(self.expected) if np.array_equal(one, codes))
        place = next(places, None)
        if self.centre is None or place is None:
            together, found = [codes], class_sums(self.rows, codes, n_classes, self.centre)[None]
        else:
            together = self.expected[place : place + max(1, TOGETHER // n_classes)]
            together = [one for one in together if one.max() < n_classes]
            found = several_class_sums(self.rows, np.stack(together, axis=1), n_classes, self.centre)
        found.flags.writeable = False
        return [(one.copy(), sums) for one, sums in zip(together, found, strict=True)]
