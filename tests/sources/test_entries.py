"""Entries of the cache as files: damage, a full disk, the bound on their size, and locks."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gapkit.arrays import Array, StoredFeatures, digest, generator
from gapkit.errors import OptionError, StorageError
from gapkit.sources import journal as journals
from gapkit.sources import rows as files
from gapkit.sources.cache import FeatureCache
from gapkit.sources.journal import About, Journal
from gapkit.sources.rows import Layout

N, BATCH = 12, 3
LAYOUT = Layout(N, {"first": 2000, "second": 2, "logits": 0})
ABOUT = About(source="vit", target="data", embedder="resize")


def rows_of(key: str) -> dict[str, Array]:
    """All rows of an entry."""
    rng = generator(int(key[:8], 16))
    return {name: rng.normal(size=(N, width)).astype(np.float32) for name, width in LAYOUT.widths.items()}


def key_of(name: str) -> str:
    return digest(name)


def write(cache: FeatureCache, name: str, *, stop: int = N) -> dict[str, StoredFeatures] | None:
    """Write an entry as ``extract`` does, from where it was left; interrupted before row ``stop``."""
    key = key_of(name)
    claim = cache.claim(key)
    assert claim is not None
    with claim:
        new = Journal(about=ABOUT, layout=LAYOUT, asked_size=None, batch_size=BATCH, created=time.time())
        journal = claim.journal() or new
        if not cache.make_room(LAYOUT.disk_bytes, key=key):
            return None
        with claim.write(journal) as store:
            for start in range(journal.done, N, BATCH):
                if start == stop:
                    raise KeyboardInterrupt
                store.append({layer: rows[start : start + BATCH] for layer, rows in rows_of(key).items()}, BATCH)
            return store.finish()


def interrupt(cache: FeatureCache, name: str, *, stop: int = 6) -> None:
    with pytest.raises(KeyboardInterrupt):
        write(cache, name, stop=stop)


def intact(cache: FeatureCache, name: str) -> bool:
    """Whether the entry is there with every value that was written."""
    found = cache.read(key_of(name))
    expected = rows_of(key_of(name))
    return found is not None and all(np.array_equal(found[layer], expected[layer]) for layer in LAYOUT.widths)


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path, checkpoint_seconds=0)


def spoil(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "shorter": lambda folder: spoil(folder / "0.npy", lambda text: text[:-1]),
    "header": lambda folder: spoil(folder / "1.npy", lambda text: text.replace(b"<f4", b"<i4")),
    "shape": lambda folder: spoil(folder / "1.npy", lambda text: text.replace(b"(12, 2)", b"(2, 12)")),
    "pickle": lambda folder: np.save(folder / "1.npy", np.array([print], dtype=object), allow_pickle=True),
    "missing": lambda folder: (folder / "2.npy").unlink(),
    "a folder": lambda folder: ((folder / "2.npy").unlink(), (folder / "2.npy").mkdir()),
    "no journal": lambda folder: (folder / "entry.json").unlink(),
    "no JSON": lambda folder: spoil(folder / "entry.json", lambda text: text[:-20]),
    "not an object": lambda folder: (folder / "entry.json").write_text("[1, 2]"),
    "no text": lambda folder: (folder / "entry.json").write_bytes(b"\xff\xfe\x00"),
    "another name": lambda folder: spoil(folder / "entry.json", lambda text: text.replace(b"second", b"secont")),
    "another number": lambda folder: spoil(folder / "entry.json", lambda text: text.replace(b'"n": 12', b'"n": 11')),
    "another schema": lambda folder: spoil(folder / "entry.json", lambda text: text.replace(b"1,", b"99,", 1)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_entry_is_never_read_and_dropped(damage: str, cache: FeatureCache) -> None:
    write(cache, "other")
    assert write(cache, "entry") is not None
    folder = cache.directory / key_of("entry")
    DAMAGES[damage](folder)
    assert cache.read(key_of("entry")) is None
    assert not folder.exists()
    write(cache, "entry")
    assert intact(cache, "entry")
    assert intact(cache, "other")


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_partial_entry_begins_anew(damage: str, cache: FeatureCache) -> None:
    interrupt(cache, "entry")
    DAMAGES[damage](cache.directory / f"{key_of('entry')}.partial")
    claim = cache.claim(key_of("entry"))
    assert claim is not None
    with claim:
        assert claim.journal() is None
    write(cache, "entry")
    assert intact(cache, "entry")


def test_complete_entry_with_bytes_too_many_is_dropped_and_a_partial_one_cut(cache: FeatureCache) -> None:
    def lengthen(folder: Path) -> None:
        spoil(folder / "0.npy", lambda text: text + b"\0")

    write(cache, "entry")
    lengthen(cache.directory / key_of("entry"))
    assert not intact(cache, "entry")
    interrupt(cache, "entry")
    lengthen(cache.directory / f"{key_of('entry')}.partial")
    write(cache, "entry")
    assert intact(cache, "entry")


def test_every_prefix_of_the_work_is_resumable_and_none_is_read(cache: FeatureCache) -> None:
    for stop in range(0, N, BATCH):
        interrupt(cache, "entry", stop=stop)
        assert cache.read(key_of("entry")) is None
        assert cache.list()[0].done == stop
    write(cache, "entry")
    assert intact(cache, "entry")


def full(count: int, real: Callable[..., Any]) -> Callable[..., Any]:
    """``real`` until it has been called ``count`` times, then a full disk; half of what it was given is written."""
    calls: list[int] = []

    def limited(*given: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) <= count:
            return real(*given, **named)
        if hasattr(given[0], "write"):
            real(given[0], given[1][: len(given[1]) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return limited


@pytest.mark.parametrize("resumed", [False, True])
@pytest.mark.parametrize("call", [0, 2, 4, 7])
@pytest.mark.parametrize(("module", "function"), [(files, "write_all"), (os, "fsync"), (journals, "write_journal")])
def test_full_disk_is_an_error_and_the_rest_of_the_cache_intact(
    module: Any, function: str, call: int, resumed: bool, cache: FeatureCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(cache, "other")
    if resumed:
        interrupt(cache, "entry", stop=3)
    with monkeypatch.context() as patch:
        owner = "gapkit.sources.entry.write_journal" if function == "write_journal" else (module, function)
        limited = full(min(call, 2) if function == "write_journal" else call, getattr(module, function))
        patch.setattr(*((owner,) if isinstance(owner, str) else owner), limited)
        with pytest.raises(StorageError, match=r"the disk is full; expected room .*`gapkit cache --clear`"):
            write(cache, "entry")
        assert not list(cache.directory.glob("*.partial"))
        assert intact(cache, "other")
    assert [entry.key for entry in cache.list()] == [key_of("other")]
    write(cache, "entry")
    assert intact(cache, "entry")


def test_disk_without_room_is_found_before_the_work_begins(
    cache: FeatureCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(cache, "other")
    interrupt(cache, "entry", stop=9)
    usage = shutil.disk_usage(cache.directory)
    rest = LAYOUT.nbytes // 4
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=rest - 1))
    with pytest.raises(StorageError, match="the disk is full"):
        write(cache, "entry")
    assert intact(cache, "other")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=rest))
    write(cache, "entry")
    assert intact(cache, "entry")


def test_least_recently_used_entries_go_first_and_those_in_use_stay(tmp_path: Path) -> None:
    write(FeatureCache(tmp_path), "a")
    size = FeatureCache(tmp_path).size()
    cache = FeatureCache(tmp_path, max_bytes=3 * size + size // 2)

    def names() -> set[str]:
        return {name for name in "abcdefg" if any(entry.key == key_of(name) for entry in cache.list())}

    write(cache, "b")
    interrupt(cache, "c", stop=9)
    for age, name in enumerate("abc"):  # a was used first
        (journal,) = tmp_path.glob(f"{key_of(name)}*/entry.json")
        os.utime(journal, (1000 + age, 1000 + age))
    assert intact(cache, "a")  # and now last
    write(cache, "d")
    assert names() == {"a", "c", "d"}
    held = cache.read(key_of("a"))
    part = None if held is None else held["first"][2:]  # a view keeps it in use, too
    del held
    os.utime(tmp_path / key_of("a") / "entry.json", (1, 1))
    write(cache, "e")
    assert names() == {"a", "d", "e"}
    assert cache.size() <= cache.max_bytes
    before = cache.size()
    assert cache.clear() == before - cache.size() > size
    assert names() == {"a"}
    assert part is not None
    np.testing.assert_array_equal(part, rows_of(key_of("a"))["first"][2:])
    del part
    assert cache.clear() > 0
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_evicted_for_what_does_not_fit_anyway(tmp_path: Path) -> None:
    write(FeatureCache(tmp_path), "a")
    small = FeatureCache(tmp_path, max_bytes=LAYOUT.nbytes - 1)
    assert write(small, "b") is None
    assert intact(small, "a")
    with pytest.raises(OptionError, match="max_bytes=-1; expected 0 or more"):
        FeatureCache(tmp_path, max_bytes=-1)


def test_clear_touches_nothing_that_is_not_its_own(cache: FeatureCache) -> None:
    write(cache, "a")
    interrupt(cache, "b")
    (cache.directory / "mine").mkdir()
    (cache.directory / "mine" / "notes.txt").write_text("keep")
    (cache.directory / f"{'0' * 64}.txt").write_text("keep")
    (cache.directory / f"{'1' * 64}.dropped").mkdir()  # left by a process that was killed
    size = cache.size()
    assert cache.clear() == size > 0
    assert sorted(path.name for path in cache.directory.iterdir()) == [f"{'0' * 64}.txt", "mine"]
    assert cache.size() == 0


@pytest.mark.parametrize(("seconds", "checkpoints"), [(0, 5), (3600, 1)])
def test_rows_are_on_the_disk_before_the_journal_says_so(
    seconds: float, checkpoints: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[int | str] = []

    def journalled(folder: Path, journal: Journal) -> None:
        done.append(journal.done)
        journals.write_journal(folder, journal)

    def synced(store: files.RowFiles) -> None:
        done.append("synced")

    monkeypatch.setattr(files.RowFiles, "sync", synced)
    monkeypatch.setattr("gapkit.sources.entry.write_journal", journalled)
    cache = FeatureCache(tmp_path, checkpoint_seconds=seconds)
    write(cache, "a")
    assert done[::2] == ["synced"] * checkpoints
    assert done[1::2] == [3, 6, 9, 12, 12][-checkpoints:]
    done.clear()
    interrupt(cache, "b", stop=6)  # ends with a checkpoint, however long ago the last one was
    assert done[-2:] == ["synced", 6]
    assert cache.list()[0].done == 6
