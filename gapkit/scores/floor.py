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
from gapkit.statistics.stacked import FeatureRows, take_rows

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
        target_groups: (n,) codes of samples that belong together; None: those of the pair.
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
    groups = (
        pair.target_groups if target_groups is None else target_groups,
        pair.surrogate_groups if surrogate_groups is None else surrogate_groups,
    )
    sides = (
        _Side(name="target", features=pair.target, labels=pair.target_labels, groups=groups[0]),
        _Side(name="surrogate", features=pair.surrogate, labels=pair.surrogate_labels, groups=groups[1]),
    )
    halves = [[_halves(side, (pair.seed, place, split)) for split in range(splits)] for place, side in enumerate(sides)]
    size = min(len(half) for side in halves for both in side for half in both)
    measure = distance.anchored(pair) if isinstance(distance, Anchored) else distance.between
    found = np.empty((splits, 3))
    for split in range(splits):
        first, second = (sides[0].cut(half, size, pair.seed) for half in halves[0][split])
        third, fourth = (sides[1].cut(half, size, pair.seed) for half in halves[1][split])
        for place, (a, b) in enumerate(((first, second), (third, fourth), (first, third))):
            found[split, place] = measure(
                PairInputs(
                    target=a.features,
                    surrogate=b.features,
                    target_labels=a.labels,
                    surrogate_labels=b.labels,
                    target_groups=a.groups,
                    surrogate_groups=b.groups,
                    seed=pair.seed + split,
                    unit=pair.unit,
                )
            )
    target, surrogate, between = found.mean(axis=0).tolist()
    return NoiseFloor(target=target, surrogate=surrogate, between=between, size=size, splits=splits)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Side:
    """Target or surrogate, or a part of it."""

    name: str
    features: FeatureRows
    labels: Array | None
    groups: Array | None

    def cut(self, half: Indices, size: int, seed: int) -> _Side:
        """So many of the samples of a half, with the shares of classes that all of it have."""
        labels = None if self.labels is None else self.labels[half]
        rows = half[subsample(len(half), size, seed=seed, stream=DRAW_STREAM, labels=labels)]
        return _Side(
            name=self.name,
            features=take_rows(self.features, rows),
            labels=None if self.labels is None else self.labels[rows],
            groups=None if self.groups is None else self.groups[rows],
        )


def _remedy(side: _Side) -> str:
    """What to do about a side of one group; ``--group`` is of the target."""
    return "use --group none" if side.name == "target" else "give a surrogate of more groups, or without them"


def _halves(side: _Side, stream: tuple[int, int, int]) -> tuple[Indices, Array]:
    """Positions of two random halves, by whole groups."""
    n, (seed, place, split) = len(side.features), stream
    units = n if side.groups is None else len(np.unique(side.groups))
    if units < 2:
        raise UndefinedError(
            f"the {side.name} has {units} " + ("samples" if side.groups is None else "groups"),
            expected="at least 2 to split it into halves",
            remedy="give more samples" if side.groups is None else _remedy(side),
        )
    codes = np.zeros(n, dtype=np.int64) if side.labels is None else side.labels
    rng = generator(seed, FLOOR_STREAM, place, split)
    parts = 2 if side.groups is None else PARTS
    dealt = inner_folds(codes, parts, groups=side.groups, seed=int(rng.random() * 2**31))
    order: Indices = rng.permutation(int(dealt.max()) + 1).astype(np.int64)
    first = np.isin(dealt, order[: len(order) // 2])
    return np.flatnonzero(first), np.flatnonzero(~first)
