"""Features with uncorrelated columns of unit length, whatever the scale of each column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from scipy import linalg  # pyright: ignore[reportMissingTypeStubs]

from gapkit.arrays import Features, Floats, Indices, Labels
from gapkit.statistics.centred import CentredRows
from gapkit.statistics.spectrum import tolerance
from gapkit.statistics.stacked import FeatureRows
from gapkit.statistics.totals import Totals, measure_totals


@dataclass(frozen=True, kw_only=True, eq=False)
class Whitening:
    """An orthonormal basis Q (n, r) of the columns of centred features, as ``points[:, columns] L'^-1``.

    Attributes:
        points: (n, d) centred features, or (n, r) Q itself where n <= d.
        columns: (r,) that the others are linear combinations of.
        factor: (r, r) lower triangle L; None where points are Q.
    """

    points: CentredRows
    columns: Indices
    factor: Floats | None

    def class_sums(self, codes: Labels, n_classes: int) -> Floats:
        """Sums of the rows of Q of each class (K, r), not to be written to."""
        sums = self.points.class_sums(codes, n_classes)
        if self.factor is None:
            return sums
        solve = cast("Any", linalg).solve_triangular
        solved: Floats = solve(self.factor, sums[:, self.columns].T, lower=True, check_finite=False)
        return solved.T


def find_whitening(features: FeatureRows, totals: Totals | None = None, points: CentredRows | None = None) -> Whitening:
    """The basis, by a pivoted Cholesky factor of the correlations where n > d, else by a singular value decomposition.

    Columns are scaled to unit length first, so that no column is too small to count. A column is a combination of
    others where less than ``tolerance`` of its variance is left. The columns that remain span the same space, so that
    the pseudo-inverse of the covariance is not needed.

    Args:
        features: (n, d).
        totals: of these features, where they have been measured before.
        points: these features less their mean, where others share what it keeps.

    Example:
        >>> features = np.array([[0.0, 0.0], [1.0, 2.0], [5.0, 10.0]])
        >>> len(find_whitening(features).columns)
        1
    """
    if len(features) <= features.shape[1]:
        return _from_rows(np.asarray(features))
    totals = totals or measure_totals(features)
    points = points or CentredRows(rows=features, centre=totals.mean)
    varying = np.flatnonzero(totals.varying)
    if not len(varying):
        return Whitening(points=points, columns=varying, factor=np.zeros((0, 0)))
    scale = np.sqrt(np.diag(totals.scatter))[varying]
    correlations = totals.scatter[np.ix_(varying, varying)] / scale / scale[:, None]
    pivoted_cholesky = cast("Any", linalg).lapack.dpstrf
    factor, order, rank, _ = pivoted_cholesky(correlations, tol=tolerance(*features.shape), lower=1)
    columns: Indices = order[:rank].astype(np.int64) - 1
    lower: Floats = np.tril(factor[:rank, :rank]) * scale[columns][:, None]
    return Whitening(points=points, columns=varying[columns], factor=lower)


def _from_rows(features: Features) -> Whitening:
    """By the left singular vectors of scaled columns."""
    centred = features - features[0]
    centred -= centred.mean(axis=0)
    lengths = np.sqrt(np.square(centred).sum(axis=0))
    centred /= np.where(lengths > 0, lengths, 1.0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    rows = left[:, values > tolerance(*features.shape) * values[0]]
    rank = len(rows[0])
    return Whitening(points=CentredRows(rows=rows), columns=np.arange(rank), factor=None)
