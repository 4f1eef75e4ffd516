"""Readers of .csv and .parquet files: one row per sample, the label in a column of its own."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from gapkit.data.frames import raw_from_frame
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
    return raw_from_frame(csv_frame(path), options, where=path.name)


def csv_frame(path: Path) -> pd.DataFrame:
    """The table in a text file.

    Raises:
        DataError: not UTF-8, empty, or lines with more values than there are columns.
    """
    check_memory(path.stat().st_size, where=path.name)
    text = read_text(path)
    try:
        with warnings.catch_warnings():
            # pandas would drop the values that have no column
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(io.StringIO(text), sep=separator(text), low_memory=False, index_col=False)
    except (pd.errors.ParserError, pd.errors.ParserWarning, ValueError, OverflowError) as error:
        raise DataError(
            f"{path.name} is no table ({reason(error)})",
            expected="a line of column names, then one line per sample with as many values",
            remedy="check this line, name every column, and put text with commas into quotes",
        ) from error


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
