"""Features with uncorrelated columns of unit length, whatever the scale of each column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from scipy import linalg  # pyright: ignore[reportMissingTypeStubs]

from gapkit.arrays import Features, Floats, Indices, Labels
from gapkit.statistics.class_sums import class_sums
from gapkit.statistics.spectrum import tolerance
from gapkit.statistics.totals import Totals

_SCIPY = cast("Any", linalg)  # has no types


@dataclass(frozen=True, kw_only=True, eq=False)
class Whitening:
    """An orthonormal basis Q (n, r) of the columns of centred features, as ``(rows - centre)[:, columns] L'^-1``.

    Attributes:
        rows: (n, d) features, or (n, r) Q itself where n <= d.
        centre: (d,) or (r,).
        columns: (r,) that the others are linear combinations of.
        factor: (r, r) lower triangle L; None where rows are Q.
    """

    rows: Features
    centre: Floats
    columns: Indices
    factor: Floats | None

    def class_sums(self, codes: Labels, n_classes: int) -> Floats:
        """Sums of the rows of Q of each class, (K, r)."""
        if self.factor is None:
            return class_sums(self.rows, codes, n_classes)
        sums = class_sums(self.rows, codes, n_classes, self.centre)[:, self.columns]
        solved: Floats = _SCIPY.solve_triangular(self.factor, sums.T, lower=True, check_finite=False)
        return solved.T


def find_whitening(features: Features, totals: Totals | None) -> Whitening:
    """The basis, by a pivoted Cholesky factor of the correlations where n > d, else by a singular value decomposition.

    Columns are scaled to unit length first, so that no column is too small to count. A column is a combination of
    others where less than ``tolerance`` of its variance is left. The columns that remain span the same space, so that
    the pseudo-inverse of the covariance is not needed.

    Args:
        features: (n, d).
        totals: of these features; read where n > d.

    Example:
        >>> from gapkit.statistics.totals import measure_totals
        >>> features = np.array([[0.0, 0.0], [1.0, 2.0], [5.0, 10.0]])
        >>> len(find_whitening(features, measure_totals(features)).columns)
        1
    """
    if totals is None or len(features) <= features.shape[1]:
        return _from_rows(features)
    lengths = np.sqrt(np.diag(totals.scatter))
    varying = np.flatnonzero(totals.varying)
    scale = lengths[varying]
    correlations = totals.scatter[np.ix_(varying, varying)] / scale / scale[:, None]
    if not len(varying):
        return Whitening(rows=features, centre=totals.mean, columns=varying, factor=np.zeros((0, 0)))
    factor, order, rank, _ = _SCIPY.lapack.dpstrf(correlations, tol=tolerance(*features.shape), lower=1)
    columns: Indices = order[:rank].astype(np.int64) - 1
    lower: Floats = np.tril(factor[:rank, :rank]) * scale[columns][:, None]
    return Whitening(rows=features, centre=totals.mean, columns=varying[columns], factor=lower)


def _from_rows(features: Features) -> Whitening:
    """By the left singular vectors of scaled columns."""
    centred = features - features[0]
    centred -= centred.mean(axis=0)
    lengths = np.sqrt(np.square(centred).sum(axis=0))
    centred /= np.where(lengths > 0, lengths, 1.0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    rows = left[:, values > tolerance(*features.shape) * values[0]]
    rank = len(rows[0])
    return Whitening(rows=rows, centre=np.zeros(rank), columns=np.arange(rank), factor=None)
