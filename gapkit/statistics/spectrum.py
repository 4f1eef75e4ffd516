"""Principal axes of features, found once and then asked by every labelling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from gapkit.arrays import Features, Floats, Labels
from gapkit.statistics.axes import Axes, dense_axes, reflected_axes
from gapkit.statistics.centred import CentredRows
from gapkit.statistics.mapped import MappedRows
from gapkit.statistics.stacked import FeatureRows
from gapkit.statistics.totals import Totals, ledoit_wolf, measure_totals

ROUNDING = 16 * 2.0**-52
"""Of float64, with a margin for the sums in a product."""


def tolerance(n: int, d: int) -> float:
    """Share of the largest eigenvalue, or of a column's own variance, below which it is rounding of an (n, d) product.

    Example:
        >>> tolerance(1000, 10) < 1e-11
        True
    """
    return ROUNDING * max(n, d)


@dataclass(frozen=True, kw_only=True, eq=False)
class Spectrum:
    """Principal axes of centred features ``Z = U diag(s) V'`` (n, d), those of rank k <= min(n - 1, d).

    In coordinates of its axes ``Z`` is ``points basis``. Where n > d, points are the centred features themselves
    and the basis is V, from the d x d scatter; directions whose variance is below ``tolerance`` of the largest are no
    directions. Where n <= d, points are U diag(s) already, from a singular value decomposition, which does not square
    the condition of the features: rank and coordinates are then exact.

    Attributes:
        n: samples.
        d: features.
        values: (k,) s^2, eigenvalues of the scatter, descending; all positive.
        points: (n, r).
        axes: k of r dimensions; None for the identity, r = k.
        mean_inside: (k,) the mean of the features, in coordinates of the axes.
        mean_outside: length of the part of the mean that no axis holds.
        fourths: ``sum |z|^4``.
    """

    n: int
    d: int
    values: Floats
    points: CentredRows
    axes: Axes | None
    mean_inside: Floats
    mean_outside: float
    fourths: float
    _latest: list[tuple[Floats, Floats]] = field(default_factory=list[tuple[Floats, Floats]], init=False, repr=False)

    @property
    def shrinkage(self) -> float:
        """Ledoit and Wolf's share for the covariance."""
        squares = float(self.values @ self.values)
        return ledoit_wolf(self.n, self.d, float(self.values.sum()), squares, self.fourths)

    def coordinates(self, count: int) -> Floats:
        """Coordinates of the samples on the first axes, (n, min(count, k))."""
        if self.axes is None:
            return np.asarray(self.points.rows)[:, :count]
        return self.points.onto(self._first(self.axes, count))

    def mapped(self, count: int, scale: float = 1.0) -> MappedRows:
        """Coordinates on the first axes over a scale, which are not all held where they are many."""
        if self.axes is None:
            rows = np.asarray(self.points.rows)[:, :count]
            return MappedRows(rows=rows, width=rows.shape[1], function=None if scale == 1 else lambda z: z / scale)
        centre, basis = self.points.centre, self._first(self.axes, count) / scale
        return MappedRows(
            rows=self.points.rows,
            width=basis.shape[1],
            function=lambda x: (x if centre is None else x - centre) @ basis,
        )

    def class_sums(self, codes: Labels, n_classes: int) -> Floats:
        """Sums of the coordinates of each class (K, k), not to be written to; those of the latest codes are kept."""
        sums = self.points.class_sums(codes, n_classes)
        if self.axes is None:
            return sums
        for given, turned in self._latest:
            if given is sums:
                return turned
        turned = self.axes.turn(sums)
        turned.flags.writeable = False
        self._latest[:] = [(sums, turned)]
        return turned

    def products(self, targets: Floats) -> Floats:
        """``T'Z`` in coordinates of the axes, (m, k), of centred targets T (n, m)."""
        found = self.points.products(targets)
        return found if self.axes is None else self.axes.turn(found)

    def _first(self, axes: Axes, count: int) -> Floats:
        """The first axes as columns (d, min(count, k))."""
        return axes.back(np.eye(min(count, len(self.values)))).T


def find_spectrum(
    features: FeatureRows, totals: Totals | None = None, points: CentredRows | None = None, *, few: bool = False
) -> Spectrum:
    """The spectrum of (n, d): O(n d^2 + d^3) where n > d, O(n^2 d) elsewhere.

    Args:
        features: (n, d).
        totals: of these features, where they have been measured before.
        points: these features less their mean, where others share what it keeps.
        few: whether a few labellings are asked for only, so that axes are not worth a matrix; they may then point
            either way.

    Example:
        >>> spectrum = find_spectrum(np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]))
        >>> spectrum.values.round(9).tolist(), spectrum.mean_inside.round(6).tolist(), round(spectrum.mean_outside, 9)
        ([4.0], [2.828427], 0.0)
    """
    n, d = features.shape
    if n <= d:
        return _from_rows(np.asarray(features))
    totals = totals or measure_totals(features)
    points = points or CentredRows(rows=features, centre=totals.mean)
    return _from_scatter(totals, points, reflected_axes if few else dense_axes)


def _from_scatter(
    totals: Totals, points: CentredRows, find: Callable[[Floats, float], tuple[Floats, Axes]]
) -> Spectrum:
    """By the scatter's eigenvectors."""
    n, d = points.rows.shape
    values, axes = find(totals.scatter, tolerance(n, d))
    (inside,) = axes.turn(totals.mean[None])
    (seen,) = axes.back(inside[None])
    return Spectrum(
        n=n,
        d=d,
        values=values,
        points=points,
        axes=axes,
        mean_inside=inside,
        mean_outside=0.0 if len(values) == d else _outside(totals.mean, seen, n),
        fourths=totals.fourths,
    )


def _from_rows(features: Features) -> Spectrum:
    """By the singular vectors of the samples, of which there are at most d."""
    n, d = features.shape
    # Without the first sample, constant columns would keep the rounding of their mean.
    centred = features - features[0]
    shift = centred.mean(axis=0)
    centred -= shift
    left, lengths, right = np.linalg.svd(centred, full_matrices=False)
    kept = lengths > tolerance(n, d) * lengths[0]
    rows, basis, mean = left[:, kept] * lengths[kept], right[kept].T, features[0] + shift
    inside = mean @ basis
    return Spectrum(
        n=n,
        d=d,
        values=np.square(lengths[kept]),
        points=CentredRows(rows=rows),
        axes=None,
        mean_inside=inside,
        mean_outside=0.0 if len(inside) == d else _outside(mean, basis @ inside, n),
        fourths=float(np.square(np.square(rows).sum(axis=1)).sum()),
    )


def _outside(mean: Floats, seen: Floats, n: int) -> float:
    """Length of the mean less its part on the axes; exactly 0 where that is rounding."""
    length = float(np.linalg.norm(mean - seen))
    return 0.0 if length <= tolerance(n, len(mean)) * float(np.linalg.norm(mean)) else length
