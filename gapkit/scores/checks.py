"""What the plain functions of scores check of the arrays that they are given."""

from __future__ import annotations

import numpy as np

from gapkit.arrays import Array, Features, Floats, Labels
from gapkit.coercion import as_array, check_present
from gapkit.errors import DataError, UndefinedError
from gapkit.labels import whole_numbers
from gapkit.statistics.checks import check_features
from gapkit.statistics.mapped import MappedRows
from gapkit.statistics.stacked import ChosenRows, FeatureRows

ROW_SUM_TOLERANCE = 1e-3
"""Float16 and float32 softmax rows are off by less."""

LARGEST = 1e140
"""Of features whose squares are summed over pairs of samples."""


def check_pair(x: Array, y: Array, names: tuple[str, str] = ("x", "y")) -> tuple[Features, Floats]:
    """Two samples (n, d) and (m, d) as float64.

    Args:
        x: one of them.
        y: the other one.
        names: what they are called in messages.

    Raises:
        DataError: one of them is no matrix of finite numbers, or they differ in d.
    """
    first, second = check_features(x, names[0]), check_features(y, names[1])
    if first.shape[1] != second.shape[1]:
        raise DataError(
            f"{names[0]} has {first.shape[1]} features and {names[1]} has {second.shape[1]}",
            expected="the same features in both",
            remedy="take both from the same layer of the same source",
        )
    return first, second


def check_sizes(x: FeatureRows, y: Floats | ChosenRows, *, name: str, least: int = 2) -> None:
    """Refuse two samples of which one is too small.

    Raises:
        UndefinedError: names the measure and the sizes.
    """
    if min(len(x), len(y)) < least:
        raise UndefinedError(
            f"{len(x)} samples beside {len(y)}",
            expected=f"at least {least} on either side for {name}",
            remedy="give more samples",
        )


def check_squares(x: Features, y: Floats) -> None:
    """Refuse features whose squares, or sums of them, leave float64: a result in squared units cannot hold them.

    Raises:
        DataError: names the size.
    """
    largest = max(float(np.abs(x).max()), float(np.abs(y).max()))
    if largest > LARGEST:
        raise DataError(
            f"features of the size of {largest:.1g}",
            expected=f"at most {LARGEST:.0g}, for a distance in squared units",
            remedy="divide the features of both sides by one number",
        )


def encode(labels: Array, n: int, name: str = "labels") -> Labels:
    """Labels (n,), integers or strings of any values, as codes 0 .. K - 1 in the order of the sorted values.

    Raises:
        DataError: another shape or length, labels that are missing, or that are neither.

    Example:
        >>> encode(np.array(["b", "a", "b"]), 3).tolist()
        [1, 0, 1]
    """
    found, what = as_array(labels, name), "group" if name.endswith("groups") else "label"
    if found.ndim != 1 or len(found) != n:
        raise DataError(
            f"{name} has shape {found.shape} beside {n} samples",
            expected=f"shape ({n},)",
            remedy=f"give one {what} for each sample",
        )
    check_present(found, name, what=what)
    floats = found.dtype.kind == "f"
    whole = floats and bool(whole_numbers(found).all())
    if found.dtype.kind not in "biuUS" and not whole:
        raise DataError(
            f"{name} has dtype {found.dtype}",
            expected="integers" + (" (as floats, up to 2^53)" if floats else "") + " or strings",
            remedy=f"give the {'class' if what == 'label' else what} of each sample",
        )
    return np.unique(found, return_inverse=True)[1].reshape(-1).astype(np.int64)


def present_classes(labels: Array) -> tuple[Labels, int]:
    """Codes without gaps, and how many classes have a sample: at least two.

    Raises:
        UndefinedError: a single class.

    Example:
        >>> codes, count = present_classes(np.array([0, 3, 3]))
        >>> codes.tolist(), count
        ([0, 1, 1], 2)
    """
    classes, codes = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise UndefinedError(
            "all samples have the same label",
            expected="samples of at least two classes",
            remedy="take samples of other classes in",
        )
    return codes.astype(np.int64).reshape(-1), len(classes)


def check_probabilities(probs: Array, labels: Array) -> MappedRows:
    """Source class probabilities (n, S) as float64, rows divided by their sums, which may be off by rounding.

    Raises:
        DataError: they and the target labels have changed places, or rows are no distribution.
    """
    found, beside = as_array(probs, "probs"), as_array(labels, "labels")
    if found.ndim != 2 or beside.ndim != 1:
        raise _shapes(found, beside)
    values = check_features(found, "probs")
    sums = values.sum(axis=1)
    if values.min() < 0 or np.abs(sums - 1).max() > ROW_SUM_TOLERANCE:
        raise DataError(
            f"probs has entries from {values.min():.6g} and rows that sum to {sums.min():.6g} to {sums.max():.6g}",
            expected="no negative entry, and rows that sum to 1",
            remedy="pass probs.T, one row for each sample"
            if values.shape[1] == len(beside) and np.abs(values.sum(axis=0) - 1).max() <= ROW_SUM_TOLERANCE
            else "pass the source's softmax, not logits, first, and the target's labels second",
        )
    return MappedRows(rows=values, width=values.shape[1], function=lambda rows: rows / rows.sum(axis=1)[:, None])


def _shapes(probs: Array, labels: Array) -> DataError:
    """The error for arrays that are no matrix and no vector: whether each is in the other's place."""
    got, remedy = "", "pass the source's softmax (n, S) first and the target's classes (n,) second"
    if labels.ndim == 2 and (probs.ndim == 1 or (_one_hot(probs) and not _one_hot(labels))):
        got = ": they have changed places"
    elif probs.ndim == 2 and _one_hot(labels):
        remedy = "pass labels.argmax(axis=1) in the place of one-hot labels"
    return DataError(
        f"probs has shape {probs.shape} and labels has shape {labels.shape}{got}",
        expected="probs (n, S) and labels (n,)",
        remedy=remedy,
    )


def _one_hot(rows: Array) -> bool:
    """Whether each row of a matrix has a single 1 and zeros."""
    return rows.ndim == 2 and bool(np.isin(rows, (0, 1)).all() and (rows.sum(axis=1) == 1).all())


def check_source_labels(source_labels: Array, labels: Array) -> Array:
    """Source classes (n,).

    Raises:
        DataError: probabilities in the place of either argument.
    """
    found, beside = as_array(source_labels, "source_labels"), as_array(labels, "labels")
    if beside.ndim == 2 and beside.shape[1] > 1:
        raise DataError(
            f"labels has shape {beside.shape}",
            expected=f"target classes ({len(found)},)",
            remedy="pass the source's classes, probs.argmax(axis=1), first and the target's labels second",
        )
    if found.ndim != 1:
        raise DataError(
            f"source_labels has shape {found.shape}",
            expected="source classes (n,)",
            remedy="pass probs.argmax(axis=1) instead of probabilities",
        )
    return found
