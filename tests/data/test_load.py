"""The entrance: suffixes, missing and unreadable files, samples, and .npy with a file of labels."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from gapkit.data.load import ReadOptions, load_target
from gapkit.errors import DataError, OptionError

Save = Callable[..., Path]
Refusal = Callable[..., Exception]


def test_digits_are_the_images_of_scikit_learn() -> None:
    target = load_target("sample:digits")
    data = load_digits()
    assert target.x.dtype == np.uint8
    # 16 grey levels spread over 255 stay apart, so that nothing is lost
    assert np.array_equal(np.rint(target.x / (255 / 16)), data.images)
    assert np.array_equal(target.y, data.target)
    assert target.class_names == tuple("0123456789")
    assert (target.name, len(target.notes)) == ("sample:digits", 1)


def test_unknown_sample(refusal: Refusal) -> None:
    refusal("sample:digit", got="'sample:digit' is no sample", expected="sample:digits", remedy="did you mean")
    refusal("sample:", got="'sample:' is no sample", expected="sample:digits", remedy="'sample:digits'")


def test_missing_file_names_its_neighbours(save: Save, arrays: dict[str, Any], refusal: Refusal) -> None:
    path = save(**arrays)
    words = {"expected": "a file or folder that exists"}
    refusal(path.with_name("dato.npz"), got="there is no file", remedy="did you mean 'data.npz'?", **words)
    refusal(path.with_name("zzzzzz"), got="there is no file", remedy="check the path", **words)
    refusal(path / "no" / "data.npz", got="there is no folder", remedy="check the path", **words)
    refusal("digits", got="there is no file", remedy="'sample:digits'", **words)


def test_neither_file_nor_folder(tmp_path: Path, refusal: Refusal) -> None:
    os.mkfifo(tmp_path / "data.npz")
    refusal(tmp_path / "data.npz", got="is neither", expected="a file or folder", remedy="regular file")


@pytest.mark.parametrize(
    ("name", "got", "remedy"),
    [
        ("data.npzz", "ends in '.npzz'", "did you mean '.npz'"),
        ("data.mat", "ends in '.mat'", "np.savez"),
        ("data", "has no suffix", "np.savez"),
    ],
)
def test_unknown_suffix(tmp_path: Path, refusal: Refusal, name: str, got: str, remedy: str) -> None:
    (tmp_path / name).write_text("x")
    refusal(tmp_path / name, got=got, expected=".npz, .npy, .csv", remedy=remedy)


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".csv", ".parquet"])
def test_unreadable_file(tmp_path: Path, refusal: Refusal, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    """The tests may run as a user who may read anything, so that the refusal of the system is put in place."""
    path = tmp_path / f"data{suffix}"
    path.write_bytes(b"PK\x03\x04")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    monkeypatch.setattr("pyarrow.parquet.ParquetFile", refuse)
    error = refusal(path, got="Permission denied", expected="you may read", remedy="ls -l", labels="label")
    assert isinstance(error, DataError)


def test_out_of_memory_is_said(save: Save, arrays: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def exhaust(*_: object, **__: object) -> None:
        raise MemoryError

    path = save(**arrays)
    monkeypatch.setattr("gapkit.data.load.finish", exhaust)
    with pytest.raises(DataError, match="data.npz does not fit into memory; expected .*; save fewer"):
        load_target(path)


def test_upper_case_suffix_home_and_text_paths(
    save: Save, arrays: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(**arrays).rename(tmp_path / "DATA.NPZ")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_target("~/DATA.NPZ").hash == load_target(tmp_path / "DATA.NPZ").hash


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("y.txt", "\ufeffa\nb\n a \n\nc\n"),
        ("y.csv", "a\nb\na\nc"),
        ("y.csv", "label\na\nb\na\nc\n"),
        ("y.csv", "id,label\n7,a\n8,b\n9,a\n10,c\n"),
    ],
)
def test_npy_with_labels_in_text(tmp_path: Path, name: str, content: str) -> None:
    x = np.random.default_rng(3).normal(size=(4, 3))
    np.save(tmp_path / "x.npy", x)
    (tmp_path / name).write_text(content, encoding="utf-8")
    target = load_target(tmp_path / "x.npy", ReadOptions(labels=tmp_path / name))
    assert np.array_equal(target.x, x)
    assert target.class_names == ("a", "b", "c")
    assert target.y.tolist() == [0, 1, 0, 2]


def test_a_table_of_labels_brings_groups_and_split(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(8).reshape(4, 2))
    (tmp_path / "y.csv").write_text("label,subject,split,age\na,p,train,3\nb,q,test,4\na,q,train,5\nb,p,test,6\n")
    target = load_target(tmp_path / "x.npy", ReadOptions(labels=tmp_path / "y.csv"))
    assert target.x.shape == (4, 2)
    assert target.group_key == "subject"
    assert target.split is not None
    assert target.split.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(("text", "names"), [("1\n3\n1\n2", ("1", "2", "3")), ("1.0\n3\n1\n2", ("1", "2", "3"))])
def test_numbers_in_text_are_numbers(tmp_path: Path, text: str, names: tuple[str, ...]) -> None:
    np.save(tmp_path / "x.npy", np.arange(8).reshape(4, 2))
    (tmp_path / "y.txt").write_text(text)
    assert load_target(tmp_path / "x.npy", ReadOptions(labels=tmp_path / "y.txt")).class_names == names


def test_npy_stays_on_disk(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(600.0).reshape(100, 6))
    np.save(tmp_path / "y.npy", np.arange(100) % 4)
    target = load_target(tmp_path / "x.npy", ReadOptions(labels=tmp_path / "y.npy"))
    base = target.x
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)
    assert not target.x.flags.writeable
    assert target.n_classes == 4


@pytest.mark.parametrize(
    ("labels", "kind", "got", "remedy"),
    [
        (None, OptionError, "x.npy holds one array and no labels", "--labels FILE"),
        ("y.mat", OptionError, "y.mat", "save the labels so"),
        ("missing.txt", DataError, "there is no file", "check the path"),
        ("latin.txt", DataError, "latin.txt is not UTF-8: byte 0xe9 in line 2", "iconv"),
        ("empty.txt", DataError, "empty.txt is empty", "how it was saved"),
        ("short.txt", DataError, "y has 2 labels but x has 4 samples", "same first axis"),
        ("pickle.npy", DataError, "pickle.npy holds pickled", "plain dtype"),
    ],
)
def test_bad_labels_of_npy(tmp_path: Path, labels: str | None, kind: type[Exception], got: str, remedy: str) -> None:
    np.save(tmp_path / "x.npy", np.arange(8).reshape(4, 2))
    np.save(tmp_path / "pickle.npy", np.array([{}], dtype=object))
    (tmp_path / "latin.txt").write_bytes("a\né\n".encode("latin-1"))
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "short.txt").write_text("a\nb\n")
    with pytest.raises(kind, match=re.escape(got)) as caught:
        load_target(tmp_path / "x.npy", ReadOptions(labels=labels and tmp_path / labels))
    assert remedy in str(caught.value)


def test_truncated_and_pickled_npy(tmp_path: Path, refusal: Refusal) -> None:
    np.save(tmp_path / "x.npy", np.arange(800).reshape(400, 2))
    path = tmp_path / "x.npy"
    path.write_bytes(path.read_bytes()[:-8])
    refusal(path, got="declares 6,400 bytes and holds 6,392", expected="declares", remedy="truncated", labels=path)
    np.save(path, np.array([{}], dtype=object))
    refusal(path, got="x.npy holds pickled", expected="a pickle can run any code", remedy="np.stack", labels=path)
    path.write_text("hello")
    refusal(path, got="x.npy is damaged", expected="numpy.save", remedy="save it again", labels=path)
