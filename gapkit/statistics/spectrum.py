"""Principal axes of features, found once and then asked by every labelling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Features, Floats, Labels, blocks
from gapkit.statistics.class_sums import class_sums
from gapkit.statistics.totals import CACHED, Totals, ledoit_wolf, measure_totals

ROUNDING = 16 * float(np.finfo(np.float64).eps)


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

    ``Z`` is ``(rows - centre) basis`` in the coordinates of its axes. Where n > d, rows are the features themselves
    and the basis is V, from the d x d scatter; directions whose variance is below ``tolerance`` of the largest are no
    directions. Where n <= d, rows are U diag(s) already, from a singular value decomposition, which does not square
    the condition of the features: rank and coordinates are then exact.

    Attributes:
        n: samples.
        d: features.
        values: (k,) s^2, eigenvalues of the scatter, descending; all positive.
        rows: (n, r).
        centre: (r,).
        basis: (r, k); None for the identity, r = k.
        mean_inside: (k,) the mean of the features, in coordinates of the axes.
        mean_outside: length of the part of the mean that no axis holds.
        fourths: ``sum |z|^4``.
    """

    n: int
    d: int
    values: Floats
    rows: Features
    centre: Floats
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
            return self.rows[:, :count]
        basis, start = self.basis[:, :count], 0
        turned = np.empty((self.n, basis.shape[1]))
        for block in blocks(self.rows, nbytes=CACHED):
            turned[start : start + len(block)] = (block - self.centre) @ basis
            start += len(block)
        return turned

    def class_sums(self, codes: Labels, n_classes: int) -> Floats:
        """Sums of the coordinates of each class (K, k)."""
        if self.basis is None:
            return class_sums(self.rows, codes, n_classes)
        return class_sums(self.rows, codes, n_classes, self.centre) @ self.basis

    def products(self, targets: Floats) -> Floats:
        """``T'Z`` in coordinates of the axes, (m, k), of centred targets T (n, m)."""
        if self.basis is None:
            return targets.T @ self.rows
        sums, start = np.zeros((targets.shape[1], len(self.centre))), 0
        for block in blocks(self.rows, nbytes=CACHED):
            sums += targets[start : start + len(block)].T @ (block - self.centre)
            start += len(block)
        return sums @ self.basis


def find_spectrum(features: Features, totals: Totals | None = None) -> Spectrum:
    """The spectrum of (n, d): O(n d^2 + d^3) where n > d, O(n^2 d) elsewhere.

    Args:
        features: (n, d).
        totals: of these features, where they have been measured before.

    Example:
        >>> spectrum = find_spectrum(np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]))
        >>> spectrum.values.round(9).tolist(), spectrum.mean_inside.round(6).tolist(), round(spectrum.mean_outside, 9)
        ([4.0], [2.828427], 0.0)
    """
    n, d = features.shape
    return _from_scatter(features, totals or measure_totals(features)) if n > d else _from_rows(features)


def _from_scatter(features: Features, totals: Totals) -> Spectrum:
    """By the scatter's eigenvectors."""
    values, basis = np.linalg.eigh(totals.scatter)
    kept = values > tolerance(*features.shape) * max(float(values[-1]), 0.0)
    values, basis = values[kept][::-1], np.ascontiguousarray(basis[:, kept][:, ::-1])
    # Each axis points to where its largest entry is positive, whatever the solver left.
    basis *= np.where(basis[np.abs(basis).argmax(axis=0), np.arange(len(values))] < 0, -1.0, 1.0)
    inside = totals.mean @ basis
    return Spectrum(
        n=totals.n,
        d=features.shape[1],
        values=np.ascontiguousarray(values),
        rows=features,
        centre=totals.mean,
        basis=basis,
        mean_inside=inside,
        mean_outside=_outside(totals.mean, basis, inside, totals.n),
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
        rows=rows,
        centre=np.zeros(len(inside)),
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
