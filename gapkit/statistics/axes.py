"""Principal axes of a scatter: as a matrix, or for a few vectors as the reflections that they are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
from scipy.linalg import lapack  # pyright: ignore[reportMissingTypeStubs]

from gapkit.arrays import Floats, Mask

BLOCK = 64
"""Of LAPACK's blocked algorithms, for their work space."""


@runtime_checkable
class Axes(Protocol):
    """k orthonormal axes of d dimensions."""

    def turn(self, rows: Floats) -> Floats:
        """Rows (m, d) in coordinates of the axes, (m, k)."""
        ...

    def back(self, rows: Floats) -> Floats:
        """Coordinates (m, c) on the first c axes as rows (m, d)."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class DenseAxes:
    """Axes as a matrix.

    Attributes:
        matrix: (d, k).
    """

    matrix: Floats

    def turn(self, rows: Floats) -> Floats:
        """Rows (m, d) in coordinates of the axes, (m, k)."""
        return rows @ self.matrix

    def back(self, rows: Floats) -> Floats:
        """Coordinates (m, c) on the first c axes as rows (m, d)."""
        return rows @ self.matrix[:, : rows.shape[1]].T


@dataclass(frozen=True, kw_only=True, eq=False)
class ReflectedAxes:
    """Axes ``Q V``: reflections Q that make a matrix tridiagonal, and eigenvectors V of what they make of it.

    To multiply Q and V costs as much as to find either.

    Attributes:
        reflectors: (d - 1, d - 1) as LAPACK's sytrd leaves them below the diagonal, in Fortran's order.
        factors: (d - 1,) of the reflections.
        vectors: (d, k) V.
    """

    reflectors: Floats
    factors: Floats
    vectors: Floats

    def turn(self, rows: Floats) -> Floats:
        """Rows (m, d) in coordinates of the axes, (m, k)."""
        return self._reflect(rows, "T") @ self.vectors

    def back(self, rows: Floats) -> Floats:
        """Coordinates (m, c) on the first c axes as rows (m, d)."""
        return self._reflect(rows @ self.vectors[:, : rows.shape[1]].T, "N")

    def _reflect(self, rows: Floats, way: str) -> Floats:
        """Q'x or Q x of rows x (m, d); Q leaves the first coordinate alone."""
        found = rows.copy()
        if len(rows):
            work = BLOCK * max(BLOCK, len(rows))
            apply = cast("Any", lapack).dormqr
            turned, *_ = apply("L", way, self.reflectors, self.factors, rows[:, 1:].T, work)
            found[:, 1:] = turned.T
        return found


def dense_axes(scatter: Floats, share: float) -> tuple[Floats, DenseAxes]:
    """Eigenvalues (k,) of a scatter (d, d), descending, and their axes, without those below a share of the largest.

    Each axis points to where its largest entry is positive, whatever the solver left.
    """
    values, basis = np.linalg.eigh(scatter)
    kept = _kept(values, share)
    values, basis = values[kept][::-1], np.ascontiguousarray(basis[:, kept][:, ::-1])
    basis *= np.where(basis[np.abs(basis).argmax(axis=0), np.arange(len(values))] < 0, -1.0, 1.0)
    return np.ascontiguousarray(values), DenseAxes(matrix=basis)


def reflected_axes(scatter: Floats, share: float) -> tuple[Floats, Axes]:
    """As ``dense_axes``, in half of the time; axes may point either way.

    Example:
        >>> values, axes = reflected_axes(np.diag([1.0, 9.0, 0.0]), 1e-12)
        >>> values.round(9).tolist(), np.abs(axes.turn(np.array([[2.0, 3.0, 4.0]]))).round(9).tolist()
        ([9.0, 1.0], [[3.0, 2.0]])
    """
    library: Any = lapack
    if len(scatter) == 1:
        return dense_axes(scatter, share)
    reflectors, diagonal, beside, factors, _ = library.dsytrd(scatter, lower=1, lwork=BLOCK * len(scatter))
    values, vectors, failed = library.dstevd(diagonal, beside)
    if failed:
        return dense_axes(scatter, share)
    kept = _kept(values, share)
    below = np.asfortranarray(reflectors[1:, :-1])
    axes = ReflectedAxes(reflectors=below, factors=factors, vectors=vectors[:, kept][:, ::-1])
    return np.ascontiguousarray(values[kept][::-1]), axes


def _kept(values: Floats, share: float) -> Mask:
    """Ascending eigenvalues that are above a share of the largest."""
    return values > share * max(float(values[-1]), 0.0)
