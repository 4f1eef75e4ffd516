"""What a regression reads of some samples, computed in blocks whenever it is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from gapkit.arrays import Floats, Indices, spans
from gapkit.statistics.scaling import Scaling
from gapkit.statistics.stacked import FeatureRows, StackedRows
from gapkit.statistics.totals import CACHED


@dataclass(frozen=True, kw_only=True, eq=False)
class Regressors:
    """x (m, D) of the samples at ``index``: standardised features, and further columns beside them.

    No more of x than a block is held at a time.

    Attributes:
        features: (n, d) of all samples.
        index: (m,) which of them.
        scaling: of the columns of features that vary; None for features as they are.
        beside: (n, k) further columns of all samples.
    """

    features: FeatureRows | StackedRows
    index: Indices
    scaling: Scaling | None = None
    beside: Floats | None = None

    def __len__(self) -> int:
        """Samples."""
        return len(self.index)

    @property
    def width(self) -> int:
        """D."""
        own = self.features.shape[1] if self.scaling is None else len(self.scaling.columns)
        return own + (0 if self.beside is None else self.beside.shape[1])

    def take(self, places: Indices) -> Regressors:
        """Some of the samples, in an order."""
        return replace(self, index=self.index[places])

    def blocks(self, place: slice | None = None, *, nbytes: int = CACHED) -> Iterator[tuple[slice, Floats]]:
        """Blocks of about so many bytes of the samples from a place's start to its stop, with the place of each.

        Example:
            >>> regressors = Regressors(features=np.array([[1.0], [2.0], [4.0]]), index=np.array([2, 0]))
            >>> [(at.start, at.stop, block.tolist()) for at, block in regressors.blocks()]
            [(0, 2, [[4.0], [1.0]])]
        """
        first, end = (0, len(self)) if place is None else (place.start, place.stop)
        for at in spans(end - first, 8 * self.width, nbytes, first=first):
            yield at, self._rows(self.index[at])

    def _rows(self, index: Indices) -> Floats:
        """Rows of x of the samples at ``index``."""
        own = self.features[index].astype(np.float64, copy=False)
        if self.scaling is not None:
            own = self.scaling.apply(own)
        return own if self.beside is None else np.hstack([own, self.beside[index]])


def of_width(width: int, n_classes: int) -> int:
    """Bytes of a block of so many regressors, so that neither it nor the logits of its samples leave the cache.

    Example:
        >>> of_width(768, 10) == CACHED, of_width(4, 16) == CACHED // 4
        (True, True)
    """
    return CACHED * max(1, width) // max(1, width, n_classes)
