"""Energy distance: mean distance between two samples less the mean distances within them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gapkit.arrays import Array, Floats
from gapkit.scores.checks import check_pair, check_sizes
from gapkit.scores.inputs import PairInputs
from gapkit.scores.pairwise import mean_between, mean_within
from gapkit.scores.subsample import subsample_pair
from gapkit.types import Traits


def energy_distance(x: Array, y: Array, *, unbiased: bool = True) -> float:
    """Energy distance in its squared form, ``2 E|X - Y| - E|X - X'| - E|Y - Y'|``.

    Szekely and Rizzo, Journal of Statistical Planning and Inference 2013. Its unit is that of the features; 0 only
    where both come from one distribution. scipy's ``energy_distance`` (one-dimensional) is the root of the V-statistic.
    All pairs are read, in blocks of bounded memory: O((n + m)^2 d) time.

    Args:
        x: (n, d), n >= 2 where unbiased.
        y: (m, d), likewise.
        unbiased: the U-statistic, whose means within a sample are over pairs of different samples: 0 is expected of one
            distribution, and the value may be slightly negative. Else the V-statistic of the paper, with each sample
            beside itself too: never negative, and of one distribution larger the smaller the samples are.

    Raises:
        DataError: no samples of the same features.
        UndefinedError: fewer than two samples of a side, where unbiased.

    Example:
        >>> x, y = np.array([[0.0], [1.0]]), np.array([[5.0], [6.0]])
        >>> energy_distance(x, y), energy_distance(x, y, unbiased=False)
        (8.0, 9.0)
    """
    first, second = check_pair(x, y)
    if unbiased:
        check_sizes(first, second, name="the unbiased energy distance")
    pair = PairInputs(target=first, surrogate=second)
    first, second = pair.whole
    between = mean_between(first, second, np.sqrt)
    return pair.in_features_units(2 * between - _within(first, unbiased) - _within(second, unbiased))


@dataclass(frozen=True, kw_only=True)
class Energy:
    """The unbiased energy distance.

    Attributes:
        limit: the largest number of samples of either side; of more, so many are drawn.
    """

    limit: int = 2000

    traits: ClassVar[Traits] = Traits(
        name="energy_distance",
        title="energy distance",
        formula="2 E|x - y| - E|x - x'| - E|y - y'|",
        paper="Szekely and Rizzo, Journal of Statistical Planning and Inference 2013",
        needs=("features", "surrogate"),
        lowest=None,
        highest=None,
        better="lower",
        conditional=False,
        unit="units of the features",
        invariant=("sample_order", "shift", "orthogonal"),
        symmetric=True,
        tasks=("classification", "regression", "multilabel"),
        cost="O((n + m)^2 d), at most 2000 samples of each side",
        subsample=2000,
        avoids="a biased V-statistic without a word, and geomloss' factor 1/2",
    )

    def between(self, pair: PairInputs) -> float:
        """The distance.

        Raises:
            UndefinedError: fewer than two samples of a side.
        """
        found = energy_distance(*subsample_pair(pair.target, pair.surrogate, self.limit, seed=pair.seed))
        return pair.in_features_units(found)


def _within(x: Floats, unbiased: bool) -> float:
    """Mean distance between samples of one side: different ones, or all n^2 pairs."""
    if unbiased:
        return mean_within(x, np.sqrt)
    n = len(x)
    return (n - 1) / n * mean_within(x, np.sqrt) if n > 1 else 0.0
