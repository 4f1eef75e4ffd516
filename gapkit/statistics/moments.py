"""Moments of labelled features, accumulated batch by batch and merged in any order.

What every score needs that only needs sums: counts, class means and spreads, scatter, cross products with targets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import numpy as np

from gapkit.arrays import Features, Floats, Indices, Labels
from gapkit.errors import DataError
from gapkit.statistics.centred import CentredRows
from gapkit.statistics.class_sums import class_counts, class_sums
from gapkit.statistics.mapped import MappedRows
from gapkit.statistics.totals import Totals, measure_totals, merge_totals


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassMoments:
    """First and second moments of every class.

    Attributes:
        counts: (K,) samples, 0 for a class that has none.
        origin: (d,) one of the samples.
        offsets: (K, d) class means less origin; 0 for a class without a sample.
        squares: (K, d) ``sum (x - class mean)^2`` of every feature, not divided by the count.
    """

    counts: Indices
    origin: Floats
    offsets: Floats
    squares: Floats

    @property
    def means(self) -> Floats:
        """(K, d); 0 for a class without a sample."""
        return np.where(self.counts[:, None] > 0, self.origin + self.offsets, 0.0)

    @property
    def variances(self) -> Floats:
        """(K, d) with the count as divisor; 0 for a class without a sample."""
        return self.squares / np.maximum(1, self.counts)[:, None]


@dataclass(frozen=True, kw_only=True, eq=False)
class TargetMoments:
    """Moments of k real targets, one or several to a sample, with those that they share with the features.

    Attributes:
        origin: (k,) the targets of one sample.
        offset: (k,) means less origin.
        squares: (k,) ``sum (t - mean)^2``.
        products: (d, k) ``sum (x - mean) (t - mean)'``.
    """

    origin: Floats
    offset: Floats
    squares: Floats
    products: Floats

    @property
    def means(self) -> Floats:
        """(k,)."""
        return self.origin + self.offset


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """Moments of n samples of d features, with the classes or targets that belong to them.

    Attributes:
        totals: mean, scatter and the third and fourth sums of all samples.
        classes: of K classes, with those that have no sample; None where no codes were given.
        targets: of k real targets; None where none were given.
    """

    totals: Totals
    classes: ClassMoments | None = None
    targets: TargetMoments | None = None

    @property
    def between(self) -> Floats:
        """(d, d) scatter between classes, ``sum_c n_c (m_c - m)(m_c - m)'``.

        Raises:
            DataError: there are no classes.
        """
        if self.classes is None:
            raise DataError(
                "moments without classes", expected="classes for a scatter between them", remedy="give codes"
            )
        apart = self.classes.offsets - self.totals.offset
        apart += self.classes.origin - self.totals.origin
        apart *= np.sqrt(self.classes.counts)[:, None]
        return apart.T @ apart

    @property
    def within(self) -> Floats:
        """(d, d) scatter within classes, what ``between`` leaves of the total.

        Raises:
            DataError: there are no classes.
        """
        return self.totals.scatter - self.between


def measure_class_moments(features: Features | MappedRows, codes: Labels, n_classes: int) -> ClassMoments:
    """Two passes over (n, d): class means, then squares about them.

    Args:
        features: (n, d), or a function of them.
        codes: (n,) class codes 0 .. K - 1.
        n_classes: K.

    Example:
        >>> moments = measure_class_moments(np.array([[1.0], [3.0], [7.0]]), np.array([0, 0, 2]), 3)
        >>> moments.counts.tolist(), moments.means.tolist(), moments.squares.tolist()
        ([2, 0, 1], [[2.0], [0.0], [7.0]], [[2.0], [0.0], [0.0]])
    """
    rows = features if isinstance(features, MappedRows) else MappedRows(rows=features, width=features.shape[1])
    counts = class_counts(codes, n_classes)
    (origin,) = rows.take(np.array([0]))
    offsets = rows.class_sums(codes, n_classes, origin) / np.maximum(1, counts)[:, None]
    means, squares = origin + offsets, np.zeros_like(offsets)
    for place, block in rows:
        own = codes[place]
        squares += class_sums(np.square(block - means[own]), own, n_classes)
    return ClassMoments(counts=counts, origin=origin, offsets=offsets, squares=squares)


def measure_moments(
    features: Features, codes: Labels | None = None, *, n_classes: int | None = None, targets: Floats | None = None
) -> Moments:
    """Moments of one batch.

    Args:
        features: (n, d), at least one sample.
        codes: (n,) class codes 0 .. K - 1.
        n_classes: K; give it where a batch may lack the last classes.
        targets: (n, k) real targets.

    Example:
        >>> first = measure_moments(np.array([[0.0], [2.0]]), np.array([0, 0]), n_classes=2)
        >>> second = measure_moments(np.array([[7.0]]), np.array([1]))
        >>> both = merge_moments(first, second)
        >>> both.totals.mean.tolist(), both.between.tolist(), both.within.tolist()
        ([3.0], [[24.0]], [[2.0]])
    """
    totals = measure_totals(features)
    found = None
    if codes is not None:
        found = measure_class_moments(features, codes, int(codes.max()) + 1 if n_classes is None else n_classes)
    if targets is None:
        return Moments(totals=totals, classes=found)
    apart = targets - targets[0]
    offset = apart.mean(axis=0)
    apart -= offset
    products = CentredRows(rows=features, centre=totals.mean).products(apart).T
    both = TargetMoments(
        origin=targets[0].copy(), offset=offset, squares=np.square(apart).sum(axis=0), products=products
    )
    return Moments(totals=totals, classes=found, targets=both)


def merge_moments(a: Moments, b: Moments) -> Moments:
    """The moments of both sets of samples together; associative and commutative to rounding.

    Raises:
        DataError: they differ in features, classes or targets.
    """
    return Moments(
        totals=merge_totals(a.totals, b.totals),
        classes=_merge_classes(a.classes, b.classes),
        targets=_merge_targets(a, b),
    )


def accumulate(batches: Iterable[Moments]) -> Moments:
    """The moments of all batches, at least one, together.

    Raises:
        DataError: they differ in features, classes or targets.
    """
    return reduce(merge_moments, batches)


def _merge_classes(a: ClassMoments | None, b: ClassMoments | None) -> ClassMoments | None:
    """Class by class, Chan's update; a class that one side lacks is the other's."""
    if a is None or b is None:
        _agree(a is None and b is None, "classes on one side only")
        return None
    _agree(a.offsets.shape == b.offsets.shape, f"classes and features {a.offsets.shape} beside {b.offsets.shape}")
    counts = a.counts + b.counts
    share = (b.counts / np.maximum(1, counts))[:, None]
    apart = (b.origin - a.origin) + (b.offsets - a.offsets)
    return ClassMoments(
        counts=counts,
        origin=a.origin,
        offsets=a.offsets + apart * share,
        squares=a.squares + b.squares + np.square(apart) * (share * a.counts[:, None]),
    )


def _merge_targets(a: Moments, b: Moments) -> TargetMoments | None:
    """Chan's update of the targets' squares and products."""
    if a.targets is None or b.targets is None:
        _agree(a.targets is None and b.targets is None, "targets on one side only")
        return None
    left, right = a.targets, b.targets
    _agree(left.products.shape == right.products.shape, f"targets {left.means.shape} beside {right.means.shape}")
    share = b.totals.n / (a.totals.n + b.totals.n)
    weight = a.totals.n * share
    apart = (right.origin - left.origin) + (right.offset - left.offset)
    features_apart = (b.totals.origin - a.totals.origin) + (b.totals.offset - a.totals.offset)
    return TargetMoments(
        origin=left.origin,
        offset=left.offset + apart * share,
        squares=left.squares + right.squares + weight * np.square(apart),
        products=left.products + right.products + weight * np.outer(features_apart, apart),
    )


def _agree(same: bool, got: str) -> None:
    """Refuse moments of different things."""
    if not same:
        raise DataError(
            got, expected="moments of the same features, classes and targets", remedy="give n_classes to every batch"
        )
