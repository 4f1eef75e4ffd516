"""Principal axes of features, found once and then asked by every labelling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Features, Floats, Labels
from gapkit.statistics.centred import CentredRows
from gapkit.statistics.mapped import MappedRows
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
        basis: (r, k); None for the identity, r = k.
        mean_inside: (k,) the mean of the features, in coordinates of the axes.
        mean_outside: length of the part of the mean that no axis holds.
        fourths: ``sum |z|^4``.
    """

    n: int
    d: int
    values: Floats
    points: CentredRows
    basis: Floats | None
    mean_inside: Floats
    mean_outside: float
    fourths: float

    @property
    def shrinkage(self) -> float:
        """Ledoit and Wolf's share for the covariance."""
        squares = float(self.values @ self.values)
        return ledoit_wolf(self.n, self.d, float(self.values.sum()), squares, self.fourths)

    def coordinates(self, count: int) -> Floats:
        """Coordinates of the samples on the first axes, (n, min(count, k))."""
        if self.basis is None:
            return self.points.rows[:, :count]
        return self.points.onto(self.basis[:, :count])

    def mapped(self, count: int, scale: float = 1.0) -> MappedRows:
        """Coordinates on the first axes over a scale, which are not all held where they are many."""
        if self.basis is None:
            rows = self.points.rows[:, :count]
            return MappedRows(rows=rows, width=rows.shape[1], function=None if scale == 1 else lambda z: z / scale)
        centre, basis = self.points.centre, self.basis[:, :count] / scale
        return MappedRows(
            rows=self.points.rows,
            width=basis.shape[1],
            function=lambda x: (x if centre is None else x - centre) @ basis,
        )

    def class_sums(self, codes: Labels, n_classes: int) -> Floats:
        """Sums of the coordinates of each class (K, k), not to be written to."""
        sums = self.points.class_sums(codes, n_classes)
        return sums if self.basis is None else sums @ self.basis

    def products(self, targets: Floats) -> Floats:
        """``T'Z`` in coordinates of the axes, (m, k), of centred targets T (n, m)."""
        found = self.points.products(targets)
        return found if self.basis is None else found @ self.basis


def find_spectrum(features: Features, totals: Totals | None = None, points: CentredRows | None = None) -> Spectrum:
    """The spectrum of (n, d): O(n d^2 + d^3) where n > d, O(n^2 d) elsewhere.

    Args:
        features: (n, d).
        totals: of these features, where they have been measured before.
        points: these features less their mean, where others share what it keeps.

    Example:
        >>> spectrum = find_spectrum(np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]))
        >>> spectrum.values.round(9).tolist(), spectrum.mean_inside.round(6).tolist(), round(spectrum.mean_outside, 9)
        ([4.0], [2.828427], 0.0)
    """
    n, d = features.shape
    if n <= d:
        return _from_rows(features)
    totals = totals or measure_totals(features)
    return _from_scatter(totals, points or CentredRows(rows=features, centre=totals.mean))


def _from_scatter(totals: Totals, points: CentredRows) -> Spectrum:
    """By the scatter's eigenvectors."""
    n, d = points.rows.shape
    values, basis = np.linalg.eigh(totals.scatter)
    kept = values > tolerance(n, d) * max(float(values[-1]), 0.0)
    values, basis = values[kept][::-1], np.ascontiguousarray(basis[:, kept][:, ::-1])
    # Each axis points to where its largest entry is positive, whatever the solver left.
    basis *= np.where(basis[np.abs(basis).argmax(axis=0), np.arange(len(values))] < 0, -1.0, 1.0)
    inside = totals.mean @ basis
    return Spectrum(
        n=n,
        d=d,
        values=np.ascontiguousarray(values),
        points=points,
        basis=basis,
        mean_inside=inside,
        mean_outside=_outside(totals.mean, basis, inside, n),
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
        basis=None,
        mean_inside=inside,
        mean_outside=_outside(mean, basis, inside, n),
        fourths=float(np.square(np.square(rows).sum(axis=1)).sum()),
    )


def _outside(mean: Floats, basis: Floats, inside: Floats, n: int) -> float:
    """Length of the mean less its part on the axes; exactly 0 where that is rounding or the axes are complete."""
    d, k = basis.shape
    length = float(np.linalg.norm(mean - basis @ inside))
    return 0.0 if k == d or length <= tolerance(n, d) * float(np.linalg.norm(mean)) else length
