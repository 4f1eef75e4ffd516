"""Labels of any kind to class codes: integers, strings, booleans, with gaps, or several at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gapkit.arrays import Array
from gapkit.coercion import as_array, check_present
from gapkit.errors import DataError
from gapkit.options import check_choice

Task = Literal["classification", "regression", "multilabel", "dense"]
TASKS: tuple[Task, ...] = ("classification", "regression", "multilabel", "dense")
NUMBERS: tuple[Task, ...] = ("regression", "dense")
"""Tasks whose labels are quantities, not classes."""
LARGEST_WHOLE = 2**53  # beyond it float64 has no odd numbers, and int64 may not hold it


@dataclass(frozen=True, kw_only=True)
class EncodedLabels:
    """Labels as gapkit computes with them.

    Attributes:
        values: int64 codes (n,) of classes, float64 (n,) of a regression target, int64 0/1 (n, K) of several labels,
            float32 (n, ...) of a field for each sample.
        class_names: one for each code or column; empty for regression and fields.
        task: what the labels were read as.
    """

    values: Array
    class_names: tuple[str, ...]
    task: Task


def whole_numbers(values: Array) -> Array:
    """Which floats are integers that float64 tells apart."""
    return (values == np.round(values)) & (np.abs(values) <= LARGEST_WHOLE)


def encode_labels(
    labels: Array, *, class_names: Sequence[str] | None = None, task: Task | None = None, name: str = "y"
) -> EncodedLabels:
    """Read labels as classes, several labels or a regression target.

    Without ``task``: a two-dimensional array of zeros and ones is multilabel; more axes are dense; integers, booleans,
    strings and floats that are whole numbers are classes. Codes follow the sorted order of the values, so 5..14 become
    0..9 named "5".."14"; with ``class_names``, integers are positions in it, and names without a sample keep their
    code.

    Args:
        labels: (n,), (n, K), or (n, ...) of a dense target.
        class_names: names in the order of the codes.
        task: overrides the guess.
        name: how the labels are called in messages, such as ``data.npz: y``.

    Raises:
        DataError: labels that cannot be read so; the message says which and what to do.
        OptionError: an unknown task.
    """
    if task is not None:
        check_choice("task", task, TASKS)
    labels = _plain(as_array(labels, name), name)
    if task is None:
        several = "multilabel" if labels.ndim == 2 and labels.shape[1] > 1 else "classification"
        task = "dense" if labels.ndim > 2 and labels.size > len(labels) else several
    if task == "dense":
        return EncodedLabels(values=_field(labels, name), class_names=(), task=task)
    if task == "regression":
        return EncodedLabels(values=_real(labels, name), class_names=(), task=task)
    if task == "multilabel":
        return _several(labels, class_names, name)
    return _classes(_column(labels, name), class_names, name)


def _plain(labels: Array, name: str) -> Array:
    """Bytes become strings; objects and complex numbers are refused; NaN and inf are counted."""
    if labels.dtype.kind == "S":
        return np.char.decode(labels, "utf-8", "replace")
    check_present(labels, name)
    if labels.dtype.kind not in "biufU":
        raise DataError(
            f"{name} has dtype {labels.dtype}",
            expected="integers, booleans, strings or floats",
            remedy="save the labels as one of these",
        )
    return labels


def _column(labels: Array, name: str) -> Array:
    """(n,) or (n, 1) to (n,)."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        return labels[:, 0]
    if labels.ndim != 1:
        raise DataError(
            f"{name} has shape {labels.shape}",
            expected="one label per sample, shape (n,), or several 0/1 labels, shape (n, K)",
            remedy="flatten it, or pass task='multilabel' or task='dense' (--task)",
        )
    return labels


def _real(labels: Array, name: str) -> Array:
    """Regression target as float64."""
    labels = _column(labels, name)
    if labels.dtype.kind == "U":
        raise DataError(
            f"{name} holds strings such as {str(labels[0])!r}",
            expected="numbers for a regression target",
            remedy="leave out the regression task, or save numbers",
        )
    return labels.astype(np.float64)


def _field(labels: Array, name: str) -> Array:
    """Dense target as float32."""
    if labels.ndim < 2 or labels.dtype.kind == "U":
        raise DataError(
            f"{name} has shape {labels.shape} and dtype {labels.dtype}",
            expected="a field of numbers for each sample: (n, L), (n, H, W), with channels (n, C, L) or (n, C, H, W)",
            remedy="leave out the dense task, or save fields",
        )
    with np.errstate(over="ignore"):
        values = labels.astype(np.float32)
    if not np.isfinite(values).all():
        raise DataError(
            f"{name} has values beyond float32", expected="fields in float32", remedy="divide them by a unit"
        )
    return values


def _several(labels: Array, class_names: Sequence[str] | None, name: str) -> EncodedLabels:
    """Multilabel array of zeros and ones to int64."""
    if labels.ndim != 2 or labels.dtype.kind == "U" or not np.isin(labels, (0, 1)).all():
        raise DataError(
            f"{name} has shape {labels.shape} and dtype {labels.dtype}",
            expected="zeros and ones of shape (n, K) for several labels per sample",
            remedy="encode each label as a column of its own, 1 where the sample has it",
        )
    names = tuple(class_names) if class_names is not None else tuple(str(k) for k in range(labels.shape[1]))
    if len(names) != labels.shape[1]:
        raise DataError(
            f"{name} has {labels.shape[1]} columns but there are {len(names)} class names",
            expected="one name per column",
            remedy="correct class_names",
        )
    return EncodedLabels(values=labels.astype(np.int64), class_names=names, task="multilabel")


def _classes(labels: Array, class_names: Sequence[str] | None, name: str) -> EncodedLabels:
    """Single labels to codes."""
    if labels.dtype.kind == "f":
        with np.errstate(over="ignore"):
            labels = labels.astype(np.float64)
        whole = whole_numbers(labels)
        if not whole.all():
            raise DataError(
                f"{name} holds numbers that are no integers, such as {float(labels[~whole][0])!r}",
                expected="class labels",
                remedy="pass --task regression (task='regression') if the target is a quantity",
            )
        labels = labels.astype(np.int64)
    if class_names is not None:
        return _named(labels, tuple(str(item) for item in class_names), name)
    present, codes = np.unique(labels, return_inverse=True)
    names = tuple(str(value) for value in present.tolist())
    return EncodedLabels(values=codes.astype(np.int64).reshape(-1), class_names=names, task="classification")


def _named(labels: Array, names: tuple[str, ...], name: str) -> EncodedLabels:
    """Codes within given names: integers are positions, strings are looked up."""
    if len(set(names)) != len(names):
        twice = next(item for item in names if names.count(item) > 1)
        raise DataError(
            f"{name}: class_names has {twice!r} more than once",
            expected="a different name for every class",
            remedy="rename one of them",
        )
    if labels.dtype.kind == "U":
        position = {item: code for code, item in enumerate(names)}
        unknown = sorted({str(label) for label in labels} - set(names))
        if unknown:
            raise DataError(
                f"{name} has the label {unknown[0]!r}, which is not in class_names",
                expected="labels from " + ", ".join(map(repr, names[:8])),
                remedy="add the name, or leave class_names out",
            )
        codes = np.array([position[str(label)] for label in labels], dtype=np.int64)
        return EncodedLabels(values=codes, class_names=names, task="classification")
    codes = labels.astype(np.int64)
    if codes.size and (codes.min() < 0 or codes.max() >= len(names)):
        raise DataError(
            f"{name} has labels from {codes.min()} to {codes.max()} but there are {len(names)} class names",
            expected=f"labels from 0 to {len(names) - 1}",
            remedy="correct class_names, or leave them out",
        )
    return EncodedLabels(values=codes, class_names=names, task="classification")
