"""Principal directions of a layer: in the space of features and in that of samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Features, Floats
from gapkit.errors import OptionError, UndefinedError
from gapkit.reuse.paired import centre
from gapkit.statistics.spectrum import tolerance

ROUNDING = 1e-12
"""Of a share of the variance: 0.99 is reached by 99 of 100 directions of equal variance."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Principal:
    """``U diag(s) V'`` of centred features with Frobenius norm 1, directions of rounding left out.

    Attributes:
        left: (n, k) U.
        lengths: (k,) s, descending, all positive; their squares are shares of the variance.
        right: (k, d) V'.
    """

    left: Floats
    lengths: Floats
    right: Floats

    def leading(self, count: int) -> Principal:
        """The first ``count`` directions."""
        return Principal(left=self.left[:, :count], lengths=self.lengths[:count], right=self.right[:count])

    def holding(self, energy: float) -> Principal:
        """The fewest leading directions that hold a share of the variance."""
        held = np.cumsum(np.square(self.lengths))
        enough = held >= (energy - ROUNDING) * held[-1]
        return self.leading(int(np.argmax(enough)) + 1)


def find_principal(features: Features, name: str) -> Principal:
    """Principal directions of (n, d), by a singular value decomposition: O(n d min(n, d)).

    Raises:
        UndefinedError: all samples have the same features.

    Example:
        >>> find_principal(np.array([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]]), "x").lengths.round(6).tolist()
        [0.948683, 0.316228]
    """
    left, lengths, right = np.linalg.svd(centre(features, name), full_matrices=False)
    kept = lengths > tolerance(*features.shape) * lengths[0]
    return Principal(left=left[:, kept], lengths=lengths[kept], right=right[kept])


def check_energy(energy: float) -> None:
    """Refuse a share of the variance that is none.

    Raises:
        OptionError: outside (0, 1].
    """
    if not 0 < energy <= 1:
        raise OptionError(f"energy is {energy}", expected="a share of the variance in (0, 1]", remedy="0.99 is usual")


def check_gap(found: Principal, rank: int, name: str) -> None:
    """Refuse a leading subspace that there is not, or that is one of many.

    Raises:
        UndefinedError: fewer directions than ``rank``, or the next one has the same variance as the last.
    """
    count = len(found.lengths)
    if count < rank:
        raise UndefinedError(
            f"{name} varies in {count} directions", expected=f"at least rank = {rank}", remedy="give a smaller rank"
        )
    equal = count > rank and found.lengths[rank - 1] - found.lengths[rank] <= ROUNDING * found.lengths[0]
    if equal:
        raise UndefinedError(
            f"{name} has the same variance in direction {rank} and the next",
            expected="directions that can be told apart",
            remedy="give another rank",
        )
