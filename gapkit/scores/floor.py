"""The noise floor of a distance: what it is between random halves of one sample, where nothing is to be measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from gapkit.arrays import Array, Indices, Labels, generator
from gapkit.errors import OptionError, UndefinedError
from gapkit.scores.inputs import Distance, PairInputs
from gapkit.scores.subsample import subsample
from gapkit.statistics.folds import inner_folds

FLOOR_STREAM, DRAW_STREAM = 44, 45
SPLITS = 3
PARTS = 8
"""That groups are dealt into, half of which are drawn: dealt into two, groups of unequal sizes have one split only."""


@runtime_checkable
class Anchored(Protocol):
    """A distance that takes a scale, such as a bandwidth, from the data, and can hold it fixed."""

    def anchored(self, pair: PairInputs) -> Callable[[PairInputs], float]:
        """The distance of any pair, with the scale of this one."""
        ...


@dataclass(frozen=True, kw_only=True)
class NoiseFloor:
    """Means over splits; every one of these distances is between ``size`` and ``size`` samples.

    Attributes:
        target: between two halves of the target.
        surrogate: between two halves of the surrogate.
        between: between a half of the target and a half of the surrogate: the one to be read beside the floors.
        size: samples of every half; a distance that reads fewer draws from them.
        splits: number of random splits.
    """

    target: float
    surrogate: float
    between: float
    size: int
    splits: int

    @property
    def highest(self) -> float:
        """The larger of the two floors."""
        return max(self.target, self.surrogate)


def noise_floor(
    distance: Distance,
    pair: PairInputs,
    *,
    splits: int = SPLITS,
    target_groups: Labels | None = None,
    surrogate_groups: Indices | None = None,
) -> NoiseFloor:
    """Split target and surrogate into halves, several times, and measure between halves.

    Most distances grow as samples get smaller, although nothing differs: a floor says something only beside a distance
    of the same sizes. Halves are therefore all cut to the size of the smallest one, about ``min(n, m) / 2``, and the
    distance is measured once more between halves of the two sides. Where a distance reads at most L samples and both
    sides have 2 L or more, that is also the size which its value on all samples has, and the value itself can be read
    beside the floor. An unbiased distance (MMD, energy) has about 0 for its floor, but for groups; a bandwidth or
    regularisation that is found from the data is that of the whole pair throughout (``Anchored``), as others would
    measure in another unit.

    Halves have the shares of classes where the pair has labels, and no group is in two of them, so that what differs
    between subjects is part of the floor. Each split costs three distances of half the size.

    Args:
        distance: of which the floor is.
        pair: target and surrogate, with the seed of the splits.
        splits: at least 1.
        target_groups: (n,) codes of samples that belong together.
        surrogate_groups: (m,) likewise.

    Raises:
        UndefinedError: fewer than two samples or groups of a side, or halves that are too small for the distance.
        OptionError: no split.

    Example:
        >>> from gapkit.scores.energy import Energy
        >>> x = np.arange(8.0)[:, None]
        >>> floor = noise_floor(Energy(), PairInputs(target=x, surrogate=x + 100))
        >>> floor.size, floor.between > 100 > floor.highest
        (4, True)
    """
    if splits < 1:
        raise OptionError(f"splits is {splits}", expected="at least 1", remedy="use 3")
    sides = (
        _halves(pair.target, pair.target_labels, target_groups, splits, (pair.seed, 0)),
        _halves(pair.surrogate, pair.surrogate_labels, surrogate_groups, splits, (pair.seed, 1)),
    )
    size = min(len(half) for side in sides for halves in side for half in halves)
    measure = distance.anchored(pair) if isinstance(distance, Anchored) else distance.between
    found = np.empty((splits, 3))
    for split in range(splits):
        first, second = (_cut(pair, 0, half, size) for half in sides[0][split])
        third, fourth = (_cut(pair, 1, half, size) for half in sides[1][split])
        for place, (a, b) in enumerate(((first, second), (third, fourth), (first, third))):
            halves = PairInputs(
                target=a[0], surrogate=b[0], target_labels=a[1], surrogate_labels=b[1], seed=pair.seed + split
            )
            found[split, place] = measure(halves)
    target, surrogate, between = found.mean(axis=0).tolist()
    return NoiseFloor(target=target, surrogate=surrogate, between=between, size=size, splits=splits)


def _halves(
    features: Array, labels: Array | None, groups: Array | None, splits: int, stream: tuple[int, int]
) -> list[tuple[Array, Array]]:
    """Positions of the two halves of one side, for each split."""
    n, seed, side = len(features), *stream
    units = n if groups is None else len(np.unique(groups))
    if units < 2:
        raise UndefinedError(
            f"the {('target', 'surrogate')[side]} has {units} " + ("samples" if groups is None else "groups"),
            expected="at least 2 to split it into halves",
            remedy="give more samples" if groups is None else "use --group none",
        )
    codes = np.zeros(n, dtype=np.int64) if labels is None else labels
    found: list[tuple[Array, Array]] = []
    for split in range(splits):
        rng = generator(seed, FLOOR_STREAM, side, split)
        dealt = inner_folds(codes, 2 if groups is None else PARTS, groups=groups, seed=int(rng.random() * 2**31))
        order: Indices = rng.permutation(int(dealt.max()) + 1).astype(np.int64)
        first = np.isin(dealt, order[: len(order) // 2])
        found.append((np.flatnonzero(first), np.flatnonzero(~first)))
    return found


def _cut(pair: PairInputs, side: int, half: Array, size: int) -> tuple[Array, Array | None]:
    """Features and labels of so many samples of a half."""
    features, labels = ((pair.target, pair.target_labels), (pair.surrogate, pair.surrogate_labels))[side]
    own = None if labels is None else labels[half]
    rows = half[subsample(len(half), size, seed=pair.seed, stream=DRAW_STREAM, labels=own)]
    return features[rows], None if labels is None else labels[rows]
