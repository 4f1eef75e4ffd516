"""An .npz file, opened with every check that can be made before an array is read."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from gapkit.arrays import Array
from gapkit.data.headers import damage_told, read_values
from gapkit.data.text import reason
from gapkit.errors import DataError

ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")  # a first member; none at all
NPY_MAGIC = b"\x93NUMPY"


class Archive:
    """The arrays of an .npz file, each read only when it is asked for and only after its header was checked.

    Attributes:
        name: of the file, for messages.
        keys: of the arrays, in the order of the file.
    """

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
        with _table_of_contents(path.name, stream) as file:
            yield Archive(path.name, file)


def _table_of_contents(name: str, stream: BufferedReader) -> zipfile.ZipFile:
    """The zip archive, whose table of contents stands at its end."""
    try:
        return zipfile.ZipFile(stream)
    except (zipfile.BadZipFile, ValueError, EOFError, OverflowError, NotImplementedError) as error:
        raise DataError(
            f"{name} begins like an .npz file but is truncated or altered ({reason(error)})",
            expected="a whole zip archive with its table of contents at the end",
            remedy="copy or download it again",
        ) from error


def _not_an_archive(name: str, magic: bytes) -> DataError:
    """The error for a file that does not begin like a zip archive."""
    got, remedy = f"{name} is not an .npz file: it begins with {magic!r}", "save it with np.savez(file, x=x, y=y)"
    if not magic:
        got = f"{name} is an empty file"
    elif magic == NPY_MAGIC:
        got = f"{name} holds one array in .npy format, not an .npz archive"
        remedy = "rename it to .npy and name the labels with --labels FILE, or save x and y with np.savez"
    return DataError(got, expected="a zip archive of arrays as numpy.savez writes it", remedy=remedy)
