"""Locks between processes, and where the cache is by default."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gapkit.sources.cache import FeatureCache, default_directory
from gapkit.sources.locks import FileLock


def test_locks_are_shared_by_readers_and_held_alone_by_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first, second = FileLock.acquire(path, shared=True), FileLock.acquire(path, shared=True)
    assert first is not None
    assert second is not None
    assert FileLock.acquire(path) is None
    first.release()
    first.release()
    assert FileLock.acquire(path) is None
    del second
    writer = FileLock.acquire(path)
    assert writer is not None
    assert FileLock.acquire(path, shared=True) is None
    writer.share()
    assert FileLock.acquire(path, shared=True) is not None


def test_lock_on_a_file_that_was_deleted_is_not_taken_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real = tmp_path / "lock", os.open
    held = FileLock.acquire(path)
    assert held is not None
    opened: list[int] = []

    def open_then_deleted(*given: Any, **named: Any) -> int:
        descriptor = real(*given, **named)
        if not opened:
            held.unlink()
            held.release()
        opened.append(descriptor)
        return descriptor

    monkeypatch.setattr(os, "open", open_then_deleted)
    again = FileLock.acquire(path)
    assert again is not None
    assert len(opened) == 2
    assert path.exists()
    assert FileLock.acquire(path) is None


def test_default_directory_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAPKIT_CACHE", "/somewhere/own")
    assert default_directory() == FeatureCache().directory == Path("/somewhere/own")
    monkeypatch.delenv("GAPKIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere/else")
    assert default_directory() == Path("/somewhere/else/gapkit")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_directory() == Path.home() / ".cache" / "gapkit"
