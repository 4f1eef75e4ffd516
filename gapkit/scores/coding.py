"""Coding rates: the log-determinants of ``I + Z'Z / (n epsilon)``, at any rank and scale."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from scipy.linalg import blas, lapack  # pyright: ignore[reportMissingTypeStubs]

from gapkit.arrays import Floats, Indices, spans
from gapkit.statistics.centred import CentredRows
from gapkit.statistics.spectrum import ROUNDING
from gapkit.statistics.stacked import HELD

SMALL = 1e-4
"""Trace below which the 1 that is added would take the digits of the eigenvalues."""
TRUSTED = 1e-8
"""Relative error of a pivot up to which a Cholesky factor's log-determinant is taken."""


def coding_rate(centred: Floats, epsilon: float) -> float:
    """``1/2 log |I + Z'Z / (n epsilon)|`` of Z (n, d), by the smaller of its two Gram matrices.

    Example:
        >>> round(coding_rate(np.array([[3.0, 4.0]]), 1.0), 6) == round(0.5 * float(np.log(26)), 6)
        True
    """
    n, d = centred.shape
    if d == 0:
        return 0.0
    # BLAS counts in Fortran's order, in which Z is Z'; one triangle is enough.
    return rate_of(cast("Any", blas).dsyrk(1 / (n * epsilon), centred.T, trans=int(n <= d), lower=1))


def rate_of_rows(rows: CentredRows, index: Indices, epsilon: float) -> float:
    """The coding rate of the rows (n, d) at some positions, of which no more than ``HELD`` bytes are copied at once."""
    n, d = len(index), rows.rows.shape[1]
    if n <= d or rows.rows.itemsize * n * d <= HELD:
        return coding_rate(rows.take(index), epsilon)
    gram, scale = np.zeros((d, d), order="F"), 1 / (n * epsilon)
    for span in spans(n, rows.rows.itemsize * d, HELD // 2):
        part = rows.take(index[span])
        gram = cast("Any", blas).dsyrk(scale, part.T, beta=1.0, c=gram, lower=1, overwrite_c=1)
    return rate_of(gram)


def rate_of(gram: Floats) -> float:
    """The coding rate from the lower triangle of ``Z Z' / (n epsilon)`` or ``Z'Z / (n epsilon)``, overwritten.

    Example:
        >>> round(rate_of(np.diag([3.0, 0.0])), 6) == round(float(np.log(2)), 6)
        True
    """
    trace = float(np.trace(gram))
    if trace < SMALL:
        return 0.5 * float(np.log1p(np.maximum(np.linalg.eigvalsh(gram), 0.0)).sum())
    gram[np.diag_indices(len(gram))] += 1
    pivots = cholesky(gram)[1]
    if trusted(pivots, trace):
        return 0.5 * float(np.log(pivots).sum())
    # Directions without variance, next to others of so much that their rounding would be coded.
    values = np.linalg.eigvalsh(gram) - 1
    return 0.5 * float(np.log1p(values[values > ROUNDING * trace]).sum())


def cholesky(matrix: Floats) -> tuple[Floats, Floats]:
    """The lower factor (m, m), with anything above its diagonal, of a lower triangle, and its squared diagonal (m,).

    The diagonal is 0 where the matrix is not positive.

    Example:
        >>> cholesky(np.array([[4.0, np.nan], [2.0, 10.0]]))[1].tolist(), cholesky(np.zeros((1, 1)))[1].tolist()
        ([4.0, 9.0], [0.0])
    """
    factor, failed = cast("Any", lapack).dpotrf(matrix, lower=1, clean=0)
    return factor, np.zeros(len(matrix)) if failed else np.square(np.diag(factor))


def trusted(pivots: Floats, trace: float) -> bool:
    """Whether rounding of a Gram matrix of this trace leaves the digits of the pivots of I and it."""
    return ROUNDING * trace <= TRUSTED * float(pivots.min(initial=1.0))
