"""Reader of Hugging Face data sets on disk (extra ``hub``): what ``save_to_disk`` wrote, or parquet files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from gapkit.arrays import Array
from gapkit.data.frames import label_columns, raw_from_frame
from gapkit.data.images import Picture, stack_images
from gapkit.data.keys import choose_group, is_group_name, listing, require
from gapkit.data.options import ReadOptions
from gapkit.data.raw import SPLIT_WORDS, Raw
from gapkit.data.tables import HUB_METADATA, parquet_table
from gapkit.data.text import reason
from gapkit.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset

MARKERS = ("dataset_dict.json", "state.json", "dataset_info.json")
INPUT_NAMES = ("x", "image", "img", "text", "sentence", "input", "series", "values")


def is_hub_folder(path: Path) -> bool:
    """Whether a folder holds a data set that ``save_to_disk`` wrote, or parquet files."""
    return any((path / name).is_file() for name in MARKERS) or any(_parquet_files(path))


def _parquet_files(path: Path) -> list[Path]:
    """Parquet files in a folder or in its ``data``, as the hub lays them out, in sorted order."""
    return sorted([*path.glob("*.parquet"), *path.glob("data/*.parquet")])


def _datasets() -> Any:
    """The package ``datasets``, imported when it is needed.

    Raises:
        DataError: it is not installed.
    """
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise DataError(
            "the package datasets is not installed",
            expected="it for Hugging Face data sets",
            remedy="pip install 'gapkit[hub]', or save the data as .npz",
        ) from error
    return datasets


def read_hub(path: Path, options: ReadOptions) -> Raw:
    """Read a folder; nothing is downloaded, cached or run.

    Raises:
        DataError: ``datasets`` is missing, the folder is damaged, no label column, features of another kind.
        OptionError: a column that was asked for and is not there.
    """
    if not any((path / name).is_file() for name in MARKERS):
        tables: dict[str, list[pa.Table]] = {}
        for file in _parquet_files(path):
            tables.setdefault(_split_of(file), []).append(parquet_table(file))
        return read_arrow({split: pa.concat_tables(some) for split, some in tables.items()}, options, where=path.name)
    datasets = _datasets()
    try:
        loaded = datasets.load_from_disk(str(path))
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise DataError(
            f"{path.name} cannot be read as a Hugging Face data set ({reason(error)})",
            expected="a folder that save_to_disk wrote",
            remedy="write it again with dataset.save_to_disk(folder)",
        ) from error
    parts = dict(loaded) if isinstance(loaded, datasets.DatasetDict) else {"": loaded}
    return _read(parts, options, where=path.name)


def is_hub_table(table: pa.Table) -> bool:
    """Whether a Hugging Face data set wrote the table, or a column holds images, lists or arrays."""
    kinds = [field.type for field in table.schema]
    nested = any(pa.types.is_nested(kind) or isinstance(kind, pa.BaseExtensionType) for kind in kinds)
    return nested or HUB_METADATA in (table.schema.metadata or {})


def _split_of(file: Path) -> str:
    """The split that a parquet file is called after, such as train-00000-of-00002.parquet; empty where it is not."""
    word = re.split(r"[^a-z]", file.stem.lower())[0]
    return word if word in SPLIT_WORDS else ""


def read_arrow(tables: Mapping[str, pa.Table], options: ReadOptions, *, where: str) -> Raw:
    """Read arrow tables, one for each split; columns may hold encoded images or arrays.

    Raises:
        DataError: ``datasets`` is missing, no label column, features of another kind.
        OptionError: a column that was asked for and is not there.
    """
    datasets = _datasets()
    try:
        parts = {split: datasets.Dataset(datasets.table.InMemoryTable(table)) for split, table in tables.items()}
    except (ValueError, TypeError, KeyError, pa.ArrowException) as error:
        raise DataError(
            f"{where}: the description of its features is damaged ({reason(error)})",
            expected="parquet files as datasets.Dataset.to_parquet writes them",
            remedy="write them again",
        ) from error
    return _read(parts, options, where=where)


def _read(parts: Mapping[str, Dataset], options: ReadOptions, *, where: str) -> Raw:
    """Join the splits, choose the columns and decode them."""
    dataset, split, notes = _joined(parts, where)
    labels = label_columns(dataset.column_names, _with_class_label(dataset, options), where=where)
    coded: Any = dataset.features[labels[0]]
    names = tuple(coded.names) if len(labels) == 1 and isinstance(coded, _datasets().ClassLabel) else None
    column = _input_column(dataset, options, labels, where)
    if column is None:
        frame: Any = dataset.with_format(None).to_pandas()
        raw = raw_from_frame(frame, options, where=where, class_names=names, split=split)
        return replace(raw, notes=(*notes, *raw.notes))
    group = choose_group(dataset.column_names, options.group, where=where, taken=[*labels, column])
    x, said = _decode(dataset, column, where)
    y = [_scalars(dataset, name, where) for name in labels]
    return Raw(
        x=x,
        y=y[0] if len(y) == 1 else np.stack(y, axis=1),
        class_names=names if len(y) == 1 else tuple(labels),
        groups=_scalars(dataset, group, where) if group else None,
        group_key=group,
        split=split,
        notes=(*notes, f"labels from {listing(labels)}", f"input from {column}", *said),
    )


def _joined(parts: Mapping[str, Dataset], where: str) -> tuple[Dataset, Array | None, list[str]]:
    """All train, test and validation samples one after another, their split, and a note on other splits."""
    known = {name: part for name, part in parts.items() if name.lower() in SPLIT_WORDS}
    left = [name for name in parts if name not in known]
    if not known and len(parts) == 1:
        return next(iter(parts.values())), None, []
    if not known:
        raise DataError(
            f"{where} has the splits {listing(parts)}", expected="train and test", remedy="rename the splits"
        )
    try:
        dataset = _datasets().concatenate_datasets(list(known.values()))
    except (ValueError, TypeError, pa.ArrowException) as error:
        raise DataError(
            f"{where}: its splits have different features ({reason(error)})",
            expected="the same features in every split",
            remedy="save the splits with the same columns",
        ) from error
    split = np.repeat(np.array(list(known)), [len(part) for part in known.values()])
    return dataset, split, [f"splits left out: {listing(left)}"] if left else []


def _with_class_label(dataset: Dataset, options: ReadOptions) -> ReadOptions:
    """Options that name the only column of class labels, where the user named none."""
    coded = [name for name, kind in dataset.features.items() if isinstance(kind, _datasets().ClassLabel)]
    return replace(options, labels=coded[0]) if options.labels is None and len(coded) == 1 else options


def _input_column(dataset: Dataset, options: ReadOptions, labels: list[str], where: str) -> str | None:
    """The column of inputs; None where all columns together are a table.

    Raises:
        DataError: several columns, none of which has a usual name.
        OptionError: a column that was asked for and is not there.
    """
    if options.column is not None:
        require(options.column, dataset.column_names, what="column", where=where)
        return options.column
    free = [name for name in dataset.column_names if name not in labels and not is_group_name(name)]
    free = [name for name in free if name.lower() != "split"]
    pictures = [name for name in free if isinstance(dataset.features[name], _datasets().Image)]
    usual = [name for name in INPUT_NAMES if name in free]
    for found in (pictures, free):
        if len(found) == 1:
            return found[0]
    if usual:
        return usual[0]
    if free and all(isinstance(dataset.features[name], _datasets().Value) for name in free):
        return None
    raise DataError(
        f"{where} has the columns {listing(dataset.column_names)}",
        expected=f"one input column, called {', '.join(INPUT_NAMES)}",
        remedy="name it with column='NAME'",
    )


def _decode(dataset: Dataset, column: str, where: str) -> tuple[Array, tuple[str, ...]]:
    """Inputs of one column: images, strings, numbers or arrays of one shape."""
    datasets = _datasets()
    feature = dataset.features[column]
    if isinstance(feature, datasets.Image):
        rows = dataset.cast_column(column, datasets.Image(decode=False)).with_format(None)[column]
        pictures = [_picture(row, f"{where}: {column} of sample {i}") for i, row in enumerate(rows)]
        return stack_images(pictures, where=where)
    if isinstance(feature, datasets.Value):
        values = _scalars(dataset, column, where)
        return values if values.dtype.kind == "U" else values[:, None], ()
    return _arrays(dataset, column, where), ()


def _picture(row: Mapping[str, Any] | None, name: str) -> Picture:
    """An encoded image from its bytes, or from the file that stands for them."""
    content = (row or {}).get("bytes") or (row or {}).get("path")
    if not content:
        raise DataError(f"{name} is missing", expected="an image for every sample", remedy="drop this sample")
    return Picture(name=name, content=content if isinstance(content, bytes) else Path(content))


def _scalars(dataset: Dataset, column: str, where: str) -> Array:
    """One number or string for each sample."""
    values = dataset.with_format(None)[:][column]
    missing = [i for i, value in enumerate(values) if value is None]
    if missing:
        raise DataError(
            f"{where}: {column} has {len(missing)} missing values, the first at sample {missing[0]}",
            expected="a value for every sample",
            remedy="drop these samples or fill the values in",
        )
    return np.array(values)


def _arrays(dataset: Dataset, column: str, where: str) -> Array:
    """Arrays of one shape, stacked in the dtype that the feature declares."""
    feature: Any = dataset.features[column]
    while not isinstance(getattr(feature, "dtype", None), str) or feature.dtype in ("list", "large_list"):
        feature = getattr(feature, "feature", None)
        if feature is None:
            break
    found = None
    if feature is not None:
        with_numbers = dataset.select_columns([column]).with_format("numpy", dtype=np.dtype(feature.dtype))
        try:
            found = np.asarray(with_numbers[:][column])
        except (ValueError, TypeError, pa.ArrowException):
            found = None
    if found is None or found.dtype.kind not in "biuf":
        raise DataError(
            f"{where}: {column} holds {dataset.features[column]}",
            expected="images, strings, numbers, or arrays that all have one shape",
            remedy="pad or cut the arrays to one shape, or name another column with column='NAME'",
        )
    return found
