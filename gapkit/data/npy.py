"""Reader of one .npy array with a file of labels; the array stays on disk as a memory map."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from gapkit.arrays import Array
from gapkit.data.headers import check_size, damage_told, plain, read_header, read_values
from gapkit.data.options import ReadOptions
from gapkit.data.raw import Raw
from gapkit.data.text import read_lines, read_text, separator
from gapkit.errors import DataError, OptionError

LABEL_SUFFIXES = (".npy", ".csv", ".txt")


def read_npy(path: Path, options: ReadOptions) -> Raw:
    """Read inputs from ``path``, as a memory map, and labels from the file ``options.labels``.

    A ``.csv`` of several columns may hold groups and a split beside the labels.

    Raises:
        OptionError: no file of labels was named.
        DataError: either file cannot be read.
    """
    if options.labels is None:
        raise OptionError(
            f"{path.name} holds one array and no labels",
            expected="a file with one label per sample beside it",
            remedy="name it with --labels FILE (labels=FILE): .npy, .csv or .txt; or save x and y as .npz",
        )
    x, labels = _mapped(path), Path(options.labels).expanduser()
    _check_labels_file(labels)
    if labels.suffix.lower() == ".csv" and separator(read_text(labels)) in read_lines(labels)[0]:
        from gapkit.data.tables import csv_frame, raw_from_frame

        return raw_from_frame(csv_frame(labels), replace(options, labels=None), where=labels.name, x=x)
    return Raw(x=x, y=_labels(labels, len(x) if x.ndim else 0))


def _mapped(path: Path) -> Array:
    """The array as a read-only memory map, after its header was compared with the file."""
    with damage_told(path.name):
        with path.open("rb") as stream:
            check_size(read_header(stream, where=path.name), path.stat().st_size, where=path.name)
        return plain(np.load(path, mmap_mode="r", allow_pickle=False), where=path.name)


def _check_labels_file(path: Path) -> None:
    """Refuse a file of labels that is not there or of another kind."""
    if path.suffix.lower() not in LABEL_SUFFIXES:
        raise OptionError(
            f"labels {str(path)!r}", expected="a file that ends in .npy, .csv or .txt", remedy="save the labels so"
        )
    if not path.is_file():
        raise DataError(f"labels: there is no file {str(path)!r}", expected="a file of labels", remedy="check the path")


def _labels(path: Path, n: int) -> Array:
    """Labels from a file with nothing else; ``n`` tells a header line from a first label."""
    if path.suffix.lower() == ".npy":
        with damage_told(path.name), path.open("rb") as stream:
            return read_values(stream, where=path.name, size=path.stat().st_size)
    lines = read_lines(path)
    if len(lines) == n + 1:
        lines = lines[1:]
    return _numbers_or_words(lines)


def _numbers_or_words(words: list[str]) -> Array:
    """Integers where all words are, else floats where all are, else strings."""
    for dtype in (np.int64, np.float64):
        try:
            return np.array(words).astype(dtype)
        except (ValueError, OverflowError):
            continue
    return np.array(words)
