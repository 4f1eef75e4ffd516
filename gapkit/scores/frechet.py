"""Frechet distance: two samples as Gaussians, and the squared 2-Wasserstein distance of these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gapkit.arrays import Array, Floats
from gapkit.scores.checks import check_pair, check_sizes
from gapkit.scores.inputs import PairInputs
from gapkit.statistics.stacked import ChosenRows, FeatureRows, row_blocks
from gapkit.types import Traits

LEAST_ROWS, ROWS_PER_FEATURE = 1024, 4
"""Of the rows that a triangle takes in at once."""


def frechet_distance(x: Array, y: Array) -> float:
    """``|m1 - m2|^2 + tr (C1 + C2 - 2 (C1 C2)^(1/2))``, with unbiased covariances (divisor n - 1).

    The squared 2-Wasserstein distance of two Gaussians: Dowson and Landau, Journal of Multivariate Analysis 1982; on
    features of a network, Heusel, Ramsauer, Unterthiner, Nessler and Hochreiter, NeurIPS 2017. Its unit is that of the
    features, squared. Exact for any rank, also n < d: with triangles ``C = R' R``, the trace of the root is the sum of
    the singular values of ``R1 R2'``. A root by scipy's ``sqrtm``, as in the paper's code, needs a ridge of 1e-6 where
    the rank is not full, and the covariances themselves, in which small variances have lost half of their digits.

    It grows from 0 as samples get smaller, also where both come from one distribution: read it beside its noise floor.
    O((n + m) d^2 + d^3) time, O(d^2) memory beyond the features.

    Args:
        x: (n, d), n >= 2.
        y: (m, d), m >= 2.

    Raises:
        DataError: no samples of the same features.
        UndefinedError: fewer than two samples of a side.

    Example:
        >>> x = np.array([[-1.0], [1.0]])
        >>> round(frechet_distance(x, 2 * x + 3), 12)
        11.0
    """
    first, second = check_pair(x, y)
    return Frechet().between(PairInputs(target=first, surrogate=second))


@dataclass(frozen=True, kw_only=True)
class Frechet:
    """The Frechet distance."""

    traits: ClassVar[Traits] = Traits(
        name="frechet_distance",
        title="Frechet distance",
        formula="|m1 - m2|^2 + tr (C1 + C2 - 2 (C1 C2)^(1/2))",
        paper="Dowson and Landau, Journal of Multivariate Analysis 1982; Heusel et al., NeurIPS 2017",
        needs=("features", "surrogate"),
        lowest=0.0,
        highest=None,
        better="lower",
        conditional=False,
        unit="squared units of the features",
        invariant=("sample_order", "shift", "orthogonal"),
        symmetric=True,
        tasks=("classification", "regression", "multilabel"),
        cost="O((n + m) d^2 + d^3)",
        avoids="sqrtm with a ridge that is added where the rank is not full; complex roots cut to their real part",
    )

    def between(self, pair: PairInputs) -> float:
        """The distance.

        Raises:
            UndefinedError: fewer than two samples of a side.
        """
        return pair.in_features_units(_frechet(pair.target, pair.surrogate), squared=True)


def _frechet(x: FeatureRows, y: Floats | ChosenRows) -> float:
    """The distance of features that have been checked."""
    check_sizes(x, y, name="a covariance")
    origin = x[0]
    first_mean, second_mean = _mean(x, origin), _mean(y, origin)
    apart = float(np.square(first_mean - second_mean).sum())
    first, second = _triangle(x, origin + first_mean), _triangle(y, origin + second_mean)
    overlap = float(np.linalg.svd(first @ second.T, compute_uv=False).sum())
    # Never negative but for rounding: of equal covariances, 1e-15 of their trace may be left over.
    spread = max(float(np.square(first).sum() + np.square(second).sum()) - 2 * overlap, 0.0)
    return apart + spread


def _mean(x: FeatureRows, origin: Floats) -> Floats:
    """The mean (d,) less the origin: of features that lie far from 0, only differences keep their digits."""
    return np.sum([(block - origin).sum(axis=0) for block in row_blocks(x)], axis=0) / len(x)


def _triangle(x: FeatureRows, mean: Floats) -> Floats:
    """R (at most min(n, d) rows, d) with ``R' R`` the unbiased covariance, by QR of some rows after the others.

    Nothing is squared, so that the smallest variances keep their digits.
    """
    n, n_features = x.shape
    triangle = np.zeros((0, n_features))
    step = max(LEAST_ROWS, ROWS_PER_FEATURE * n_features)
    for start in range(0, n, step):
        stacked = np.vstack([triangle, x[start : start + step] - mean])
        triangle = np.linalg.qr(stacked, mode="r") if len(stacked) > n_features else stacked
    return triangle / np.sqrt(n - 1)
