"""Centred kernel alignment: how the inner products of samples in two layers correlate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gapkit.arrays import Array, Features, Floats
from gapkit.errors import DataError, UndefinedError
from gapkit.reuse.paired import centre, check_same_samples
from gapkit.reuse.u_centring import LEAST_SAMPLES, Pairs, row_blocks, u_centred
from gapkit.scores.checks import check_features
from gapkit.statistics.spectrum import tolerance
from gapkit.types import Traits

GRAM_BYTES = 1 << 30
"""Gram matrices that are kept at once; more are left to the feature space, which needs none."""
CANCELLED = 1e-6
"""Share of |K|^2 below which a self term in feature space has lost six digits and is taken from pairs instead."""


def cka(x: Array, y: Array, *, debiased: bool = True) -> float:
    """Linear centred kernel alignment ``HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L))`` of ``K = X X'`` and ``L = Y Y'``.

    Debiased, HSIC is HSIC_1, the mean product of U-centred K and L (Song et al., JMLR 2012; Nguyen et al., ICLR 2021):
    in [-1, 1], without unit, higher for layers that are more alike, 1 for layers equal up to shift, orthogonal map and
    scale, and about 0 for independent features of any width. Without it, HSIC is ``|X'Y|_F^2`` of centred features
    (Kornblith et al., ICML 2019): in [0, 1], of independent features about ``d / (d + n)``, which grows with the width.

    A self term is a sum of squares, ``|K~|_F^2``, and cannot be negative: other code that finds NaN here has mixed
    estimators or lost the digits. It is 0 where all samples are equally far from each other or one differs from all
    others, which are alike; the measure is then undefined.

    With centred Z, W, ``<K~, L~> = |Z'W|_F^2 - n / (n - 2) sum_i |z_i|^2 |w_i|^2 + |Z|_F^2 |W|_F^2 / ((n - 1) (n -
    2))``, so that no n x n matrix is needed where n is large. Whichever of this and the Gram matrices takes fewer
    operations is used, and blocks of Gram matrices where the three terms cancel.

    Args:
        x: (n, d), n >= 4 (2 without debiasing).
        y: (n, d') of the same samples.
        debiased: False gives the biased estimator, for comparison with the literature.

    Raises:
        DataError: arrays that cannot be used.
        UndefinedError: too few samples, constant features, or a self term that is 0.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(60, 40))
        >>> y = np.random.default_rng(1).normal(size=(60, 40))
        >>> round(cka(x, 3 * x + 1), 9), round(cka(x, y), 2), round(cka(x, y, debiased=False), 2)
        (1.0, 0.03, 0.41)
    """
    layers = {"x": check_features(x, "x")}, {"y": check_features(y, "y")}
    return float(_table(*layers, debiased=debiased)[0, 0])


def cka_matrix(xs: Sequence[Array], ys: Sequence[Array], *, debiased: bool = True) -> Floats:
    """``cka`` of every layer in xs with every layer in ys, (len(xs), len(ys)); each self term is computed once.

    Args:
        xs: matrices (n, d_1), (n, d_2), ... of the layers of one model.
        ys: likewise of another, of the same samples.
        debiased: as in ``cka``.

    Raises:
        DataError: no layers, or arrays that cannot be used.
        UndefinedError: as in ``cka``; the message names the layer, which the caller may leave out.

    Example:
        >>> x, y = np.random.default_rng(0).normal(size=(2, 50, 3))
        >>> cka_matrix([x, y], [x, x + y, y]).round(1).tolist()
        [[1.0, 0.4, 0.0], [0.0, 0.5, 1.0]]
    """
    if not len(xs) or not len(ys):
        raise DataError(
            f"{len(xs)} layers beside {len(ys)}", expected="at least one on either side", remedy="give layers"
        )
    first = {f"xs[{i}]": check_features(x, f"xs[{i}]") for i, x in enumerate(xs)}
    second = {f"ys[{i}]": check_features(y, f"ys[{i}]") for i, y in enumerate(ys)}
    return _table(first, second, debiased=debiased)


@dataclass(frozen=True, kw_only=True)
class CKA:
    """``cka`` with its traits.

    Attributes:
        debiased: False gives the biased estimator.
    """

    debiased: bool = True

    traits: ClassVar[Traits] = Traits(
        name="cka",
        title="debiased CKA",
        formula="HSIC_1(K, L) / sqrt(HSIC_1(K, K) HSIC_1(L, L)), K = X X', L = Y Y'",
        paper="Kornblith et al., ICML 2019; Song et al., JMLR 2012; Nguyen et al., ICLR 2021",
        needs=("paired_features",),
        lowest=-1.0,
        highest=1.0,
        better="higher",
        conditional=False,
        invariant=("sample_order", "shift", "orthogonal", "scale"),
        symmetric=True,
        tasks=("classification", "regression", "multilabel"),
        cost="O(n d d') or O(n^2 (d + d')), whichever is less",
        avoids="the bias that grows with d / n; NaN of a negative self term; products of n x n matrices for each pair",
    )

    def between(self, x: Array, y: Array) -> float:
        """The alignment of x (n, d) and y (n, d').

        Raises:
            DataError: arrays that cannot be used.
            UndefinedError: data that do not allow it.
        """
        return cka(x, y, debiased=self.debiased)


def _table(xs: dict[str, Floats], ys: dict[str, Floats], *, debiased: bool) -> Floats:
    """All pairs, by the cheaper route."""
    least = LEAST_SAMPLES if debiased else 2
    check_same_samples(xs | ys, least=least, measure="debiased CKA" if debiased else "CKA")
    first = {name: centre(rows, name) for name, rows in xs.items()}
    second = {name: centre(rows, name) for name, rows in ys.items()}
    route = _by_grams if _grams_are_cheaper(list(first.values()), list(second.values())) else _by_features
    return np.clip(route(first, second, debiased=debiased), -1.0 if debiased else 0.0, 1.0)


def _grams_are_cheaper(xs: list[Floats], ys: list[Floats]) -> bool:
    """Whether Gram matrices fit and need fewer multiplications than the products of features."""
    n = len(xs[0])
    wide, beside = (np.array([rows.shape[1] for rows in side], dtype=np.float64) for side in (xs, ys))
    by_features = n * (wide.sum() * beside.sum() + np.square(wide).sum() + np.square(beside).sum())
    by_grams = n**2 * (wide.sum() + beside.sum() + len(xs) * len(ys))
    return bool(by_grams < by_features) and 8 * n**2 * (len(ys) + 2) <= GRAM_BYTES


def _by_grams(xs: dict[str, Floats], ys: dict[str, Floats], *, debiased: bool) -> Floats:
    """All pairs from Gram matrices, of which those of ys are kept."""
    kept = [_unit_gram(name, rows, debiased=debiased) for name, rows in ys.items()]
    table = np.empty((len(xs), len(ys)))
    for i, (name, rows) in enumerate(xs.items()):
        gram = _unit_gram(name, rows, debiased=debiased)
        table[i] = [np.vdot(gram, other) for other in kept]
    return table


def _unit_gram(name: str, rows: Features, *, debiased: bool) -> Pairs:
    """The (U-)centred Gram matrix (n, n), with Frobenius norm 1."""
    gram = _gram(rows, slice(0, len(rows)), debiased=debiased)
    own = float(np.vdot(gram, gram))
    _check_own(name, rows, own)
    gram /= np.sqrt(own)
    return gram


def _by_features(xs: dict[str, Floats], ys: dict[str, Floats], *, debiased: bool) -> Floats:
    """All pairs from products of features, or by blocks of samples where these cancel."""
    own = [[_own(name, rows, debiased=debiased) for name, rows in side.items()] for side in (xs, ys)]
    table = np.empty((len(xs), len(ys)))
    for i, first in enumerate(xs.values()):
        for j, second in enumerate(ys.values()):
            product = _product(first, second, debiased=debiased)
            if own[0][i] < CANCELLED * _spread(first) or own[1][j] < CANCELLED * _spread(second):
                product = _by_blocks(first, second, debiased=debiased)
            table[i, j] = product / np.sqrt(own[0][i] * own[1][j])
    return table


def _own(name: str, rows: Features, *, debiased: bool) -> float:
    """The self term, without the rounding of cancellation."""
    found = _product(rows, rows, debiased=debiased)
    if found < CANCELLED * _spread(rows):
        found = _by_blocks(rows, rows, debiased=debiased)
    _check_own(name, rows, found)
    return found


def _product(first: Features, second: Floats, *, debiased: bool) -> float:
    """``<K~, L~>`` or ``<K, L>`` of centred features with Frobenius norm 1."""
    n = len(first)
    product = float(np.square(first.T @ second).sum())
    if not debiased:
        return product
    lengths = np.einsum("ij,ij->i", first, first), np.einsum("ij,ij->i", second, second)
    return product - n / (n - 2) * float(lengths[0] @ lengths[1]) + 1 / ((n - 1) * (n - 2))


def _by_blocks(first: Features, second: Floats, *, debiased: bool) -> float:
    """The same, from all pairs of samples."""
    return sum(
        float(np.vdot(_gram(first, block, debiased=debiased), _gram(second, block, debiased=debiased)))
        for block in row_blocks(len(first))
    )


def _gram(rows: Features, block: slice, *, debiased: bool) -> Pairs:
    """Rows of the Gram matrix, U-centred or centred."""
    return u_centred(rows, block) if debiased else rows[block] @ rows.T


def _spread(rows: Features) -> float:
    """``sum_i |z_i|^4``, at most |K|_F^2: the size of what cancels in a U-centred self term."""
    return float(np.square(np.einsum("ij,ij->i", rows, rows)).sum())


def _check_own(name: str, rows: Features, own: float) -> None:
    """Refuse a self term that is 0 up to rounding.

    Raises:
        UndefinedError: names the layer.
    """
    if own <= tolerance(*rows.shape) ** 2 * _spread(rows):
        raise UndefinedError(
            f"{name} has samples that are all equally far from each other, or all the same but for one",
            expected="samples at different distances",
            remedy="give more samples, or take another layer",
        )
