"""Locks between processes, which the operating system releases when their process ends, however it ends."""

from __future__ import annotations

import os
import sys
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Self

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int, *, shared: bool) -> bool:
        """Windows locks a byte for one process alone; what readers have open cannot be deleted there anyway."""
        if shared:
            return True
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(descriptor: int, *, shared: bool) -> bool:
        """Lock an open file, or say at once that another holds it."""
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class FileLock:
    """A lock on a file, held until ``release``, until nothing refers to it any more, or until the process ends.

    Many may hold it shared, or one alone; processes do not wait for it.
    """

    def __init__(self, descriptor: int, path: Path) -> None:
        """Hold what ``acquire`` has locked."""
        self.path = path
        self._descriptor = descriptor
        self._close = weakref.finalize(self, os.close, descriptor)

    @classmethod
    def acquire(cls, path: Path, *, shared: bool = False) -> FileLock | None:
        """Lock the file at ``path``, which is made where there is none; None while another holds it.

        Raises:
            OSError: the file cannot be made or locked.
        """
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                locked = _lock(descriptor, shared=shared)
                current = locked and _is_at(descriptor, path)
            except BaseException:
                os.close(descriptor)
                raise
            if current:
                return cls(descriptor, path)
            os.close(descriptor)
            if not locked:
                return None
            # Whoever held the lock deleted the file, so that ours is not the one that others will find: once more.

    def share(self) -> None:
        """Let others hold the lock, too."""
        _lock(self._descriptor, shared=True)

    def __enter__(self) -> Self:
        """The lock is held already."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Give it back."""
        self.release()

    def unlink(self) -> None:
        """Delete the file; on Windows, which keeps open files, it stays."""
        with suppress(PermissionError):
            self.path.unlink(missing_ok=True)

    def release(self) -> None:
        """Give the lock back; a second time does nothing."""
        self._close()


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one at ``path``."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
