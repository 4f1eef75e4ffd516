"""A table in memory to a target: which columns are labels, groups and features, and features as numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from pandas.api import types as kinds

from gapkit.arrays import Array
from gapkit.data.keys import choose_group, choose_label, is_group_name, listing, require
from gapkit.data.options import ReadOptions
from gapkit.data.raw import Raw
from gapkit.errors import DataError

MOST_CATEGORIES = 100
ROW_NUMBER_NAMES = ("index", "id", "unnamed: 0", "__index_level_0__")

Columns = Mapping[str, pd.Series]
"""The columns of a table by name."""


def raw_from_frame(
    frame: pd.DataFrame,
    options: ReadOptions,
    *,
    where: str,
    class_names: tuple[str, ...] | None = None,
    split: Array | None = None,
    x: Array | None = None,
) -> Raw:
    """Tell labels, groups and split from features, and make numbers of the features.

    Args:
        frame: one row per sample.
        options: names of columns, where the user gave them.
        where: file for messages.
        class_names: of the label codes, where they are known from elsewhere.
        split: one value for each row, where it is known from elsewhere.
        x: inputs, where they are known from elsewhere; then no column is a feature.

    Raises:
        DataError: no label column, missing values, columns that are neither numbers nor categories.
        OptionError: a column that was asked for and is not there.
    """
    columns = _columns(frame, where)
    names = tuple(columns)
    labels = label_columns(names, options, where=where)
    group = choose_group(names, options.group, where=where, taken=labels)
    splits = [name for name in names if name.lower() == "split" and name not in labels][:1]
    beside = [*labels, *splits, *([group] if group else [])]
    features, notes = ([], []) if x is not None else _feature_names(columns, options, taken=beside, where=where)
    _refuse_missing(columns, [*beside, *features], where)
    if x is None:
        x, said = _features(columns, features, where=where)
        notes += said
    y, found_names = _labels(columns, labels)
    return Raw(
        x=x,
        y=y,
        class_names=class_names or found_names,
        groups=_values(columns[group]) if group else None,
        group_key=group,
        split=_values(columns[splits[0]]) if splits else split,
        notes=(f"labels from {listing(labels)}", *notes),
    )


def _columns(frame: pd.DataFrame, where: str) -> Columns:
    """Columns by name; categories that are numbers become numbers."""
    names = [str(name) for name in frame.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"{where} has more than one column {twice[0]!r}",
            expected="a different name for every column",
            remedy="rename one of them",
        )
    return {name: _without_number_categories(frame.iloc[:, i]) for i, name in enumerate(names)}


def _without_number_categories(column: pd.Series) -> pd.Series:
    """Categories that are numbers become numbers."""
    if isinstance(column.dtype, pd.CategoricalDtype) and kinds.is_numeric_dtype(column.dtype.categories.dtype):
        return column.astype(np.float64 if column.isna().any() else column.dtype.categories.dtype)
    return column


def label_columns(names: Sequence[str], options: ReadOptions, *, where: str) -> list[str]:
    """The column of labels, or several for a multilabel target, written with commas between.

    Raises:
        DataError: none was named and none has a usual name.
        OptionError: a column that was asked for and is not there.
    """
    asked = None if options.labels is None else str(options.labels)
    if asked is not None and asked not in names and "," in asked:
        several = [name.strip() for name in asked.split(",")]
        for name in several:
            require(name, names, what="label column", where=where)
        return several
    return [choose_label(names, asked, where=where)]


def _feature_names(
    columns: Columns, options: ReadOptions, *, taken: Sequence[str], where: str
) -> tuple[list[str], list[str]]:
    """The columns of features, and notes on the columns left out."""
    if options.column is not None:
        require(options.column, tuple(columns), what="column", where=where)
        return [options.column], []
    free = [name for name in columns if name not in taken]
    left = [name for name in free if is_group_name(name) or _is_row_number(name, columns[name])]
    features = [name for name in free if name not in left]
    if not features:
        raise DataError(
            f"{where} has no feature columns beside {listing(taken)}",
            expected="at least one column of numbers or strings",
            remedy="check the separator: comma, semicolon or tab",
        )
    return features, ([f"left out, as they number rows or groups: {listing(left)}"] if left else [])


def _is_row_number(name: str, column: pd.Series) -> bool:
    """Whether a column counts the rows: as a feature it would give away the order of the file."""
    if name.lower() not in ROW_NUMBER_NAMES or not kinds.is_integer_dtype(column.dtype) or column.isna().any():
        return False
    steps = _values(column)
    return any(np.array_equal(steps, np.arange(first, first + len(steps))) for first in (0, 1))


def _refuse_missing(columns: Columns, used: Iterable[str], where: str) -> None:
    """Count missing values by column and say where the first one is."""
    missing = {name: np.flatnonzero(columns[name].isna().to_numpy()) for name in dict.fromkeys(used)}
    counts = {name: len(rows) for name, rows in missing.items() if len(rows)}
    if counts:
        first = min(int(missing[name][0]) for name in counts)
        raise DataError(
            f"{where} has {sum(counts.values())} missing values, in "
            f"{listing(f'{name} ({count})' for name, count in counts.items())}, the first at sample {first}",
            expected="a value in every cell",
            remedy="drop these rows, or fill the values in",
        )


def _features(columns: Columns, names: Sequence[str], *, where: str) -> tuple[Array, list[str]]:
    """Numbers (n, d) as float64, categories one-hot; or strings (n,) where the only column holds them."""
    words = [name for name in names if _is_text(columns[name])]
    if len(names) == 1 and words:
        return _values(columns[words[0]]), [f"text from {words[0]}"]
    other = [name for name in names if name not in words and not kinds.is_numeric_dtype(columns[name].dtype)]
    if other:
        raise DataError(
            f"{where}: column {other[0]} has dtype {columns[other[0]].dtype}",
            expected="numbers, booleans or strings",
            remedy="convert the column or drop it",
        )
    blocks = [
        _one_hot(name, columns[name], where) if name in words else columns[name].to_numpy(dtype=np.float64)[:, None]
        for name in names
    ]
    return np.concatenate(blocks, axis=1), [f"categorical columns one-hot: {listing(words)}"] if words else []


def _is_text(column: pd.Series) -> bool:
    """Whether a column holds strings, possibly as categories."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return kinds.is_string_dtype(column.dtype.categories.dtype)
    return kinds.is_string_dtype(column.dtype) and all(isinstance(value, str) for value in column.tolist())


def _one_hot(name: str, column: pd.Series, where: str) -> Array:
    """Categories in sorted order as columns of zeros and ones (n, K)."""
    present, codes = np.unique(_values(column), return_inverse=True)
    if len(present) > MOST_CATEGORIES:
        raise DataError(
            f"{where}: column {name} has {len(present)} different strings",
            expected=f"numbers, or at most {MOST_CATEGORIES} categories",
            remedy=f"drop the column, or read it alone as text (column={name!r})",
        )
    return np.eye(len(present))[codes.reshape(-1)]


def _labels(columns: Columns, names: Sequence[str]) -> tuple[Array, tuple[str, ...] | None]:
    """Labels (n,), or (n, K) for several columns, with the names that the columns or their categories give."""
    if len(names) > 1:
        return np.stack([_values(columns[name]) for name in names], axis=1), tuple(names)
    column = columns[names[0]]
    if isinstance(column.dtype, pd.CategoricalDtype):
        return _values(column), tuple(str(name) for name in column.dtype.categories)
    return _values(column), None


def _values(column: pd.Series) -> Array:
    """The column as a plain numpy array: numbers, booleans or strings."""
    if not kinds.is_numeric_dtype(column.dtype):
        return np.array([str(value) for value in column.tolist()], dtype=np.str_)
    if kinds.is_bool_dtype(column.dtype):
        return column.to_numpy(dtype=bool)
    if kinds.is_integer_dtype(column.dtype):
        return column.to_numpy(dtype=np.uint64 if kinds.is_unsigned_integer_dtype(column.dtype) else np.int64)
    return column.to_numpy(dtype=np.float64)
