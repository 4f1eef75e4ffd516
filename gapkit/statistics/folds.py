"""Folds for cross-fitting: stratified by class, seeded, and grouped where samples belong together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Floats, Indices, Labels, generator
from gapkit.errors import DataError
from gapkit.options import check_least

FOLD_STREAM, INNER_STREAM = 1, 2
NEVER = -1
"""Fold of samples that are never scored and always fitted."""


@dataclass(frozen=True, kw_only=True)
class Folds:
    """A partition of the samples into folds.

    Attributes:
        ids: (n,) the fold that a sample is scored in; -1 where it never is, because its class has too few samples (or
            groups) to be in every fold.
        home: (n,) the fold that a sample is left out of: that of its group. It differs from ``ids`` only for samples of
            unscored classes whose group has samples of other classes; fitting on them while their group is scored
            would let the group straddle.
        n_folds: number of folds.
        unscored: codes of the classes that are never scored.
    """

    ids: Labels
    home: Labels
    n_folds: int
    unscored: tuple[int, ...] = ()

    def fitting(self, fold: int) -> Indices:
        """Positions of the samples to fit on when ``fold`` is scored."""
        return np.flatnonzero(self.home != fold)

    def scored(self, fold: int) -> Indices:
        """Positions of the samples that ``fold`` scores."""
        return np.flatnonzero(self.ids == fold)


def stratified_folds(labels: Labels, n_folds: int = 5, *, groups: Labels | None = None, seed: int = 0) -> Folds:
    """Folds in which every class is spread evenly; groups are never split.

    A class with fewer samples than folds (with groups: that occurs in fewer groups than folds) stays on the fitting
    side. Without groups, class counts of two folds differ by at most one, and so do fold sizes. With groups, the
    groups, largest first and ties in random order, go each to the fold where the sum over classes of squared class
    shares grows least. Renaming classes or groups changes nothing.

    Args:
        labels: (n,) class codes.
        n_folds: at least 2.
        groups: (n,) codes of samples that belong together.
        seed: of the order within classes, or of groups.

    Raises:
        OptionError: fewer than two folds.
        DataError: fewer than two classes can be scored.

    Example:
        >>> folds = stratified_folds(np.array([0, 0, 0, 1, 1, 1, 2]), 3)
        >>> folds.unscored, sorted(folds.ids.tolist())
        ((2,), [-1, 0, 0, 1, 1, 2, 2])
    """
    check_least("folds", n_folds, 2)
    codes = _by_first_occurrence(labels)
    units = np.arange(len(codes)) if groups is None else _by_first_occurrence(groups)
    scorable = _units_per_class(codes, units) >= n_folds
    if scorable.sum() < 2:
        raise _too_few(labels, n_folds, groups is not None)
    rng = generator(seed, FOLD_STREAM)
    wanted = scorable[codes]
    if groups is None:
        home = np.full(len(codes), NEVER, dtype=np.int64)
        home[wanted] = _spread(codes[wanted], n_folds, rng)
    else:
        home = _spread_groups(codes, units, n_folds, rng)
        carried = np.zeros(units.max() + 1, dtype=bool)
        carried[units[wanted]] = True
        home = np.where(carried[units], home, NEVER)
    unscored = tuple(int(code) for code in np.unique(labels[~wanted]))
    return Folds(ids=np.where(wanted, home, NEVER), home=home, n_folds=n_folds, unscored=unscored)


def inner_folds(labels: Labels, n_folds: int = 4, *, groups: Labels | None = None, seed: int = 0) -> Labels:
    """Folds (n,) inside the fitting side: every sample is in one, whatever its class; fold 0 is the validation split.

    With a single group there is nothing to keep apart and groups are ignored. There are as many folds as samples (or
    groups) allow, at most ``n_folds``.

    Raises:
        DataError: fewer than two samples.
    """
    if len(labels) < 2:
        raise DataError(f"{len(labels)} samples on the fitting side", expected="at least 2", remedy="give more samples")
    codes, rng = _by_first_occurrence(labels), generator(seed, INNER_STREAM)
    units = None if groups is None else _by_first_occurrence(groups)
    if units is None or units.max() == 0:
        return _spread(codes, min(n_folds, len(codes)), rng)
    return _spread_groups(codes, units, min(n_folds, int(units.max()) + 1), rng)


def _by_first_occurrence(values: Labels) -> Labels:
    """Codes numbered in the order in which they first occur, so that names do not matter."""
    _, first, codes = np.unique(values, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[codes.reshape(-1)]


def _units_per_class(codes: Labels, units: Labels) -> Indices:
    """In how many units (samples or groups) each class occurs."""
    pairs = np.unique(np.stack([codes, units]), axis=1)
    return np.bincount(pairs[0], minlength=int(codes.max()) + 1)


def _spread(codes: Labels, n_folds: int, rng: np.random.Generator) -> Labels:
    """Deal the samples out class by class, each class going on where the last one stopped.

    Each class is shuffled for itself: where samples of two classes change places, nothing else does.
    """
    members = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
    order = np.concatenate([rng.permutation(own) for own in members])
    folds = np.empty(len(codes), dtype=np.int64)
    folds[order] = np.arange(len(codes)) % n_folds
    return folds


def _spread_groups(codes: Labels, units: Labels, n_folds: int, rng: np.random.Generator) -> Labels:
    """Greedy: each group to the fold where the sum of squared class shares grows least."""
    counts = np.zeros((int(units.max()) + 1, int(codes.max()) + 1))
    np.add.at(counts, (units, codes), 1.0)
    shares: Floats = counts / counts.sum(axis=0)
    shuffled = rng.permutation(len(counts))
    order = shuffled[np.argsort(-counts.sum(axis=1)[shuffled], kind="stable")]
    held, sizes = np.zeros((n_folds, counts.shape[1])), np.zeros(n_folds)
    chosen = np.empty(len(counts), dtype=np.int64)
    for unit in order:
        overlap = held @ shares[unit]
        tied = np.flatnonzero(overlap <= overlap.min() + 1e-12)
        fold = int(tied[np.argmin(sizes[tied])])
        held[fold] += shares[unit]
        sizes[fold] += counts[unit].sum()
        chosen[unit] = fold
    return chosen[units]


def _too_few(labels: Labels, n_folds: int, grouped: bool) -> DataError:
    """The error for fewer than two scorable classes."""
    n_classes, what = len(np.unique(labels)), "groups" if grouped else "samples"
    return DataError(
        f"fewer than two of {n_classes} classes have {n_folds} {what} or more",
        expected=f"two classes with at least as many {what} as folds",
        remedy="use fewer folds (--folds)" + (" or --group none" if grouped else " or more samples"),
    )
