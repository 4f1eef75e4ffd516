"""Maximum mean discrepancy: how far apart the means of two samples are, as a Gaussian kernel sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, Literal

import numpy as np

from gapkit.arrays import Array, Floats
from gapkit.errors import OptionError
from gapkit.options import check_number
from gapkit.scores.checks import check_pair, check_sizes
from gapkit.scores.inputs import PairInputs
from gapkit.scores.pairwise import Pairs, mean_between, mean_within, pooled_median
from gapkit.scores.subsample import subsample_pair
from gapkit.types import Traits


def mmd2(x: Array, y: Array, *, bandwidth: Literal["median"] | float | Sequence[float] = "median") -> float:
    """Squared maximum mean discrepancy, unbiased.

    ``mean_{i != i'} k(x_i, x_i') + mean_{j != j'} k(y_j, y_j') - 2 mean_{i, j} k(x_i, y_j)`` with
    ``k(u, v) = exp(-|u - v|^2 / (2 s^2))``: Gretton, Borgwardt, Rasch, Schoelkopf and Smola, JMLR 2012, equation 3. It
    has no unit and is at most 2; 0 is expected where both come from one distribution, so that it may be slightly
    negative, never below ``-(1/n + 1/m)``. All pairs are read, in blocks of bounded memory: O((n + m)^2 d) time.

    The median heuristic takes the median squared distance of the pooled sample for s^2, leaving out pairs of equal
    samples (with many duplicates the paper's median is 0), and drawing 2000 of more than 2000 samples. Where all
    samples are equal, every bandwidth gives 0.

    Args:
        x: (n, d), n >= 2.
        y: (m, d), m >= 2.
        bandwidth: s, in units of the features; "median"; or factors of the median s, over whose kernels the mean is
            taken. The literature sums them, which would let the range depend on their number.

    Raises:
        DataError: no samples of the same features.
        UndefinedError: fewer than two samples of a side.
        OptionError: a bandwidth or factor that is not positive.

    Example:
        >>> x, y = np.array([[0.0], [1.0]]), np.array([[5.0], [6.0]])
        >>> round(mmd2(x, y, bandwidth=1.0), 3)
        1.213
    """
    first, second = check_pair(x, y)
    check_sizes(first, second, name="the unbiased MMD")
    pair = PairInputs(target=first, surrogate=second)
    if isinstance(bandwidth, np.ndarray) and bandwidth.ndim == 0:
        bandwidth = float(bandwidth)
    if isinstance(bandwidth, Real):
        check_number("bandwidth", bandwidth)
        return _mmd2(*pair.whole, _squared([float(bandwidth) / pair.unit], 1.0))
    factors = _factors(bandwidth)
    return _mmd2(*pair.whole, _squared(factors, pooled_median(*pair.whole)))


@dataclass(frozen=True, kw_only=True)
class Mmd:
    """The unbiased MMD^2 by the median heuristic.

    Attributes:
        factors: of the median bandwidth; the mean over their kernels is taken.
        limit: the largest number of samples of either side; of more, so many are drawn.
    """

    factors: tuple[float, ...] = (1.0,)
    limit: int = 2000

    def __post_init__(self) -> None:
        """Check the factors.

        Raises:
            OptionError: none, or one that is not positive.
        """
        _factors(self.factors)

    traits: ClassVar[Traits] = Traits(
        name="mmd2",
        title="MMD^2",
        formula="E k(x, x') + E k(y, y') - 2 E k(x, y), k(u, v) = exp(-|u - v|^2 / (2 median |u - v|^2))",
        paper="Gretton, Borgwardt, Rasch, Schoelkopf and Smola, JMLR 2012",
        needs=("features", "surrogate"),
        lowest=-1.0,
        highest=2.0,
        better="lower",
        conditional=False,
        invariant=("sample_order", "shift", "orthogonal", "scale"),
        symmetric=True,
        tasks=("classification", "regression", "multilabel"),
        cost="O((n + m)^2 d), at most 2000 samples of each side",
        subsample=2000,
        avoids="ORCA resamples the source with replacement and holds (n + m)^2 d numbers; the V-statistic is biased",
    )

    def between(self, pair: PairInputs) -> float:
        """The distance.

        Raises:
            UndefinedError: fewer than two samples of a side.
        """
        return self.anchored(pair)(pair)

    def anchored(self, pair: PairInputs) -> Callable[[PairInputs], float]:
        """The distance of any pair, with the kernel of this one: only so can two values be compared."""
        x, y = subsample_pair(pair.target, pair.surrogate, self.limit, seed=pair.seed)
        squares = _squared(self.factors, pooled_median(x, y, seed=pair.seed))

        def distance(other: PairInputs) -> float:
            first, second = subsample_pair(other.target, other.surrogate, self.limit, seed=other.seed)
            check_sizes(first, second, name="the unbiased MMD")
            unit = pair.unit / other.unit
            return _mmd2(first, second, [square * unit * unit for square in squares])

        return distance


def _factors(bandwidth: object) -> Sequence[float]:
    """Factors of the median bandwidth: positive numbers; 1 where they are none."""
    if isinstance(bandwidth, str) and bandwidth == "median":
        return [1.0]
    factors: list[Any] = [] if isinstance(bandwidth, str) or not isinstance(bandwidth, Iterable) else [*bandwidth]
    if not factors:
        raise OptionError(
            f"bandwidth is {bandwidth!r}", expected="median, a number, or numbers", remedy="use bandwidth='median'"
        )
    for factor in factors:
        check_number("bandwidth", factor)
    return [float(factor) for factor in factors]


def _squared(factors: Sequence[float], median: float) -> list[float]:
    """s^2 of each kernel."""
    return [factor * factor * median for factor in factors]


def _mmd2(x: Floats, y: Floats, squares: Sequence[float]) -> float:
    """The statistic, with the mean of the kernels of these s^2; s^2 = 0 stands for samples that are all equal."""

    def kernel(distances: Pairs) -> Floats:
        found = np.zeros_like(distances)
        for square in squares:
            found += np.exp(distances / (-2 * square)) if square > 0 else distances == 0
        return found / len(squares)

    return mean_within(x, kernel) + mean_within(y, kernel) - 2 * mean_between(x, y, kernel)
