"""Reader of .npz archives and of .npy arrays with a file of labels."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from gapkit.arrays import Array
from gapkit.data.headers import damage_told, read_values
from gapkit.data.keys import choose_group, listing, require
from gapkit.data.memory import check_memory
from gapkit.data.options import ReadOptions
from gapkit.data.raw import Raw
from gapkit.errors import DataError

INPUT_KEYS = ("x", "X", "images")
LABEL_KEYS = ("y", "Y", "labels", "label", "targets", "target")
PARTS = ("train", "test", "val", "valid", "validation")
ZIP_MAGIC, NPY_MAGIC = b"PK\x03\x04", b"\x93NUMPY"

Parts = dict[str, str]
"""Which key holds which split: {"train": "x_train", "test": "x_test"}, or {"": "x"} where one key holds all."""


class Archive:
    """The arrays of an .npz file, each read only when it is asked for and only after its header was checked."""

    def __init__(self, name: str, file: zipfile.ZipFile) -> None:
        """Look at the member names; no array is read."""
        self.name = name
        self._file = file
        self._members = {info.filename.removesuffix(".npy"): info for info in file.infolist()}
        self.keys = tuple(self._members)

    def read(self, key: str) -> Array:
        """The array called ``key``.

        Raises:
            DataError: pickled, damaged, cut, or larger than the memory there is.
        """
        info, where = self._members[key], f"{self.name}: {key}"
        with damage_told(where), self._file.open(info) as stream:
            return read_values(stream, where=where, size=info.file_size)


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """An .npz file for reading.

    Raises:
        DataError: it is no zip archive, or was cut.
    """
    with path.open("rb") as stream:
        magic = stream.read(len(NPY_MAGIC))
        if not magic.startswith(ZIP_MAGIC):
            raise _not_an_archive(path.name, magic)
        try:
            file = zipfile.ZipFile(stream)
        except (zipfile.BadZipFile, ValueError, EOFError, OverflowError, NotImplementedError) as error:
            raise DataError(
                f"{path.name} begins like an .npz file but was cut or altered ({error})",
                expected="a whole zip archive with its table of contents at the end",
                remedy="copy or download it again",
            ) from error
        with file:
            yield Archive(path.name, file)


def _not_an_archive(name: str, magic: bytes) -> DataError:
    """The error for a file that does not begin like a zip archive."""
    got, remedy = f"{name} is not an .npz file: it begins with {magic!r}", "save it with np.savez(file, x=x, y=y)"
    if not magic:
        got = f"{name} is an empty file"
    elif magic == NPY_MAGIC:
        got = f"{name} holds one array in .npy format, not an .npz archive"
        remedy = "rename it to .npy and name the labels with --labels FILE, or save x and y with np.savez"
    return DataError(got, expected="a zip archive of arrays as numpy.savez writes it", remedy=remedy)


def read_npz(path: Path, options: ReadOptions) -> Raw:
    """Read x and y, or X and labels, or x_train, y_train, x_test and y_test, and what stands beside them.

    Beside them: ``split``, a group key, ``class_names``, ``sample_rate``, ``alphabet``; other keys are named in the notes.

    Raises:
        DataError: no such keys (the message names those there are), or an array that cannot be read.
        OptionError: a key that was asked for and is not there.
    """
    with open_archive(path) as archive:
        inputs, labels = _find_inputs(archive, options), _find_labels(archive, options)
        if set(inputs) != set(labels):
            raise _no_pairs(archive, inputs, labels)
        x = _gather(archive, inputs, list(inputs))
        y = _gather(archive, labels, list(inputs))
        used = {*inputs.values(), *labels.values()}
        raw, more = _beside(archive, options, x=x, y=y, inputs=inputs, labels=labels)
        ignored = [key for key in archive.keys if key not in used | more]
        notes = list(raw.notes)
        if "" not in inputs:
            notes.insert(0, "joined " + listing(inputs.values()))
        if ignored:
            notes.append("ignored: " + listing(ignored))
    return _replace_notes(raw, notes)


def _replace_notes(raw: Raw, notes: Sequence[str]) -> Raw:
    """The same findings with other notes."""
    from dataclasses import replace

    return replace(raw, notes=tuple(notes))
