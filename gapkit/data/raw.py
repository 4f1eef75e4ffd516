"""What a reader found in a file, and how it becomes a checked target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gapkit.arrays import Array
from gapkit.data.keys import listing
from gapkit.data.options import ReadOptions
from gapkit.errors import DataError
from gapkit.types import TEST, TRAIN, Target

LARGEST_RANK = 4
TRAIN_NAMES = ("train", "training", "0", "false")
TEST_NAMES = ("test", "testing", "1", "true")
VALIDATION_NAMES = ("val", "valid", "validation", "dev")
SPLIT_WORDS = ("train", "training", "test", "testing", *VALIDATION_NAMES)


@dataclass(frozen=True, kw_only=True)
class Raw:
    """The arrays of one file as they were found, before any check.

    Attributes:
        x: inputs, first axis the samples.
        y: labels of any kind.
        class_names: in the order of the codes, where the file has them.
        groups: one value for each sample.
        group_key: key or column that the groups came from.
        split: one value for each sample: names such as "train" and "test", or 0 and 1.
        sample_rate: in Hz.
        alphabet: symbols of integer codes.
        notes: what the reader understood and did.
    """

    x: Array
    y: Array
    class_names: tuple[str, ...] | None = None
    groups: Array | None = None
    group_key: str | None = None
    split: Array | None = None
    sample_rate: float | None = None
    alphabet: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


def finish(raw: Raw, *, name: str, options: ReadOptions) -> Target:
    """Check what was found and make it a target.

    Raises:
        DataError: x, y, groups or split cannot be used; the message names the file and the array.
    """
    _check_rank(raw.x, name)
    if raw.y.ndim == 0:
        raise DataError(f"{name}: y has shape ()", expected="one label per sample", remedy="check how it was saved")
    notes = list(raw.notes)
    values: dict[str, Any] = {"groups": None, "split": None}
    if raw.groups is not None:
        values["groups"] = _per_sample(raw.groups, f"{name}: {raw.group_key}")
        notes.append(f"groups from {raw.group_key}: {len(np.unique(values['groups']))} groups")
    if raw.split is not None:
        values["split"], said = read_split(_per_sample(raw.split, f"{name}: split"), name=name)
        notes.extend(said)
    target = Target(
        raw.x,
        raw.y,
        class_names=raw.class_names,
        task=options.task,
        name=name,
        group_key=raw.group_key,
        sample_rate=options.sample_rate or raw.sample_rate,
        alphabet=raw.alphabet,
        notes=tuple(notes),
        **values,
    )
    _check_labels_differ(target)
    return target


def read_split(values: Array, *, name: str) -> tuple[Array, tuple[str, ...]]:
    """Names or codes of splits to 0 (train) and 1 (test), with what was done about validation samples.

    Validation samples count as test samples where there is no test split, else as train samples.

    Raises:
        DataError: a value that names no split.

    Example:
        >>> read_split(np.array(["train", "val", "test"]), name="data.npz")[0].tolist()
        [0, 0, 1]
    """
    present, codes = np.unique(values, return_inverse=True)
    words = [_word(value) for value in present.tolist()]
    unknown = [word for word in words if word not in TRAIN_NAMES + TEST_NAMES + VALIDATION_NAMES]
    if unknown:
        raise DataError(
            f"{name}: split has the value {unknown[0]!r}",
            expected="0 or train, 1 or test",
            remedy="rename it, or leave split out",
        )
    validation = TRAIN if any(word in TEST_NAMES for word in words) else TEST
    meaning = [TRAIN if word in TRAIN_NAMES else TEST if word in TEST_NAMES else validation for word in words]
    notes = ()
    if any(word in VALIDATION_NAMES for word in words):
        part = "train" if validation == TRAIN else "test"
        notes = (f"validation samples count as {part} samples",)
    return np.array(meaning, dtype=np.uint8)[codes.reshape(-1)], notes


def _word(value: object) -> str:
    """A split value in lower case; 1.0 and 1 are the same."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip().lower()


def _per_sample(array: Array, where: str) -> Array:
    """(n,) or (n, 1) to (n,), without missing values."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(
            f"{where} has shape {array.shape}", expected="one value per sample, shape (n,)", remedy="flatten it"
        )
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise DataError(
            f"{where} has {int(np.isnan(array).sum())} NaN, the first at sample {int(np.isnan(array).argmax())}",
            expected="a value for every sample",
            remedy="give these samples a value of their own",
        )
    return array


def _check_rank(x: Array, name: str) -> None:
    """Refuse shapes that no embedder knows."""
    if 2 <= x.ndim <= LARGEST_RANK or x.size == 0 or (x.ndim == 1 and x.dtype.kind not in "biuf"):
        return
    hint = {
        0: "save all samples as one array, first axis the samples",
        1: "if these are vectors with one feature, save x[:, None]; if it is one long series, cut it into samples",
    }.get(x.ndim, "merge axes, or save frames as samples of their own")
    raise DataError(
        f"{name}: x has rank {x.ndim}, shape {x.shape}",
        expected="(n, d), (n, channels, time), (n, height, width) or (n, height, width, channels), or n strings",
        remedy=hint,
    )


def _check_labels_differ(target: Target) -> None:
    """Refuse labels from which nothing can be learnt."""
    if target.task == "multilabel" or target.y.min() < target.y.max():
        return
    names = target.class_names or ()
    what = repr(names[int(target.y[0])]) if target.task == "classification" else repr(float(target.y.flat[0]))
    raise DataError(
        f"{target.name}: y has one class: all {len(target)} samples have the label {what}"
        if target.task == "classification"
        else f"{target.name}: y is {what} everywhere",
        expected="at least two classes" if target.task == "classification" else "a quantity that varies",
        remedy=f"check how y was saved; the classes are {listing(names)}"
        if len(names) > 1
        else "check how y was saved",
    )
