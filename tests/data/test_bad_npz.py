"""Archives and arrays that cannot be used: each is refused with its own got, expected and remedy."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gapkit.data import memory
from gapkit.data.load import ReadOptions, load_target
from gapkit.errors import DataError, OptionError

Save = Callable[..., Path]
Refusal = Callable[..., Exception]
X, Y = np.arange(40.0).reshape(10, 4), np.arange(10) % 2


def member(shape: object, descr: object = "<f8", *, content: bytes = bytes(16), version: int = 1) -> bytes:
    """An .npy file whose header says anything."""
    header = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    return (
        b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(header)) + header + content
    )


def archive(path: Path, **members: bytes) -> Path:
    """An .npz file of members written byte for byte."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for key, content in members.items():
            file.writestr(f"{key}.npy", content)
    return path


def npy(array: np.ndarray) -> bytes:
    """An array as .npy bytes."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


with_nan = X.copy()
with_nan[3, 1], with_nan[3, 2], with_nan[7, 0] = np.nan, np.nan, -np.inf

ARRAYS: dict[str, tuple[dict[str, Any], tuple[str, str, str]]] = {
    "no x": ({"a": X, "offsets": Y}, ("has no x: its keys are a, offsets", "x and y, or X and labels", "np.savez")),
    "no y": ({"x": X, "z": Y}, ("has no y: its keys are x, z", "x_train, y_train", "--labels KEY")),
    "no arrays": ({}, ("has no arrays", "x and y", "np.savez")),
    "other splits": (
        {"x_train": X, "y_train": Y, "x_test": X},
        ("x_train, x_test but y_train", "same splits", "x_test and y_test"),
    ),
    "splits of two shapes": (
        {"x_train": X, "y_train": Y, "x_test": X[:, :2], "y_test": Y},
        ("(10, 4) float64, (10, 2) float64", "number of samples only", "one shape"),
    ),
    "splits of two kinds": (
        {"x_train": X, "y_train": Y, "x_test": X.astype(str), "y_test": Y},
        ("<U", "number of samples only", "one shape and dtype"),
    ),
    "group of one split": (
        {"x_train": X, "y_train": Y, "x_test": X, "y_test": Y, "subject_train": Y},
        ("subject_train but nothing for test", "for each split", "--group none"),
    ),
    "unequal lengths": ({"x": X, "y": Y[:9]}, ("y has 9 labels but x has 10", "one for each sample", "save x and y")),
    "groups of another length": (
        {"x": X, "y": Y, "subject": Y[:4]},
        ("subject has 4 entries but x has 10", "one for each", "same first axis"),
    ),
    "split of another length": (
        {"x": X, "y": Y, "split": Y[:4]},
        ("split has 4 entries but x has 10", "one for each", "same first axis"),
    ),
    "empty": ({"x": X[:0], "y": Y[:0]}, ("shape (0, 4)", "at least one sample", "how it was saved")),
    "no features": ({"x": X[:, :0], "y": Y}, ("shape (10, 0)", "at least one sample", "how it was saved")),
    "one class": (
        {"x": X, "y": Y * 0 + 7},
        ("has one class: all 10 samples have the label '7'", "two classes", "y was"),
    ),
    "one class of several names": (
        {"x": X, "y": Y * 0, "class_names": np.array(["a", "b"])},
        ("the label 'a'", "two classes", "the classes are a, b"),
    ),
    "NaN and inf in x": (
        {"x": with_nan, "y": Y},
        ("x has 2 NaN and 1 infinite values in 2 samples, the first at sample 3", "finite", "drop these samples"),
    ),
    "NaN in y": (
        {"x": X, "y": np.where(Y, np.nan, 1.0)},
        ("5 labels that are NaN or infinite, the first at sample 1", "finite label", "class of their own"),
    ),
    "fractional y": ({"x": X, "y": Y + 0.5}, ("no integers, such as 0.5", "class labels", "--task regression")),
    "enormous y": ({"x": X, "y": Y * 1e300}, ("such as 1e+300", "class labels", "--task regression")),
    "complex x": ({"x": X * 1j, "y": Y}, ("complex numbers", "real numbers", "two channels")),
    "complex y": ({"x": X, "y": Y * 1j}, ("y has dtype complex128", "integers, booleans", "save the labels")),
    "dates": ({"x": X.astype("datetime64[s]"), "y": Y}, ("dtype datetime64", "real numbers", "convert")),
    "x of rank 0": ({"x": np.array(3.0), "y": Y}, ("rank 0, shape ()", "(n, d)", "one array")),
    "x of rank 1": ({"x": X[:, 0], "y": Y}, ("rank 1, shape (10,)", "(n, d)", "x[:, None]")),
    "x of rank 5": ({"x": X.reshape(10, 1, 1, 2, 2), "y": Y}, ("rank 5", "(n, height, width", "merge axes")),
    "y of rank 0": ({"x": X, "y": np.array(np.nan)}, ("y has shape ()", "one label per sample", "how it was saved")),
    "y of rank 3": ({"x": X, "y": Y.reshape(10, 1, 1)}, ("y has shape (10, 1, 1)", "shape (n,)", "flatten")),
    "constant x": ({"x": X * 0 + 5, "y": Y}, ("x is 5.0 everywhere", "samples that differ", "how it was saved")),
    "pickled x": (
        {"x": np.array([{}] * 10, dtype=object), "y": Y},
        ("x holds pickled Python objects", "a pickle can run any code", "np.stack"),
    ),
    "structured x": (
        {"x": np.zeros(10, "f4,i4"), "y": Y},
        ("declares dtype", "numbers or strings", "array of its own"),
    ),
    "not Unicode": (
        {"x": np.array([b"\xff\xfe", b"a"]), "y": Y[:2]},
        ("x holds strings that are not Unicode", "UTF-8", "decode the text"),
    ),
    "lone surrogate": ({"x": np.array(["\ud800", "a"]), "y": Y[:2]}, ("not Unicode", "UTF-8", "decode")),
    "code points beyond Unicode": (
        {"x": np.array([[0x110000], [65]], dtype=np.uint32).view("<U1")[:, 0], "y": Y[:2]},
        ("not Unicode", "UTF-8", "decode"),
    ),
    "split in words": (
        {"x": X, "y": Y, "split": np.array(["a", "b"] * 5)},
        ("split has the value 'a'", "0 or train, 1 or test", "rename"),
    ),
    "split of two columns": ({"x": X, "y": Y, "split": X}, ("split has shape (10, 4)", "shape (n,)", "flatten")),
    "groups with NaN": (
        {"x": X, "y": Y, "subject": np.where(Y, np.nan, 1.0)},
        ("subject has 5 NaN, the first at sample 1", "a value for every sample", "of their own"),
    ),
    "names of rank 2": (
        {"x": X, "y": Y, "class_names": np.array([["a", "b"]])},
        ("class_names has shape (1, 2)", "shape (K,)", "leave it out"),
    ),
    "two sample rates": (
        {"x": X, "y": Y, "sample_rate": np.arange(10) + 8},
        ("sample_rate holds 8, 9, 10, 11 and 6 more", "one positive number", "--sample-rate"),
    ),
    "negative sample rate": (
        {"x": X, "y": Y, "sample_rate": np.array(-1)},
        ("sample_rate holds -1", "one positive number", "--sample-rate"),
    ),
    "sample rate in words": (
        {"x": X, "y": Y, "sample_rate": np.array("8 kHz")},
        ("sample_rate holds 8 kHz", "one positive number", "--sample-rate"),
    ),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_bad_arrays(name: str, save: Save, refusal: Refusal) -> None:
    arrays, (got, expected, remedy) = ARRAYS[name]
    error = refusal(save(**arrays), got=got, expected=expected, remedy=remedy)
    assert isinstance(error, DataError)
    assert str(error).startswith("data.npz")


def test_constant_quantity(save: Save, refusal: Refusal) -> None:
    words = {"got": "y is 2.5 everywhere", "expected": "a quantity that varies", "remedy": "how y was saved"}
    refusal(save(x=X, y=Y * 0 + 2.5), task="regression", **words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"labels": "z"}, ("has no key 'z'", "one of x, y, subject", "choose one of")),
        ({"column": "xx"}, ("has no key 'xx'", "one of x, y, subject", "did you mean 'x'?")),
        ({"group": "subjekt"}, ("has no group 'subjekt'", "one of x, y, subject", "did you mean 'subject'?")),
    ],
)
def test_keys_that_are_not_there(
    save: Save, refusal: Refusal, options: dict[str, str], words: tuple[str, str, str]
) -> None:
    error = refusal(save(x=X, y=Y, subject=Y), got=words[0], expected=words[1], remedy=words[2], **options)
    assert isinstance(error, OptionError)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ("is an empty file", "zip archive", "np.savez")),
        (b"hello", ("is not an .npz file: it begins with b'hello'", "zip archive", "np.savez")),
        (npy(X), ("holds one array in .npy format", "zip archive", "rename it to .npy")),
    ],
)
def test_not_an_archive(tmp_path: Path, refusal: Refusal, content: bytes, words: tuple[str, str, str]) -> None:
    (tmp_path / "data.npz").write_bytes(content)
    refusal(tmp_path / "data.npz", got=words[0], expected=words[1], remedy=words[2])


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_truncated_archive(save: Save, refusal: Refusal, share: float) -> None:
    path = save(x=X, y=Y)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    refusal(path, got="is truncated or altered", expected="whole zip archive", remedy="download it again")


def test_a_flipped_byte_is_seen(save: Save, refusal: Refusal) -> None:
    path = save(x=X, y=Y)
    content = bytearray(path.read_bytes())
    content[content.index(X.tobytes()) + 5] ^= 1
    path.write_bytes(content)
    refusal(path, got="data.npz: x is damaged (Bad CRC-32", expected="numpy.savez", remedy="save it again")


@pytest.mark.parametrize("shape", [(1 << 27, 1 << 20), (1 << 62, 1 << 62), (10**30, 4)])
def test_header_beyond_the_memory(tmp_path: Path, refusal: Refusal, shape: tuple[int, int]) -> None:
    path = archive(tmp_path / "data.npz", x=member(shape), y=npy(Y))
    refusal(path, got=f"x declares shape {shape}", expected="fits into memory", remedy="save fewer samples")


def test_honest_array_beyond_the_memory_is_not_allocated(
    save: Save, refusal: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(x=X, y=Y)
    monkeypatch.setattr(memory, "available_memory", lambda: X.nbytes - 1)
    refusal(path, got="GiB of memory and there are 0.000 GiB", expected="fits", remedy=".npy")
    monkeypatch.setattr(memory, "available_memory", lambda: X.nbytes)
    assert len(load_target(path)) == 10
    monkeypatch.setattr(memory, "available_memory", lambda: None)
    assert len(load_target(path)) == 10


def test_a_joined_array_has_to_fit_as_well(save: Save, refusal: Refusal, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(x_train=X, y_train=Y, x_test=X, y_test=Y)
    monkeypatch.setattr(memory, "available_memory", lambda: X.nbytes * 2 - 1)
    refusal(path, got="data.npz: x, joined, takes", expected="fits", remedy="fewer samples")


def test_available_memory_is_a_plausible_number() -> None:
    assert 2**20 < (memory.available_memory() or 2**30) < 2**50


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (member((3, 4)), "declares 96 bytes and holds 16"),
        (member((1,)), "declares 8 bytes and holds 16"),
        (member((2, 1), version=2), None),
        (member((-2, -1)), "declares dtype float64 and shape (-2, -1)"),
        (member((1 << 40,), "<U0"), "declares dtype <U0"),
        (member((2, 1), version=3), "is damaged (array format 3.0"),
        (member((2, 1), "nonsense"), "is damaged"),
        (member("shape"), "is damaged (shape is not valid"),
        (b"\x93NUMPY\x01\x00\xff\xff{", "is damaged"),
        (b"\x93NUMPY\x01\x00\x10\x00" + b"{'descr': '\\d'" + b"((", "is damaged"),
        (b"no array", "is damaged (the magic string is not correct"),
    ],
)
def test_headers_that_lie(tmp_path: Path, content: bytes, got: str | None) -> None:
    path = archive(tmp_path / "data.npz", x=content, y=npy(np.array([0, 1])))
    if got is None:
        content = member((2, 1), version=2, content=np.array([1.0, 2.0]).tobytes())
        assert load_target(archive(path, x=content, y=npy(np.array([0, 1])))).x.tolist() == [[1.0], [2.0]]
        return
    with pytest.raises(DataError) as caught:
        load_target(path)
    assert got in caught.value.got


def test_encrypted_and_unknown_compression(tmp_path: Path, refusal: Refusal) -> None:
    for offset, value in ((6, 1), (8, 77)):
        path = archive(tmp_path / "data.npz", x=npy(X), y=npy(Y))
        content = bytearray(path.read_bytes())
        # the flags and the method stand in the local header and, two bytes later, in the table of contents
        central = content.index(b"PK\x01\x02")
        content[offset] = content[central + offset + 2] = value
        path.write_bytes(content)
        refusal(path, got="data.npz: x is damaged", expected="numpy.savez", remedy="save it again")


def test_options_are_checked_when_they_are_made() -> None:
    with pytest.raises(OptionError, match="task 'regresion'.*did you mean 'regression'"):
        ReadOptions(task="regresion")  # pyright: ignore[reportArgumentType]
    for rate in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(OptionError, match="positive number of Hz"):
            ReadOptions(sample_rate=rate)
