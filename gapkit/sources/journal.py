"""``entry.json``: what a cache entry holds and how far it has come, replaced as a whole."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gapkit.arrays import digest
from gapkit.sources.rows import Layout

SCHEMA, JOURNAL = 1, "entry.json"


@dataclass(frozen=True, kw_only=True)
class About:
    """What an entry is of, in words; the key says it exactly."""

    source: str
    target: str
    embedder: str


@dataclass(frozen=True, kw_only=True)
class Journal:
    """How far an entry has come.

    Attributes:
        about: what it is of.
        layout: its arrays.
        asked_size: the batch size that was asked for, None where it was found.
        batch_size: samples of the next forward pass; the same batches give the same bits.
        done: rows of every array that are on the disk.
        complete: whether they are all there.
        created: seconds since 1970. When the entry was last used is the file's time, which changes without writing it.
    """

    about: About
    layout: Layout
    asked_size: int | None
    batch_size: int
    created: float
    done: int = 0
    complete: bool = False


def write_journal(folder: Path, journal: Journal) -> None:
    """Replace the journal of an entry: a reader sees the old one or the new one, also after a power failure.

    Raises:
        OSError: it cannot be written.
    """
    content = asdict(journal)
    part = folder / f"{JOURNAL}.part"
    with part.open("w", encoding="utf-8") as file:
        json.dump({"schema": SCHEMA, "digest": _digest(content), **content}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    part.replace(folder / JOURNAL)
    sync_folder(folder)


def read_journal(folder: Path) -> Journal | None:
    """The journal of an entry; None where it is missing, damaged or of another schema."""
    try:
        content = json.loads((folder / JOURNAL).read_text(encoding="utf-8"))
        if content.pop("schema") != SCHEMA or content.pop("digest") != _digest(content):
            return None
        parts = {"about": About(**content["about"]), "layout": Layout(**content["layout"])}
        return Journal(**content | parts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _digest(content: dict[str, Any]) -> str:
    """SHA-256 of a journal; JSON keeps the order of the layers, which is the order of their files."""
    return digest(json.dumps(content))


def sync_folder(folder: Path) -> None:
    """Come back when the names in a folder are on the disk, where the system can do that at all."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
