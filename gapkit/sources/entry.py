"""One entry of the cache: written under a name of its own, renamed when it is complete, deleted as a whole."""

from __future__ import annotations

import os
import shutil
import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Self

from gapkit.arrays import Array, StoredFeatures
from gapkit.errors import StorageError
from gapkit.sources.journal import JOURNAL, Journal, read_journal, sync_folder, write_journal
from gapkit.sources.locks import FileLock
from gapkit.sources.rows import RowFiles, check_room, holds, open_rows, storing

PARTIAL, DROPPED = ".partial", ".dropped"


def open_entry(folder: Path, lock: FileLock) -> dict[str, StoredFeatures] | None:
    """The arrays of a complete entry, which keep the (shared) lock as long as any of them lives; None if it is damaged.

    Journal, names, sizes, shapes and dtypes are checked; values are not.
    """
    journal = read_journal(folder)
    if journal is None or not journal.complete or not holds(folder, journal.layout, journal.layout.n, exactly=True):
        return None
    arrays = open_rows(folder, journal.layout)
    with suppress(OSError):  # the time of last use, on media that can be written
        os.utime(folder / JOURNAL)
    for array in arrays.values():
        # The finalizers refer to the lock, and it is released when nothing does.
        weakref.finalize(array, _let_go, lock).atexit = False
    return arrays


def _let_go(_: FileLock) -> None:
    """Called when an array is gone; dropping the reference is all there is to do."""


def drop(directory: Path, key: str) -> None:
    """Delete an entry, complete or not; it has lost its name before its first file goes.

    Raises:
        OSError: it cannot be deleted, on Windows because it is open.
    """
    dropped = directory / f"{key}{DROPPED}"
    shutil.rmtree(dropped, ignore_errors=True)
    for folder in (directory / key, directory / f"{key}{PARTIAL}"):
        if folder.is_dir():
            folder.replace(dropped)
            shutil.rmtree(dropped)


class Claim:
    """The right of one process to write one entry, until the block ends.

    Where the entry is complete, its arrays take the lock over and share it with other readers.
    """

    def __init__(self, directory: Path, key: str, lock: FileLock, *, checkpoint_seconds: float) -> None:
        """Take over the lock, held alone."""
        self.folder, self.partial = directory / key, directory / f"{key}{PARTIAL}"
        self.checkpoint_seconds = checkpoint_seconds
        self._lock, self._handed_on = lock, False

    def __enter__(self) -> Self:
        """The right is there already."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Give it up; a lock file without an entry goes, too."""
        if self._handed_on:
            return
        if not self.partial.is_dir():
            self._lock.unlink()
        self._lock.release()

    def arrays(self) -> dict[str, StoredFeatures] | None:
        """The arrays of the complete entry; None where there is none."""
        arrays = open_entry(self.folder, self._lock)
        if arrays is not None:
            self._handed_on = True
            self._lock.share()
        return arrays

    def journal(self) -> Journal | None:
        """What an interrupted run left, if its files hold what its journal says."""
        journal = read_journal(self.partial)
        return journal if journal is not None and holds(self.partial, journal.layout, journal.done) else None

    def write(self, journal: Journal) -> EntryRows:
        """Go on where ``journal`` ends, or begin a new entry where nothing is done.

        Raises:
            StorageError: the folder cannot be written, or the disk has no room for the rest.
        """
        directory, layout = self.folder.parent, journal.layout
        with storing(directory):
            if not journal.done:
                drop(directory, self.folder.name)
            check_room(directory, layout.nbytes // layout.n * (layout.n - journal.done))
            self.partial.mkdir(exist_ok=True)
            try:
                return EntryRows(self, journal)
            except OSError:
                if not journal.done:
                    shutil.rmtree(self.partial, ignore_errors=True)
                raise


class EntryRows:
    """A ``RowStore`` that writes an entry and its journal.

    At a checkpoint the rows are brought to the disk before the journal says that they are there. A block that is left
    by an exception ends with a checkpoint, unless the folder cannot be written: then the partial entry is deleted.
    """

    def __init__(self, claim: Claim, journal: Journal) -> None:
        """Open the files behind the rows that are done.

        Raises:
            OSError: they cannot be opened.
        """
        self._claim, self._journal = claim, journal
        self._files = RowFiles(claim.partial, journal.layout, done=journal.done)
        self._checked = time.monotonic()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """End; what can be resumed is kept."""
        try:
            if isinstance(error, StorageError):
                shutil.rmtree(self._claim.partial, ignore_errors=True)
            elif kind is not None and self._claim.partial.is_dir():
                with suppress(OSError):  # the exception that is under way says more
                    self._checkpoint()
        finally:
            self._files.close()

    def append(self, rows: Mapping[str, Array], batch_size: int) -> None:
        """Write the rows of the next batch.

        Raises:
            StorageError: the disk is full; other entries are as they were.
        """
        with storing(self._claim.partial):
            self._files.append(rows)
            done = self._journal.done + len(next(iter(rows.values())))
            self._journal = replace(self._journal, done=done, batch_size=batch_size)
            if time.monotonic() - self._checked >= self._claim.checkpoint_seconds:
                self._checkpoint()

    def finish(self) -> dict[str, StoredFeatures]:
        """Give the entry its name and open it.

        Raises:
            StorageError: the last rows cannot be written.
        """
        with storing(self._claim.partial):
            self._journal = replace(self._journal, complete=True)
            self._checkpoint()
            self._files.close()
            self._claim.partial.replace(self._claim.folder)
            sync_folder(self._claim.folder.parent)
        arrays = self._claim.arrays()
        if arrays is None:
            raise StorageError(
                f"{self._claim.folder}: the features read back are not those that were written",
                expected="a disk that keeps what is written to it",
                remedy="set GAPKIT_CACHE to another disk, or use --no-cache",
            )
        return arrays

    def _checkpoint(self) -> None:
        """Bring the rows to the disk, then say so in the journal."""
        self._files.sync()
        write_journal(self._claim.partial, self._journal)
        self._checked = time.monotonic()
