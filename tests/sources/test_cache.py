"""Features on disk: found again, resumed, bounded, and never half-written."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gapkit.arrays import Array, generator, seeded_torch
from gapkit.errors import StorageError
from gapkit.sources.cache import FeatureCache
from gapkit.sources.capture import CaptureOptions, extract
from gapkit.sources.source import Source
from gapkit.types import Activations, InputSpec, Target

N, BATCH = 22, 4


class Counting(nn.Module):
    """Two layers and a head; counts the samples of every forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.classify = nn.Linear(5, 6), nn.Linear(6, 7), nn.Linear(7, 3)
        self.sizes: list[int] = []
        self.limit = 1000

    def forward(self, x: Tensor) -> Tensor:
        self.sizes.append(len(x))
        if len(x) > self.limit:
            raise torch.OutOfMemoryError
        return self.classify(torch.tanh(self.second(torch.tanh(self.first(x)))))


class Scaled:
    """Samples times a number."""

    name, description = "scaled", "times a number"
    space: Literal["input", "tokens"] = "input"

    def __init__(self, factor: float = 1.0) -> None:
        self.factor, self.key = factor, f"scaled {factor}"

    def __call__(self, x: Array) -> Tensor:
        return torch.from_numpy(np.array(x, np.float32) * np.float32(self.factor))


@pytest.fixture
def source() -> Source:
    return make_source()


def make_source(seed: int = 0, **fields: Any) -> Source:
    with seeded_torch(seed):
        module = Counting()
    source = Source.from_module(module, input=InputSpec(kind="array", shape=(5,)), device="cpu", **fields)
    module.sizes.clear()
    return source


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "cache", checkpoint_seconds=0)


@pytest.fixture
def data() -> Target:
    return make_data()


def make_data(seed: int = 0, n: int = N) -> Target:
    return Target(generator(seed).normal(size=(n, 5)).astype(np.float32), np.arange(n) % 2, name=f"data {seed}")


def options(cache: FeatureCache | None, **fields: Any) -> CaptureOptions:
    return CaptureOptions(**{"layers": ("first", "second"), "batch_size": BATCH, "cache": cache} | fields)


def sizes(source: Source) -> list[int]:
    """Samples of the forward passes since the last call."""
    found, source.module.sizes = source.module.sizes, []
    return found


def content(found: Activations) -> dict[str, bytes]:
    """Every array as bytes, so that equality is that of bits."""
    arrays = {**found.features, "logits": found.logits}
    return {name: repr(array.shape).encode() + array.tobytes() for name, array in arrays.items()}


def stop_after(batches: int) -> Callable[[str, int, int], None]:
    """A progress during which somebody presses Ctrl-C."""
    calls: list[int] = []

    def progress(task: str, done: int, total: int) -> None:
        calls.append(done)
        if len(calls) == batches:
            raise KeyboardInterrupt

    return progress


def test_second_capture_runs_nothing_and_gives_the_same_bits(source: Source, data: Target, cache: FeatureCache) -> None:
    plain = content(extract(source, data, Scaled(), options(None)))
    sizes(source)
    first = extract(source, data, Scaled(), options(cache))
    assert sizes(source) == [2, 4, 4, 4, 4, 4, 2]
    relabelled = replace(data, y=1 - data.y)
    seen: list[tuple[str, int, int]] = []
    again = extract(source, relabelled, Scaled(), options(cache), lambda *step: seen.append(step))
    assert sizes(source) == []
    assert seen == [("features", N, N)]
    assert content(first) == content(again) == plain
    assert again.target is relabelled
    assert first.notes == again.notes == ()
    for array in (*again.features.values(), again.logits):
        assert isinstance(array, np.memmap)
        assert not array.flags.writeable


def test_entry_is_a_folder_of_plain_arrays_and_a_journal(source: Source, data: Target, cache: FeatureCache) -> None:
    found = extract(source, data, Scaled(), options(cache))
    (entry,) = cache.list()
    folder = cache.directory / entry.key
    assert sorted(path.name for path in folder.iterdir()) == ["0.npy", "1.npy", "2.npy", "3.npy", "entry.json"]
    np.testing.assert_array_equal(np.load(folder / "1.npy", allow_pickle=False), found.features["second"])
    journal = json.loads((folder / "entry.json").read_text())
    assert journal["layout"] == {"n": N, "widths": {"first": 6, "second": 7, "features": 7, "logits": 3}}
    assert (journal["schema"], journal["batch_size"], journal["done"], journal["complete"]) == (1, BATCH, N, True)
    assert (entry.source, entry.target, entry.embedder) == ("Counting", "data 0", "times a number")
    assert (entry.layers, entry.n, entry.complete) == (("first", "second", "features", "logits"), N, True)
    assert entry.nbytes == cache.size() == sum(path.stat().st_size for path in folder.iterdir())


def test_whatever_changes_the_features_changes_the_entry(source: Source, data: Target, cache: FeatureCache) -> None:
    other_data = Target(data.x + 1, data.y)
    captures: list[tuple[Source, Target, Scaled, CaptureOptions]] = [
        (source, data, Scaled(), options(cache)),
        (make_source(1), data, Scaled(), options(cache)),
        (make_source(head=""), data, Scaled(), options(cache)),
        (Source(make_source().adapter, device="cpu", precision="bf16"), data, Scaled(), options(cache)),
        (source, other_data, Scaled(), options(cache)),
        (source, replace(data, sample_rate=8000.0), Scaled(), options(cache)),
        (source, data, Scaled(2.0), options(cache)),
        (source, data, Scaled(), options(cache, layers=("first",))),
        (source, data, Scaled(), options(cache, pooling="tokens")),
    ]
    for number, (model, samples, embedder, chosen) in enumerate(captures, 1):
        found = extract(model, samples, embedder, chosen)
        assert len(cache.list()) == number
        plain, again = (extract(model, samples, embedder, each) for each in (replace(chosen, cache=None), chosen))
        assert content(found) == content(plain) == content(again)
    with torch.no_grad():
        source.module.get_submodule("first").bias.add_(1)
    extract(source, data, Scaled(), options(cache))
    assert len(cache.list()) == len(captures) + 1
    assert sizes(source)


@pytest.mark.parametrize("batches", [1, 2, 5])
def test_interrupted_capture_goes_on_at_the_same_batches(
    batches: int, source: Source, data: Target, cache: FeatureCache
) -> None:
    whole = content(extract(source, data, Scaled(), options(None)))
    sizes(source)
    with pytest.raises(KeyboardInterrupt):
        extract(source, data, Scaled(), options(cache), stop_after(batches))
    (entry,) = cache.list()
    assert (entry.complete, entry.done) == (False, BATCH * batches)
    assert cache.read(entry.key) is None
    assert sizes(source) == [2] + [BATCH] * batches
    # What was written after the last checkpoint does not count.
    with (cache.directory / f"{entry.key}.partial" / "1.npy").open("ab") as file:
        file.write(b"half a batch")
    resumed = extract(source, data, Scaled(), options(cache))
    assert sizes(source) == [4, 4, 4, 4, 4, 2][batches:]
    assert content(resumed) == whole


def test_batch_size_that_was_halved_stays_so_after_an_interrupt(
    source: Source, data: Target, cache: FeatureCache
) -> None:
    source.module.limit = 3
    whole = content(extract(source, data, Scaled(), options(None)))
    with pytest.raises(KeyboardInterrupt):
        extract(source, data, Scaled(), options(cache), stop_after(4))
    sizes(source)
    source.module.limit = 1000
    resumed = extract(source, data, Scaled(), options(cache))
    assert sizes(source) == [2] * 7
    assert content(resumed) == whole


@pytest.mark.parametrize(("size", "expected"), [(None, [4, 4, 4, 2]), (BATCH, [4, 4, 4, 2]), (8, [2, 8, 8, 6])])
def test_another_batch_size_begins_anew_and_none_goes_on(
    size: int | None, expected: list[int], source: Source, data: Target, cache: FeatureCache
) -> None:
    with pytest.raises(KeyboardInterrupt):
        extract(source, data, Scaled(), options(cache), stop_after(2))
    sizes(source)
    resumed = extract(source, data, Scaled(), options(cache, batch_size=size))
    assert sizes(source) == expected
    plain = extract(source, data, Scaled(), options(None, batch_size=size or BATCH))
    assert content(resumed) == content(plain)


@pytest.mark.parametrize("complete", [True, False])
def test_damaged_entry_is_computed_again(complete: bool, source: Source, data: Target, cache: FeatureCache) -> None:
    whole = content(extract(source, data, Scaled(), options(None)))
    if complete:
        extract(source, data, Scaled(), options(cache))
    else:
        with pytest.raises(KeyboardInterrupt):
            extract(source, data, Scaled(), options(cache), stop_after(5))
    (path,) = cache.directory.glob("*/1.npy")
    path.write_bytes(path.read_bytes()[:-1])
    sizes(source)
    assert content(extract(source, data, Scaled(), options(cache))) == whole
    assert sizes(source) == [2, 4, 4, 4, 4, 4, 2]
    assert content(extract(source, data, Scaled(), options(cache))) == whole
    assert sizes(source) == []


def test_entry_larger_than_the_bound_is_not_kept_and_that_is_said(
    source: Source, data: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = FeatureCache(tmp_path / "cache", max_bytes=500)
    whole = content(extract(source, data, Scaled(), options(None)))
    found = extract(source, data, Scaled(), options(small))
    assert content(found) == whole
    (note,) = found.notes
    assert "features are not kept: they take 0.0 MB, for which the cache at" in note
    assert list(small.directory.iterdir()) == []
    monkeypatch.setattr("gapkit.sources.capture.IN_MEMORY_BYTES", 100)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    streamed = extract(source, data, Scaled(), options(small))
    assert isinstance(streamed.features["first"], np.memmap)
    assert content(streamed) == whole
    with pytest.raises(KeyboardInterrupt):
        extract(source, data, Scaled(), options(None), stop_after(3))
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_entry_that_another_process_writes_is_computed_without_the_cache(
    source: Source, data: Target, cache: FeatureCache
) -> None:
    whole = content(extract(source, data, Scaled(), options(cache)))
    (entry,) = cache.list()
    assert cache.clear() > 0
    claim = cache.claim(entry.key)
    assert claim is not None
    with claim:
        assert cache.claim(entry.key) is None
        found = extract(source, data, Scaled(), options(cache))
        assert found.notes == ("features are not kept: another process is writing them to the cache",)
    assert content(found) == whole
    assert extract(source, data, Scaled(), options(cache)).notes == ()


def test_directory_that_cannot_be_used_is_said_and_costs_nothing_else(
    source: Source, data: Target, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    found = extract(source, data, Scaled(), options(FeatureCache(tmp_path / "file")))
    assert found.notes[0].startswith(f"features are not kept: {tmp_path / 'file'} cannot be used (")
    assert content(found) == content(extract(source, data, Scaled(), options(None)))
    assert (FeatureCache(tmp_path / "file").list(), FeatureCache(tmp_path / "none").size()) == ((), 0)


def test_full_disk_leaves_the_cache_intact(
    source: Source, data: Target, cache: FeatureCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = content(extract(source, data, Scaled(), options(cache)))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("gapkit.sources.rows.write_all", full)
        with pytest.raises(StorageError, match="the disk is full; expected room"):
            extract(source, make_data(1), Scaled(), options(cache))
    sizes(source)
    assert content(extract(source, data, Scaled(), options(cache))) == whole
    assert sizes(source) == []
    assert [entry.target for entry in cache.list()] == ["data 0"]
