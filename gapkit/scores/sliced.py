"""Sliced Wasserstein distance: exact transport along seeded directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float64

from gapkit.arrays import AnyShape, Array, Floats, generator
from gapkit.options import check_least, check_number
from gapkit.scores.checks import check_pair
from gapkit.scores.inputs import PairInputs
from gapkit.statistics.stacked import ChosenRows, FeatureRows, row_blocks
from gapkit.types import Traits

DIRECTION_STREAM = 43
BLOCK_ENTRIES = 1 << 21
"""Projections that are held at once (16 MB)."""
Directions = Float64[np.ndarray[AnyShape, np.dtype[np.float64]], "d count"]
"""Unit vectors, one for each column."""


def sliced_wasserstein(x: Array, y: Array, *, projections: int = 200, p: float = 2, seed: int = 0) -> float:
    """``(mean over directions t of W_p^p(x t, y t))^(1/p)``, with uniform weights.

    Rabin, Peyre, Delon and Bernot, SSVM 2011; Bonneel, Rabin, Peyre and Pfister, Journal of Mathematical Imaging and
    Vision 2015. The unit is that of the features. Along a direction W_p is exact, of unequal sizes too; the directions
    are random, the same for every pair of samples with d features and the same seed, so that the value of one pair has
    the error of so many directions. It grows from 0 as samples get smaller, also where both come from one
    distribution. O(count (n + m) (d + log(n + m))) time.

    Args:
        x: (n, d).
        y: (m, d).
        projections: number of directions.
        p: order of the distance, at least 1.
        seed: of the directions.

    Raises:
        DataError: no samples of the same features.
        OptionError: no directions, or p below 1.

    Example:
        >>> x = np.array([[0.0], [1.0]])
        >>> round(sliced_wasserstein(x, x + 3), 12)
        3.0
    """
    first, second = check_pair(x, y)
    _check_options(projections, p)
    pair = PairInputs(target=first, surrogate=second, seed=seed)
    return SlicedWasserstein(projections=projections, p=p).between(pair)


def directions(n_features: int, count: int, *, seed: int) -> Directions:
    """Unit vectors (d, count), independent and uniform on the sphere.

    Example:
        >>> directions(1, 3, seed=0).shape
        (1, 3)
    """
    drawn = generator(seed, DIRECTION_STREAM).normal(size=(n_features, count))
    return drawn / np.sqrt(np.square(drawn).sum(axis=0))


@dataclass(frozen=True, kw_only=True)
class SlicedWasserstein:
    """The sliced Wasserstein distance.

    Attributes:
        projections: number of directions.
        p: order of the distance.
    """

    projections: int = 200
    p: float = 2.0

    traits: ClassVar[Traits] = Traits(
        name="sliced_wasserstein",
        title="sliced Wasserstein",
        formula="(mean over unit vectors t of W_2^2(x t, y t))^(1/2)",
        paper="Rabin, Peyre, Delon and Bernot, SSVM 2011",
        needs=("features", "surrogate"),
        lowest=0.0,
        highest=None,
        better="lower",
        conditional=False,
        unit="units of the features",
        invariant=("sample_order", "shift"),
        symmetric=True,
        tasks=("classification", "regression", "multilabel"),
        cost="O(200 (n + m) (d + log(n + m)))",
        avoids="directions from a global random state",
    )

    def between(self, pair: PairInputs) -> float:
        """The distance, by the directions of the pair's seed."""
        _check_options(self.projections, self.p)
        chosen = directions(pair.target.shape[1], self.projections, seed=pair.seed)
        return pair.in_features_units(_sliced(pair.target, pair.surrogate, chosen, self.p))


def _check_options(projections: int, p: float) -> None:
    """Refuse what has no meaning."""
    check_least("projections", projections, 1)
    check_number("p", p, least=1)


def _sliced(x: FeatureRows, y: Floats | ChosenRows, along: Directions, p: float) -> float:
    """The distance along these directions, some of them at a time."""
    n, m = len(x), len(y)
    # Quantile functions are steps at i / n and j / m: over the common denominator n m, both are exact integers.
    cuts = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    widths = np.diff(cuts, prepend=0) / (n * m)
    of_x, of_y = (cuts - 1) // m, (cuts - 1) // n
    step = max(1, BLOCK_ENTRIES // (n + m))
    distances: list[Floats] = []
    for start in range(0, along.shape[1], step):
        some = along[:, start : start + step]
        gaps = np.abs(_project(x, x[0], some)[of_x] - _project(y, x[0], some)[of_y])
        distances.append(_power_mean(gaps, widths, p))
    found = np.concatenate(distances)[:, None]
    return float(_power_mean(found, np.full(len(found), 1 / len(found)), p)[0])


def _project(x: FeatureRows, origin: Floats, along: Directions) -> Floats:
    """Sorted ``(x - origin) t`` (n, count): of features that lie far from 0, only differences keep their digits."""
    projected = np.concatenate([(block - origin) @ along for block in row_blocks(x)])
    projected.sort(axis=0)
    return projected


def _power_mean(values: Floats, weights: Floats, p: float) -> Floats:
    """``(sum of weight value^p)^(1/p)`` over the first axis, of values that no power leaves float64 with."""
    top = values.max(axis=0)
    return top * (weights @ (values / np.where(top > 0, top, 1.0)) ** p) ** (1 / p)
