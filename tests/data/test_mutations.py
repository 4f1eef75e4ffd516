"""Mutated bytes of valid files: a target or a GapkitError, never another exception, never a warning."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gapkit.data.describe import describe
from gapkit.data.load import ReadOptions, load_target
from gapkit.errors import GapkitError

ARRAYS = {
    "x": np.random.default_rng(0).normal(size=(12, 6)).astype(np.float32),
    "y": np.array(list("abc") * 4),
    "subject": np.arange(12) // 3,
    "split": np.array([0, 1] * 6),
    "class_names": np.array(["a", "b", "c"]),
    "sample_rate": np.array(100),
}


def with_method(method: int) -> bytes:
    """The arrays as an .npz file of one compression method."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as file:
        for key, array in ARRAYS.items():
            with file.open(f"{key}.npy", "w") as member:
                np.lib.format.write_array(member, array)
    return stream.getvalue()


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """Change, delete or insert bytes at one to five places; half of them near the beginning, where headers are."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 6)):
        if not data:
            break
        place = int(rng.integers(0, len(data) if rng.random() < 0.5 else min(300, len(data))))
        action = rng.integers(0, 10)
        if action < 6:
            data[place] = int(rng.integers(0, 256))
        elif action < 8:
            del data[place : place + int(rng.integers(1, 40))]
        elif action < 9:
            data[place:place] = rng.bytes(int(rng.integers(1, 20)))
        else:
            del data[max(1, place) :]
    return bytes(data)


def outcomes(content: bytes, path: Path, times: int, options: ReadOptions) -> Counter[str]:
    """How often mutated content was read and how often refused."""
    rng = np.random.default_rng(len(content))
    found: Counter[str] = Counter()
    for _ in range(times):
        path.write_bytes(mutate(content, rng))
        try:
            describe(load_target(path, options))
            found["read"] += 1
        except GapkitError as error:
            found["refused" if error.got and error.expected and error.remedy else "without words"] += 1
    return found


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_five_hundred_mutated_archives(method: int, tmp_path: Path) -> None:
    found = outcomes(with_method(method), tmp_path / "data.npz", 500, ReadOptions())
    assert found["read"] + found["refused"] == 500
    assert found["refused"] > 300


def test_mutated_headers_with_true_checksums(tmp_path: Path) -> None:
    """The archive is rebuilt around mutated members, so that no checksum gives the mutation away."""
    rng = np.random.default_rng(5)
    path, found = tmp_path / "data.npz", Counter[str]()
    for _ in range(500):
        with zipfile.ZipFile(path, "w") as file:
            for key, array in ARRAYS.items():
                stream = io.BytesIO()
                np.lib.format.write_array(stream, array)
                content = stream.getvalue()
                file.writestr(f"{key}.npy", mutate(content, rng) if rng.random() < 0.3 else content)
        try:
            describe(load_target(path))
            found["read"] += 1
        except GapkitError:
            found["refused"] += 1
    assert found["read"] > 20
    assert found["refused"] > 200


def npy(array: np.ndarray) -> bytes:
    """An array as .npy bytes."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def csv() -> bytes:
    """A table with numbers, a category and labels."""
    rows = [f"{a},{b},{'red' if a > 0 else 'blue'},{c}" for (a, b, *_), c in zip(ARRAYS["x"], ARRAYS["y"], strict=True)]
    return "\n".join(["a,b,colour,label", *rows]).encode()


@pytest.mark.parametrize(("suffix", "build"), [(".npy", lambda: npy(ARRAYS["x"])), (".csv", csv)])
def test_other_files(suffix: str, build: Callable[[], bytes], tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(ARRAYS["y"]))
    options = ReadOptions(labels=labels) if suffix == ".npy" else ReadOptions()
    found = outcomes(build(), tmp_path / f"data{suffix}", 150, options)
    assert found["refused"] > 20
