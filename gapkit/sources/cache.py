"""Features on disk: found again by what they were computed from, resumable, bounded in size.

An entry is a folder named by its key; it holds one ``.npy`` for each layer and ``entry.json`` (see ``journal``). While
it is being written it is called ``KEY.partial``; it gets its name when it is complete, so that no reader meets half an
entry. The lock ``KEY.lock`` is held alone by the one process that writes, and shared by all that have its arrays open.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gapkit.arrays import StoredFeatures
from gapkit.errors import OptionError
from gapkit.sources.entry import DROPPED, PARTIAL, Claim, drop, open_entry
from gapkit.sources.journal import JOURNAL, read_journal
from gapkit.sources.locks import FileLock

DEFAULT_BYTES = 20 * 10**9
FOLDER = re.compile(r"([0-9a-f]{64})(|\.partial|\.dropped)")


@dataclass(frozen=True, kw_only=True)
class CacheEntry:
    """One entry of the cache, as ``gapkit cache`` shows it.

    Attributes:
        key: SHA-256 of what the features were computed from.
        source: name of the source.
        target: name of the target.
        embedder: what the embedder did.
        layers: names of the arrays; "features" and "logits" come last.
        n: samples.
        done: samples that are on the disk; below n where the run was interrupted.
        nbytes: on the disk.
        created: seconds since 1970.
        last_used: likewise.
    """

    key: str
    source: str
    target: str
    embedder: str
    layers: tuple[str, ...]
    n: int
    done: int
    nbytes: int
    created: float
    last_used: float

    @property
    def complete(self) -> bool:
        """Whether all samples are there."""
        return self.done == self.n


class FeatureCache:
    """A folder of features, at most ``max_bytes`` large; the entries that were not used for longest go first.

    Several processes may use it at once. One that finds an entry being written by another computes without the cache.

    Attributes:
        directory: where the entries are.
        max_bytes: largest size of all entries together.
        checkpoint_seconds: time between two checkpoints of an entry that is being written: what a power failure or
            SIGKILL costs at most.
    """

    def __init__(
        self, directory: str | Path | None = None, max_bytes: int = DEFAULT_BYTES, *, checkpoint_seconds: float = 1.0
    ) -> None:
        """Take the folder, by default ``default_directory()``; it is made when the first entry is written.

        Raises:
            OptionError: ``max_bytes`` is negative.
        """
        if max_bytes < 0:
            raise OptionError(f"max_bytes={max_bytes}", expected="0 or more", remedy="leave it out for 20 GB")
        self.directory = Path(directory).expanduser() if directory is not None else default_directory()
        self.max_bytes = max_bytes
        self.checkpoint_seconds = checkpoint_seconds

    def read(self, key: str) -> dict[str, StoredFeatures] | None:
        """The arrays of a complete entry, read-only memory maps; None where there is none.

        An entry whose files are damaged (missing, of another size or shape) is deleted. The entry is not evicted as
        long as any of its arrays is in use.

        Raises:
            OSError: the folder cannot be used.
        """
        folder = self.directory / key
        if not folder.is_dir():
            return None
        lock = FileLock.acquire(self._lock(key), shared=True)
        if lock is None:
            return None
        arrays = open_entry(folder, lock)
        if arrays is None:
            lock.release()
            self._drop(key)
        return arrays

    def claim(self, key: str) -> Claim | None:
        """The right to write an entry; None while another process writes or reads it.

        Raises:
            OSError: the folder cannot be written.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        lock = FileLock.acquire(self._lock(key))
        if lock is None:
            return None
        return Claim(self.directory, key, lock, checkpoint_seconds=self.checkpoint_seconds)

    def make_room(self, nbytes: int, *, key: str) -> bool:
        """Evict what was not used for longest until ``nbytes`` for the entry ``key`` fit; False where they never will.

        Entries that are being read or written stay.
        """
        if nbytes > self.max_bytes:
            return False
        found = [(*_use(folder), folder.name) for folder in self._folders() if not folder.name.startswith(key)]
        total = sum(size for _, size, _ in found)
        for _, size, name in sorted(found):
            if total + nbytes <= self.max_bytes:
                break
            if self._drop(name.partition(".")[0]):
                total -= size
        return total + nbytes <= self.max_bytes

    def list(self) -> tuple[CacheEntry, ...]:
        """The entries, complete or not, the last used first."""
        entries = [entry for folder in self._folders() if (entry := _entry(folder)) is not None]
        return tuple(sorted(entries, key=lambda entry: -entry.last_used))

    def size(self) -> int:
        """Bytes on the disk."""
        return sum(_use(folder)[1] for folder in self._folders())

    def clear(self) -> int:
        """Delete all entries that no process is reading or writing; the bytes that were freed."""
        before = self.size()
        for name in {folder.name.partition(".")[0] for folder in self._folders()}:
            self._drop(name)
        return before - self.size()

    def _lock(self, key: str) -> Path:
        """The file whose lock stands for the entry."""
        return self.directory / f"{key}.lock"

    def _folders(self) -> list[Path]:
        """Folders that are entries, or were; nothing else in the directory is ever touched."""
        if not self.directory.is_dir():
            return []
        return [path for path in self.directory.iterdir() if FOLDER.fullmatch(path.name) and path.is_dir()]

    def _drop(self, key: str) -> bool:
        """Delete an entry, complete or not, unless it is in use or may not be deleted."""
        with suppress(OSError):
            lock = FileLock.acquire(self._lock(key))
            if lock is not None:
                with lock:
                    drop(self.directory, key)
                    lock.unlink()
                return True
        return False


def default_directory() -> Path:
    """``GAPKIT_CACHE``; else ``gapkit`` in ``XDG_CACHE_HOME``, which is ``~/.cache`` where it is not set."""
    if own := os.environ.get("GAPKIT_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "gapkit"


def _use(folder: Path) -> tuple[float, int]:
    """When an entry was last used (0 where that cannot be told) and its bytes on the disk."""
    used, nbytes = 0.0, 0
    with suppress(OSError):  # deleted by another process while we look
        for path in folder.iterdir():
            status = path.stat()
            nbytes += status.st_size
            used = status.st_mtime if path.name == JOURNAL else used
    return used, nbytes


def _entry(folder: Path) -> CacheEntry | None:
    """What ``list`` says of a folder; None where it is no entry, or a damaged one."""
    journal = None if folder.name.endswith(DROPPED) else read_journal(folder)
    if journal is None:
        return None
    used, nbytes = _use(folder)
    return CacheEntry(
        key=folder.name.removesuffix(PARTIAL),
        source=journal.about.source,
        target=journal.about.target,
        embedder=journal.about.embedder,
        layers=tuple(journal.layout.widths),
        n=journal.layout.n,
        done=journal.done,
        nbytes=nbytes,
        created=journal.created,
        last_used=used,
    )
