"""Readers of .csv and .parquet files: one row per sample, the label in a column of its own."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from gapkit.data.frames import label_columns, raw_from_frame
from gapkit.data.memory import check_memory
from gapkit.data.options import ReadOptions
from gapkit.data.raw import Raw
from gapkit.data.text import read_text, reason, separator
from gapkit.errors import DataError

HUB_METADATA = b"huggingface"


def read_csv(path: Path, options: ReadOptions) -> Raw:
    """Read a table of comma-, semicolon- or tab-separated values; the first line names the columns.

    Raises:
        DataError: not UTF-8, empty, ragged, missing values, no label column.
        OptionError: a column that was asked for and is not there.
    """
    check_memory(path.stat().st_size, where=path.name)
    text = read_text(path)
    try:
        frame = pd.read_csv(io.StringIO(text), sep=separator(text), low_memory=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError, OverflowError) as error:
        raise DataError(
            f"{path.name} is no table ({reason(error)})",
            expected="a line of column names, then one line per sample with as many values",
            remedy="check this line, and that text with commas stands in quotes",
        ) from error
    if not isinstance(frame.index, pd.RangeIndex):
        raise DataError(
            f"{path.name} has more values in a line than column names",
            expected="as many names in the first line as values in the others",
            remedy="name every column, and end no line with a separator",
        )
    return raw_from_frame(frame, options, where=path.name)


def read_arrow_table(table: pa.Table, options: ReadOptions, *, where: str) -> Raw:
    """Read a table of numbers and strings; class names are taken from the metadata that Hugging Face data sets leave.

    Raises:
        DataError: missing values, no label column, columns that are neither numbers nor categories.
        OptionError: a column that was asked for and is not there.
    """
    labels = label_columns(table.column_names, options, where=where)
    names = _class_names(table.schema.metadata, labels[0]) if len(labels) == 1 else None
    return raw_from_frame(table.to_pandas(), options, where=where, class_names=names)


def _class_names(metadata: Mapping[bytes, bytes] | None, label: str) -> tuple[str, ...] | None:
    """Names of a ``ClassLabel`` column; None where there are none, or where the metadata is of another kind."""
    try:
        feature = json.loads((metadata or {})[HUB_METADATA])["info"]["features"][label]
        return tuple(map(str, feature["names"]))
    except (KeyError, TypeError, ValueError):
        return None


def parquet_table(path: Path) -> pa.Table:
    """The arrow table of a parquet file, after its size was compared with the memory there is.

    Raises:
        DataError: not a parquet file, or larger than the memory there is.
    """
    try:
        with pq.ParquetFile(path) as file:
            groups = range(file.metadata.num_row_groups)
            check_memory(sum(file.metadata.row_group(i).total_byte_size for i in groups), where=path.name)
            table = file.read()
        table.validate(full=True)
        # pandas' own notes in the schema may be damaged, and only say which columns were an index
        kept = {key: value for key, value in (table.schema.metadata or {}).items() if key == HUB_METADATA}
        return table.replace_schema_metadata(kept)
    except (pa.ArrowException, OSError, ValueError, EOFError) as error:
        if isinstance(error, PermissionError):
            raise
        raise DataError(
            f"{path.name} is no parquet file or is damaged ({reason(error)})",
            expected="a file as pandas.DataFrame.to_parquet writes it",
            remedy="copy or download it again, or save it again",
        ) from error
