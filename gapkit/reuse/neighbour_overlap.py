"""Do two layers give a sample the same neighbours, and are these alike in both?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gapkit.arrays import Array, Features, Floats
from gapkit.errors import OptionError, UndefinedError
from gapkit.reuse.paired import centre, check_paired
from gapkit.reuse.u_centring import LEAST_SAMPLES, Pairs, row_blocks, u_centred
from gapkit.statistics.spectrum import tolerance
from gapkit.types import Traits

NEIGHBOURS = 10
TIED = 1e-12
"""Cosines that differ by less are ties; their rounding is about 1e-15."""


def mutual_knn(x: Array, y: Array, *, k: int = NEIGHBOURS) -> float:
    """Mean share of the k nearest neighbours of a sample that it has in both layers (Huh et al., ICML 2024).

    ``(1 / n) sum_i |N_x(i) and N_y(i)| / k``, neighbours by the cosine of the features (their inner product after L2
    normalisation, as in the paper), the sample itself not among them. In [0, 1], without unit, higher for layers that
    are more alike, 1 for equal ones. Of independent features it is ``k / (n - 1)`` on average, so that values compare
    only where k and n do. Orthogonal maps and positive factors of either side change nothing; a shift does.

    Where several samples are as far as the k-th neighbour (duplicates, say), each belongs to the neighbours with the
    share that leaves k in all, and the common neighbours are the sum of the lesser shares. So neither the order
    of the samples nor chance decides: with ties on one side this is the mean over all ways to break them. Equal ties on
    both sides count as agreement. A sample of zeros has no direction, and the cosine 0 with all others.

    Args:
        x: (n, d), n >= k + 2.
        y: (n, d') of the same samples.
        k: number of neighbours, at least 1.

    Raises:
        DataError: arrays that cannot be used.
        OptionError: k below 1.
        UndefinedError: fewer than k + 2 samples, or a side on which all cosines are equal.

    Example:
        >>> angles = np.array([0.0, 0.1, 0.3, 1.0, 1.2])
        >>> x = np.column_stack([np.cos(angles), np.sin(angles)])
        >>> mutual_knn(x, 2 * x, k=1), mutual_knn(x, x[[0, 2, 1, 3, 4]], k=1)
        (1.0, 0.4)
    """
    first, second = _unit_sides(x, y, k, least=k + 2)
    shared = sum(float(np.minimum(a, b).sum()) for _, a, b in _memberships(first, second, k))
    return float(np.minimum(shared / (k * len(first)), 1.0))


def cknna(x: Array, y: Array, *, k: int = NEIGHBOURS) -> float:
    """Debiased CKA, restricted to pairs that are neighbours in both layers (CKNNA: Huh et al., ICML 2024).

    ``A(K, L) / sqrt(A(K, K) A(L, L))`` with ``A(K, L) = sum_ij a_ij K~_ij L~_ij``: K~, L~ are the U-centred inner
    products of L2-normalised features (those of HSIC_1; Song et al., JMLR 2012) and ``a_ij`` is 1 where j is among the
    k nearest neighbours of i in both layers; in A(K, K), in x. In [-1, 1] by Cauchy and Schwarz, without unit, higher
    for layers that are more alike, 1 for equal ones; debiased CKA of L2-normalised features for k = n - 1. Neighbours
    have large inner products on both sides, so that independent features have about ``k / (n - 1)`` where k is small,
    and not 0.

    Ties and zeros are treated as in ``mutual_knn``.

    Deviation from the original code: inner products are centred before pairs are chosen, as the paper's formula has it.
    The code chooses first and centres the sparse matrix that is left, zeros included, so that a shift of all inner
    products passes for similarity; and it adds 1e-6 to the denominator.

    Args:
        x: (n, d), n >= 4 and n >= k + 1.
        y: (n, d') of the same samples.
        k: number of neighbours, at least 1.

    Raises:
        DataError: arrays that cannot be used.
        OptionError: k below 1.
        UndefinedError: too few samples, a side on which all cosines are equal, or that has nothing left when centred.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(100, 8))
        >>> y = np.random.default_rng(1).normal(size=(100, 8))
        >>> round(cknna(x, 2 * x), 9), round(cknna(x, x + y), 1), round(cknna(x, y), 1)
        (1.0, 0.3, 0.1)
    """
    first, second = _unit_sides(x, y, k, least=max(k + 1, LEAST_SAMPLES))
    points = centre(first, "x"), centre(second, "y")
    sums = np.zeros(3)
    for block, a, b in _memberships(first, second, k):
        inner, beside = u_centred(points[0], block), u_centred(points[1], block)
        sums += [
            np.einsum("ij,ij,ij->", np.minimum(a, b), inner, beside),
            np.einsum("ij,ij,ij->", a, inner, inner),
            np.einsum("ij,ij,ij->", b, beside, beside),
        ]
    for own, rows, name in ((sums[1], first, "x"), (sums[2], second, "y")):
        # Centred features have Frobenius norm 1, so that inner products are about 1 / n, and rounding that share of it.
        if own <= k * len(rows) * (tolerance(*rows.shape) / len(rows)) ** 2:
            raise UndefinedError(
                f"{name} has nothing left of the inner products of neighbours when they are centred",
                expected="samples that differ in more than one of them does from all others",
                remedy="take another layer, or check how the features were made",
            )
    return float(np.clip(sums[0] / np.sqrt(sums[1] * sums[2]), -1.0, 1.0))


@dataclass(frozen=True, kw_only=True)
class MutualKNN:
    """``mutual_knn`` with its traits.

    Attributes:
        k: number of neighbours.
    """

    k: int = NEIGHBOURS

    traits: ClassVar[Traits] = Traits(
        name="mutual_knn",
        title="mutual kNN",
        formula="mean_i |N_x(i) and N_y(i)| / k, the k nearest by cosine; chance k / (n - 1)",
        paper="Huh et al., The Platonic Representation Hypothesis, ICML 2024",
        needs=("paired_features",),
        lowest=0.0,
        highest=1.0,
        better="higher",
        conditional=False,
        invariant=("sample_order", "orthogonal", "scale"),
        symmetric=True,
        tasks=("classification", "regression", "multilabel"),
        cost="O(n^2 (d + d'))",
        avoids="the first neighbour dropped as if it were the sample itself; ties left to the order of samples",
    )

    def between(self, x: Array, y: Array) -> float:
        """The overlap of x (n, d) and y (n, d').

        Raises:
            DataError: arrays that cannot be used.
            UndefinedError: data that do not allow it.
        """
        return mutual_knn(x, y, k=self.k)


@dataclass(frozen=True, kw_only=True)
class CKNNA:
    """``cknna`` with its traits.

    Attributes:
        k: number of neighbours.
    """

    k: int = NEIGHBOURS

    traits: ClassVar[Traits] = Traits(
        name="cknna",
        title="CKNNA",
        formula="A(K, L) / sqrt(A(K, K) A(L, L)), A = sum over common neighbours of K~_ij L~_ij",
        paper="Huh et al., The Platonic Representation Hypothesis, ICML 2024",
        needs=("paired_features",),
        lowest=-1.0,
        highest=1.0,
        better="higher",
        conditional=False,
        invariant=("sample_order", "orthogonal", "scale"),
        symmetric=True,
        tasks=("classification", "regression", "multilabel"),
        cost="O(n^2 (d + d'))",
        avoids="raw inner products where the formula has centred ones; an epsilon in the denominator",
    )

    def between(self, x: Array, y: Array) -> float:
        """The alignment of x (n, d) and y (n, d').

        Raises:
            DataError: arrays that cannot be used.
            UndefinedError: data that do not allow it.
        """
        return cknna(x, y, k=self.k)


def _unit_sides(x: Array, y: Array, k: int, *, least: int) -> tuple[Features, Floats]:
    """Both sides with rows of length 1, or 0.

    Raises:
        OptionError: k below 1.
        UndefinedError: too few samples, or a side on which all cosines are equal.
    """
    if k < 1:
        raise OptionError(f"k is {k}", expected="at least 1 neighbour", remedy=f"{NEIGHBOURS} is usual")
    sides = check_paired(x, y, least=least, measure=f"{k} neighbours")
    first, second = (_unit_rows(rows) for rows in sides)
    for units, name in ((first, "x"), (second, "y")):
        if np.ptp(units, axis=0).max() <= TIED:
            raise _alike(name)
    return first, second


def _unit_rows(rows: Features) -> Features:
    """Rows (n, d) divided by their lengths; zeros stay."""
    largest = np.abs(rows).max(axis=1, keepdims=True)
    scaled = rows / np.where(largest > 0, largest, 1.0)
    lengths = np.sqrt(np.square(scaled).sum(axis=1, keepdims=True))
    return scaled / np.where(lengths > 0, lengths, 1.0)


def _memberships(first: Features, second: Floats, k: int) -> Iterator[tuple[slice, Pairs, Pairs]]:
    """Blocks of samples, with the shares (b, n) by which others are their neighbours on either side.

    Raises:
        UndefinedError: on one side every sample has no neighbour nearer than another.
    """
    apart = [False, False]
    for block in row_blocks(len(first)):
        found = [_shares(rows, block, k) for rows in (first, second)]
        apart = [seen or told for seen, (_, told) in zip(apart, found, strict=True)]
        yield block, found[0][0], found[1][0]
    for told, name in zip(apart, ("x", "y"), strict=True):
        if not told:
            raise _alike(name)


def _shares(rows: Features, block: slice, k: int) -> tuple[Pairs, bool]:
    """Shares (b, n) that sum to k in every row, and whether any two cosines of a row differ."""
    cosines = rows[block] @ rows.T
    positions = np.arange(len(rows))[block]
    own = np.arange(len(positions)), positions
    cosines[own] = np.inf
    lowest = cosines.min(axis=1)
    cosines[own] = -np.inf
    told = bool((cosines.max(axis=1) - lowest > TIED).any())
    border = np.partition(cosines, -k, axis=1)[:, -k, None]
    nearer = cosines > border + TIED
    tied = (cosines >= border - TIED) & ~nearer
    left = k - nearer.sum(axis=1, keepdims=True)
    return nearer + tied * (left / tied.sum(axis=1, keepdims=True)), told


def _alike(name: str) -> UndefinedError:
    """The error where no sample is nearer than another."""
    return UndefinedError(
        f"{name} has all samples equally near to each other",
        expected="samples in different directions",
        remedy="take another layer, or check how the features were made",
    )
