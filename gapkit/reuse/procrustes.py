"""Procrustes distance: what is left between two layers when one is turned onto the other as well as can be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gapkit.arrays import Array, Floats
from gapkit.reuse.paired import centre, check_paired, narrow
from gapkit.types import Traits

NEAR = 1e-4
"""1 less the nuclear norm below which the distance is taken from residuals: ``2 - 2 |X'Y|_*`` has lost its digits."""
LEADING = 1e-6
"""Share of the largest singular value down to which singular vectors are certain enough for the residual."""
MOST_ROUNDS = 8
"""Each takes directions 1000 times smaller, so that five reach the rounding of the features."""
ROUNDING = 1e-14
"""Of a distance, or of the square of one that is larger."""


def procrustes(x: Array, y: Array, *, angular: bool = False) -> float:
    """``min_Q |X - Y Q|_F = sqrt(2 - 2 |X'Y|_*)`` of centred features with Frobenius norm 1, Q orthogonal.

    ``|.|_*`` is the nuclear norm. In [0, sqrt 2], without unit, lower for layers that are more alike, 0 for layers
    equal up to shift, orthogonal map and scale (Ding et al., NeurIPS 2021). Where widths differ, the narrower layer is
    filled up with zeros, which changes nothing in the nuclear norm. Angular it is ``arccos |X'Y|_*`` in [0, pi/2], the
    length of the arc (Williams et al., NeurIPS 2021). Both are metrics. Independent features are the nearer to each
    other, the wider they are: white ones are at a small distance where d is far above n.

    Near 0 the difference under the root has no digits left (1e-16 of it is 1e-8 of the distance): there the
    distance is the norm of the residual itself, with directions of little variance aligned after the others. Its error
    is about 1e-13.

    Args:
        x: (n, d), n >= 2.
        y: (n, d') of the same samples.
        angular: whether to return the angle.

    Raises:
        DataError: arrays that cannot be used.
        UndefinedError: fewer than two samples, or constant features.

    Example:
        >>> x = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        >>> round(procrustes(x, x[:, :1]) ** 2, 6), round(2 - 2**0.5, 6), round(procrustes(x, x[:, ::-1]), 9)
        (0.585786, 0.585786, 0.0)
    """
    first, second = check_paired(x, y, least=2, measure="Procrustes")
    distance = _distance(narrow(centre(first, "x")), narrow(centre(second, "y")))
    return float(2 * np.arcsin(distance / 2)) if angular else distance


@dataclass(frozen=True, kw_only=True)
class Procrustes:
    """``procrustes`` with its traits."""

    traits: ClassVar[Traits] = Traits(
        name="procrustes",
        title="Procrustes",
        formula="sqrt(2 - 2 |X'Y|_*), X and Y centred, with Frobenius norm 1",
        paper="Ding et al., NeurIPS 2021; Williams et al., NeurIPS 2021",
        needs=("paired_features",),
        lowest=0.0,
        highest=1.4142135623730951,
        better="lower",
        conditional=False,
        invariant=("sample_order", "shift", "orthogonal", "scale"),
        symmetric=True,
        tasks=("classification", "regression", "multilabel"),
        cost="O(n d d' + min(n, d, d')^3)",
        avoids="distances of 1e-8 between equal layers; a name that does not say whether it is an angle",
    )

    def between(self, x: Array, y: Array) -> float:
        """The distance of x (n, d) and y (n, d').

        Raises:
            DataError: arrays that cannot be used.
            UndefinedError: data that do not allow it.
        """
        return procrustes(x, y)


def _distance(x: Floats, y: Floats) -> float:
    """The distance of centred features with norm 1."""
    overlap = float(np.linalg.svd(x.T @ y, compute_uv=False).sum())
    if overlap < 1 - NEAR:
        return float(np.sqrt(2 - 2 * overlap))
    return _residual(x, y)


def _residual(x: Floats, y: Floats) -> float:
    """``|X U - Y V|_F`` with the singular vectors of X'Y, together with what U and V do not hold.

    X'Y squares the condition of the features, so that its small singular values are rounding. Leading directions are
    aligned and taken out of the features, and then the next ones, from products that have digits of their own.
    """
    total = 0.0
    for _ in range(MOST_ROUNDS):
        left, values, right = np.linalg.svd(x.T @ y, full_matrices=False)
        kept = values > LEADING * values[0]
        if not kept.any():
            break
        u, v = left[:, kept], right[kept].T
        first, second = x @ u, y @ v
        total += float(np.square(first - second).sum())
        x, y = x - first @ u.T, y - second @ v.T
        left_over = float(np.square(x).sum()), float(np.square(y).sum())
        # What may still be gained, twice the product of norms, is rounding.
        if np.sqrt(left_over[0] * left_over[1]) <= max(ROUNDING**2, ROUNDING * (total + sum(left_over))):
            break
    return float(np.sqrt(total + np.square(x).sum() + np.square(y).sum()))
