"""Canonical correlations of the principal subspaces of two layers, averaged in two ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gapkit.arrays import Array, Features, Floats
from gapkit.errors import UndefinedError
from gapkit.reuse.paired import check_paired
from gapkit.reuse.principal import Principal, check_energy, find_principal
from gapkit.types import Traits

ENERGY = 0.99


def svcca(x: Array, y: Array, *, energy: float = ENERGY) -> float:
    """Mean canonical correlation of the principal subspaces with 99 % of the variance (Raghu et al., NeurIPS 2017).

    The correlations are the singular values of ``U_x' U_y``, U the leading left singular vectors of centred features: p
    and q of them, min(p, q) correlations. In [0, 1], without unit, higher for layers that are more alike, 1 where one
    subspace holds the other. Every direction that is kept counts alike, whatever its variance. Of independent features
    the mean square is about ``max(p, q) / (n - 1)``, so that values compare only where p, q and n do.

    Deviations from other code: the share is of the variance (squared singular values), and at least one direction is
    kept; some compares a share with the variance itself and keeps one direction of most layers. No epsilon is added
    and nothing is inverted, so that n < d is no obstacle where the energy leaves few directions.

    Args:
        x: (n, d), n >= 3.
        y: (n, d') of the same samples.
        energy: share of the variance that is kept, in (0, 1].

    Raises:
        DataError: arrays that cannot be used.
        OptionError: an energy outside (0, 1].
        UndefinedError: constant features, or p + q > n - 1: some correlations then are 1 for any data.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(100, 3))
        >>> mixed = x @ np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
        >>> round(svcca(x, mixed), 9), svcca(x, np.random.default_rng(1).normal(size=(100, 3))) < 0.25
        (1.0, True)
    """
    first, second = _subspaces(x, y, energy)
    return float(np.minimum(_correlations(first, second)[1], 1.0).mean())


def pwcca(x: Array, y: Array, *, energy: float = ENERGY) -> float:
    """Canonical correlations, weighted by how much of x each accounts for (Morcos et al., NeurIPS 2018).

    ``sum_i w_i rho_i / sum_i w_i`` with ``w_i = sum_j |<h_i, x_j>|``, h_i the canonical variates of x in its principal
    subspace and x_j its features, centred; i runs over the min(p, q) correlations. In [0, 1], without unit, higher for
    layers that are more alike. Directions of little variance in x count little. Asymmetric: the weights are of x.
    The sum over features is of absolute values, so that an orthogonal map of x, though not of y, changes it.

    Deviations from the original code: the variates are of unit length in the kept subspace, ``U_x a_i``, where it
    leaves the whitening out of the weights; x may be wider than y; n > d is not asked for.

    Args:
        x: (n, d), n >= 3.
        y: (n, d') of the same samples.
        energy: share of the variance of either side that is kept, in (0, 1].

    Raises:
        DataError: arrays that cannot be used.
        OptionError: an energy outside (0, 1].
        UndefinedError: constant features, or p + q > n - 1: some correlations then are 1 for any data.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(100, 2)) * np.array([10.0, 1.0])
        >>> y = np.random.default_rng(1).normal(size=(100, 2))
        >>> half = np.column_stack([x[:, 0], y[:, 1]])
        >>> round(svcca(x, half, energy=1), 1), round(pwcca(x, half, energy=1), 1)
        (0.6, 0.9)
    """
    first, second = _subspaces(x, y, energy)
    variates, correlations = _correlations(first, second)
    weights = np.abs(variates.T @ (first.lengths[:, None] * first.right)).sum(axis=1)
    return float(np.minimum(weights @ correlations / weights.sum(), 1.0))


@dataclass(frozen=True, kw_only=True)
class SVCCA:
    """``svcca`` with its traits.

    Attributes:
        energy: share of the variance that is kept.
    """

    energy: float = ENERGY

    traits: ClassVar[Traits] = Traits(
        name="svcca",
        title="SVCCA",
        formula="mean of the singular values of U_x' U_y, U the left singular vectors with 99 % of the variance",
        paper="Raghu et al., NeurIPS 2017",
        needs=("paired_features",),
        lowest=0.0,
        highest=1.0,
        better="higher",
        conditional=False,
        invariant=("sample_order", "shift", "orthogonal", "scale"),
        symmetric=True,
        tasks=("classification", "regression", "multilabel"),
        cost="O(n d min(n, d))",
        avoids="one direction kept of most layers; correlations of 1 that n < d forces; pseudo-inverses of rounding",
    )

    def between(self, x: Array, y: Array) -> float:
        """The mean correlation of x (n, d) and y (n, d').

        Raises:
            DataError: arrays that cannot be used.
            UndefinedError: data that do not allow it.
        """
        return svcca(x, y, energy=self.energy)


@dataclass(frozen=True, kw_only=True)
class PWCCA:
    """``pwcca`` with its traits.

    Attributes:
        energy: share of the variance that is kept.
    """

    energy: float = ENERGY

    traits: ClassVar[Traits] = Traits(
        name="pwcca",
        title="PWCCA",
        formula="sum_i w_i rho_i / sum_i w_i, w_i = sum_j |<h_i, x_j>|, h_i canonical variates of x",
        paper="Morcos et al., NeurIPS 2018",
        needs=("paired_features",),
        lowest=0.0,
        highest=1.0,
        better="higher",
        conditional=False,
        invariant=("sample_order", "shift", "scale"),
        tasks=("classification", "regression", "multilabel"),
        cost="O(n d min(n, d))",
        avoids="a crash where x is wider than y; weights without the whitening; n > d demanded",
    )

    def between(self, x: Array, y: Array) -> float:
        """The weighted correlation of x (n, d) and y (n, d').

        Raises:
            DataError: arrays that cannot be used.
            UndefinedError: data that do not allow it.
        """
        return pwcca(x, y, energy=self.energy)


def _subspaces(x: Array, y: Array, energy: float) -> tuple[Principal, Principal]:
    """The principal subspaces of both sides, small enough for correlations that say something.

    Raises:
        UndefinedError: p + q > n - 1.
    """
    check_energy(energy)
    rows: tuple[Features, Floats] = check_paired(x, y, least=3, measure="canonical correlations")
    first, second = (find_principal(side, name).holding(energy) for side, name in zip(rows, ("x", "y"), strict=True))
    n, p, q = len(rows[0]), len(first.lengths), len(second.lengths)
    if p + q > n - 1:
        raise UndefinedError(
            f"{p} and {q} directions hold {energy:.3g} of the variance of {n} samples",
            expected=f"at most n - 1 = {n - 1} in all, as canonical correlations of more are 1 for any data",
            remedy="give more samples, or a smaller energy",
        )
    return first, second


def _correlations(first: Principal, second: Principal) -> tuple[Floats, Floats]:
    """Canonical variates of x in coordinates of its subspace (p, k), and the correlations (k,), descending."""
    variates, correlations, _ = np.linalg.svd(first.left.T @ second.left, full_matrices=False)
    return variates, correlations
