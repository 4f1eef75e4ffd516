"""Where rows go as they are computed: one ``.npy`` file for each layer, appended to, or arrays in memory."""

from __future__ import annotations

import errno
import io
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, Self

import numpy as np

from gapkit.arrays import Array, StoredFeatures
from gapkit.errors import StorageError

DTYPE = np.dtype("<f4")
IN_MEMORY_BYTES = 1 << 29
"""Larger features that nobody keeps go to a temporary folder."""
HEADER_BYTES, JOURNAL_BYTES = 192, 4096
FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Layout:
    """The arrays of one capture: n rows, and for each layer, features and logits the number of columns."""

    n: int
    widths: dict[str, int]

    @property
    def nbytes(self) -> int:
        """Of all values together."""
        return self.n * sum(self.widths.values()) * DTYPE.itemsize

    @property
    def disk_bytes(self) -> int:
        """Of all values with the headers and the journal, which takes less than it is given here."""
        return self.nbytes + HEADER_BYTES * len(self.widths) + JOURNAL_BYTES + 2 * sum(map(len, self.widths))


class RowStore(Protocol):
    """Takes rows in order and gives them back as whole arrays; leaving the block early keeps what can be resumed."""

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """End, by an exception or not."""
        ...

    def append(self, rows: Mapping[str, Array], batch_size: int) -> None:
        """Take the rows of the next batch, (B, D) for each name of the layout."""
        ...

    def finish(self) -> dict[str, StoredFeatures]:
        """All arrays (n, D), read-only; called once, after the last row."""
        ...


@contextmanager
def storing(folder: Path) -> Iterator[None]:
    """Turn what the file system refuses into words.

    Raises:
        StorageError: instead of OSError.
    """
    try:
        yield
    except OSError as error:
        full = error.errno in FULL
        raise StorageError(
            f"{folder}: {'the disk is full' if full else f'cannot be written ({error.strerror or error})'}",
            expected="room for the features of the target" if full else "a folder that can be written",
            remedy="free some space, run `gapkit cache --clear`, set GAPKIT_CACHE to another disk, or use --no-cache",
        ) from error


def check_room(folder: Path, nbytes: int) -> None:
    """Refuse to begin what the disk will not hold.

    Raises:
        OSError: less than ``nbytes`` are free.
    """
    if shutil.disk_usage(folder).free < nbytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def write_all(file: BinaryIO, data: bytes | memoryview) -> None:
    """Write every byte to an unbuffered file, which may take them in pieces."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


class RowFiles:
    """The files of one layout in a folder, appended to with plain writes.

    Memory maps would be shorter, but a full disk kills a process that writes to one, and written pages count as its
    memory.
    """

    def __init__(self, folder: Path, layout: Layout, *, done: int = 0) -> None:
        """Open the files; what was written after the first ``done`` rows is cut off.

        Raises:
            OSError: a file cannot be made.
        """
        self.layout = layout
        self._files: list[BinaryIO] = []
        try:
            for position, width in enumerate(layout.widths.values()):
                self._open(folder / f"{position}.npy", (layout.n, width), done)
        except BaseException:
            self.close()
            raise

    def _open(self, path: Path, shape: tuple[int, int], done: int) -> None:
        """Open one file for appending behind its header and ``done`` rows."""
        file = open(path, "r+b" if done else "w+b", buffering=0)  # noqa: SIM115 - closed by close()
        self._files.append(file)
        header = _header(shape)
        if not done:
            write_all(file, header)
        file.truncate(len(header) + done * shape[1] * DTYPE.itemsize)
        file.seek(0, os.SEEK_END)

    def append(self, rows: Mapping[str, Array]) -> None:
        """Write the rows (B, D) of every layer.

        Raises:
            OSError: the disk is full, for instance.
        """
        for file, name in zip(self._files, self.layout.widths, strict=True):
            write_all(file, np.ascontiguousarray(rows[name], DTYPE).tobytes())

    def sync(self) -> None:
        """Come back when everything is on the disk."""
        for file in self._files:
            os.fsync(file.fileno())

    def close(self) -> None:
        """Close the files; a second time does nothing."""
        for file in self._files:
            file.close()


def _header(shape: tuple[int, int]) -> bytes:
    """The beginning of a ``.npy`` file; its length depends on the shape alone."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": DTYPE.str, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def holds(folder: Path, layout: Layout, done: int, *, exactly: bool = False) -> bool:
    """Whether every file of the layout is there with its header and at least ``done`` rows."""
    for position, width in enumerate(layout.widths.values()):
        path, header = folder / f"{position}.npy", _header((layout.n, width))
        expected = len(header) + done * width * DTYPE.itemsize
        try:
            size = path.stat().st_size
            with path.open("rb") as file:
                found = file.read(len(header))
        except OSError:
            return False
        if found != header or size < expected or (exactly and size != expected):
            return False
    return True


def open_rows(folder: Path, layout: Layout) -> dict[str, StoredFeatures]:
    """The arrays (n, D) of a folder for which ``holds`` is true, as read-only memory maps.

    Raises:
        OSError: a file cannot be read.
    """
    arrays: dict[str, StoredFeatures] = {}
    for position, (name, width) in enumerate(layout.widths.items()):
        path = folder / f"{position}.npy"
        # Nothing cannot be mapped: the logits of a headless source have no columns.
        arrays[name] = np.load(path, mmap_mode="r" if width else None, allow_pickle=False)
        arrays[name].setflags(write=False)
    return arrays


class MemoryRows:
    """Rows in arrays that are made once, in full size."""

    def __init__(self, layout: Layout) -> None:
        """Make the arrays."""
        self._arrays = {name: np.empty((layout.n, width), DTYPE) for name, width in layout.widths.items()}
        self._done = 0

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Nothing to put away."""

    def append(self, rows: Mapping[str, Array], batch_size: int) -> None:
        """Copy the rows of the next batch."""
        start = self._done
        for name, array in self._arrays.items():
            self._done = start + len(rows[name])
            array[start : self._done] = rows[name]

    def finish(self) -> dict[str, StoredFeatures]:
        """The arrays, read-only."""
        for array in self._arrays.values():
            array.setflags(write=False)
        return self._arrays


class TemporaryRows:
    """Rows in files of a temporary folder, whose space is given back with the last reference to the arrays."""

    def __init__(self, layout: Layout) -> None:
        """Make the folder and its files.

        Raises:
            StorageError: there is no room.
        """
        self._layout = layout
        with storing(Path(tempfile.gettempdir())):
            check_room(Path(tempfile.gettempdir()), layout.nbytes)
            self._folder = tempfile.TemporaryDirectory(prefix="gapkit-", ignore_cleanup_errors=True)
            self._files = RowFiles(Path(self._folder.name), layout)

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Delete the folder; arrays that are open go on to be readable (on Windows, it is deleted at the end)."""
        self._files.close()
        self._folder.cleanup()

    def append(self, rows: Mapping[str, Array], batch_size: int) -> None:
        """Write the rows of the next batch.

        Raises:
            StorageError: the disk is full.
        """
        with storing(Path(self._folder.name)):
            self._files.append(rows)

    def finish(self) -> dict[str, StoredFeatures]:
        """The arrays, as memory maps."""
        self._files.close()
        return open_rows(Path(self._folder.name), self._layout)
