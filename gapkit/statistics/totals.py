"""Central sums of features up to fourth order, mergeable: mean, scatter, and what Ledoit-Wolf shrinkage needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Floats, Indices, Mask
from gapkit.statistics.stacked import FeatureRows, chosen_rows, row_blocks

CACHED = 1 << 20
"""Bytes of a block that is read twice: it stays in the processor's cache."""
MULTIPLIED = 1 << 23
"""Bytes of a block whose product is large enough to be worth its overhead."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Totals:
    """Sums over n samples of ``z = x - mean``, none of them divided by n.

    The mean is kept as a sample and the offset from it, which is of the size of the spread and keeps its digits however
    far the samples are from 0.

    Attributes:
        n: samples.
        origin: (d,) one of the samples.
        offset: (d,) mean less origin.
        scatter: (d, d) ``sum z z'``.
        cubes: (d,) ``sum |z|^2 z``; no statistic reads it, but fourth powers cannot be merged without.
        fourths: ``sum |z|^4``.
    """

    n: int
    origin: Floats
    offset: Floats
    scatter: Floats
    cubes: Floats
    fourths: float

    @property
    def mean(self) -> Floats:
        """(d,)."""
        return self.origin + self.offset

    @property
    def varying(self) -> Mask:
        """(d,) the columns that are not constant."""
        return np.diag(self.scatter) > 0

    @property
    def shrinkage(self) -> float:
        """Ledoit and Wolf's shrinkage of the covariance, as ``sklearn.covariance.ledoit_wolf`` has it."""
        trace, squares = float(np.trace(self.scatter)), float(np.vdot(self.scatter, self.scatter))
        return ledoit_wolf(self.n, len(self.mean), trace, squares, self.fourths)


def ledoit_wolf(n: int, d: int, trace: float, squares: float, fourths: float) -> float:
    """The share a of the optimal ``(1 - a) S + a (tr S / d) I``, S the covariance with divisor n.

    With m = tr S / d it is ``min(1, b / delta)``, ``delta = |S|^2 - d m^2`` and ``b = (1/n) ((1/n) sum |z|^4 - |S|^2)``
    in Frobenius norms (Ledoit and Wolf, Journal of Multivariate Analysis 2004): S is shrunk by as much as it is noise.
    It is 0 where S is a multiple of I already, as it is for one feature.

    Args:
        n: samples.
        d: features.
        trace: of the scatter n S.
        squares: squared Frobenius norm of the scatter.
        fourths: ``sum |z|^4``.

    Returns:
        The share, in [0, 1].

    Example:
        >>> totals = measure_totals(np.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]]))
        >>> round(totals.shrinkage, 4)
        0.9444
    """
    delta = squares / n**2 - (trace / n) ** 2 / d
    noise = (fourths - squares / n) / n**2
    # Below the rounding of the difference, S is m I.
    if d == 1 or noise <= 0 or delta <= np.finfo(np.float64).eps * squares / n**2:
        return 0.0
    return min(1.0, noise / delta)


@dataclass(frozen=True, kw_only=True, eq=False)
class Mean:
    """A mean, as ``Totals`` keeps it.

    Attributes:
        n: samples.
        origin: (d,) one of the samples.
        offset: (d,) mean less origin.
    """

    n: int
    origin: Floats
    offset: Floats

    @property
    def value(self) -> Floats:
        """(d,)."""
        return self.origin + self.offset


def absorb_mean(features: FeatureRows, mean: Mean | None, index: Indices) -> Mean:
    """A mean with the samples at ``index`` more; theirs alone where there is none."""
    more = _measure_mean(chosen_rows(features, index))
    if mean is None:
        return more
    apart = (more.origin - mean.origin) + (more.offset - mean.offset)
    n = mean.n + more.n
    return Mean(n=n, origin=mean.origin, offset=mean.offset + apart * (more.n / n))


def _measure_mean(features: FeatureRows) -> Mean:
    """The mean of these samples."""
    n, origin, sums = len(features), features[0].copy(), np.zeros(features.shape[1])
    for block in row_blocks(features, nbytes=CACHED):
        sums += (block - origin).sum(axis=0)
    return Mean(n=n, origin=origin, offset=sums / n)


def absorb_totals(features: FeatureRows, totals: Totals | None, index: Indices) -> Totals:
    """Totals with the samples at ``index`` more; theirs alone where there are none."""
    more = measure_totals(features, index)
    return more if totals is None else merge_totals(totals, more)


def measure_totals(features: FeatureRows, at: Indices | None = None) -> Totals:
    """The sums of these samples (n, d), n >= 1; two passes, so that a large mean costs no digits.

    Of a constant column, whatever its value, all sums are exactly 0.

    Args:
        features: (n, d).
        at: positions of the samples that are taken, which are not all copied at once; all without.

    Example:
        >>> totals = measure_totals(1e6 + np.array([[0.0], [1.0], [5.0]]))
        >>> totals.n, totals.mean.tolist(), totals.scatter.tolist(), totals.cubes.tolist(), totals.fourths
        (3, [1000002.0], [[14.0]], [18.0], 98.0)
    """
    features = features if at is None else chosen_rows(features, at)
    mean, d = _measure_mean(features), features.shape[1]
    n, origin, centre = mean.n, mean.origin, mean.value
    sums, scatter, fourths = np.zeros((2, d)), np.zeros((d, d)), 0.0
    for block in row_blocks(features, nbytes=MULTIPLIED):
        z = block - centre
        squares = np.einsum("ij,ij->i", z, z)
        scatter += z.T @ z
        sums += np.stack([np.ones(len(z)), squares]) @ z
        fourths += float(squares @ squares)
    first, cubes = sums
    about_centre = Totals(n=n, origin=origin, offset=centre - origin, scatter=scatter, cubes=cubes, fourths=fourths)
    # The centre is rounded; what is left of the mean is taken out of every order.
    shift = first / n
    cubes, fourths = _moved(about_centre, first, shift)
    cross = np.outer(shift, first)
    scatter = scatter - cross - cross.T + n * np.outer(shift, shift)
    return Totals(n=n, origin=origin, offset=about_centre.offset + shift, scatter=scatter, cubes=cubes, fourths=fourths)


def merge_totals(a: Totals, b: Totals) -> Totals:
    """The sums of both sets of samples together: Chan, Golub and LeVeque's update (1979), carried on to fourth order.

    Associative and commutative to rounding.
    """
    n = a.n + b.n
    apart = (b.origin - a.origin) + (b.offset - a.offset)
    none, to_left = np.zeros_like(apart), apart * (b.n / n)
    left, right = _moved(a, none, to_left), _moved(b, none, -apart * (a.n / n))
    scatter = np.outer(apart, apart * (a.n * (b.n / n)))
    scatter += a.scatter + b.scatter
    return Totals(
        n=n,
        origin=a.origin,
        offset=a.offset + to_left,
        scatter=scatter,
        cubes=left[0] + right[0],
        fourths=left[1] + right[1],
    )


def _moved(sums: Totals, first: Floats, shift: Floats) -> tuple[Floats, float]:
    """Cubes and fourths about a reference r, with first sum ``sum (x - r)``, as those about ``r + shift``."""
    n, trace = sums.n, float(np.trace(sums.scatter))
    length, along, turned = float(shift @ shift), float(shift @ first), sums.scatter @ shift
    cubes = sums.cubes - trace * shift - 2 * turned + 2 * along * shift + length * first - n * length * shift
    fourths = (
        sums.fourths
        - 4 * float(shift @ sums.cubes)
        + 4 * float(shift @ turned)
        + 2 * length * trace
        - 4 * length * along
        + n * length**2
    )
    return cubes, fourths
