"""Every kind of bad input through the command: exit code 2, one message with its own words, nothing written."""

from __future__ import annotations

import io
import os
import pickle
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from gapkit.arrays import seeded_torch
from gapkit.cli.app import run

Build = Callable[[Path], str]


def npz(**arrays: object) -> Build:
    """A builder of an npz file with these arrays; ``x`` and ``y`` are good ones unless they are given or None."""

    def build(folder: Path) -> str:
        good = {"x": np.arange(40.0).reshape(10, 4), "y": np.arange(10) % 2}
        chosen = {key: value for key, value in (good | arrays).items() if value is not None}
        np.savez(folder / "data.npz", **chosen)
        return str(folder / "data.npz")

    return build


def missing(folder: Path) -> str:
    """A file that is not there, beside one of nearly the same name."""
    npz()(folder)
    return str(folder / "dato.npz")


def empty_directory(folder: Path) -> str:
    """A folder without class folders."""
    (folder / "images").mkdir()
    return str(folder / "images")


def not_an_npz(folder: Path) -> str:
    """Text under an npz name."""
    (folder / "data.npz").write_text("hello")
    return str(folder / "data.npz")


def truncated(folder: Path) -> str:
    """The first half of a good npz."""
    path = Path(npz(x=np.random.default_rng(2).normal(size=(10, 50)))(folder))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return str(path)


def pickled(folder: Path) -> str:
    """An npz whose x is an array of objects: numpy pickles it."""
    np.savez(folder / "data.npz", x=np.array([{}, []], dtype=object), y=np.array([0, 1]))
    return str(folder / "data.npz")


def declares_too_much(folder: Path) -> str:
    """An npz whose header promises 2^50 bytes and holds 16."""
    header = repr({"descr": "<f8", "fortran_order": False, "shape": (1 << 27, 1 << 20)}).encode().ljust(117) + b"\n"
    array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(16)
    labels = io.BytesIO()
    np.save(labels, np.arange(10) % 2)
    with zipfile.ZipFile(folder / "data.npz", "w") as archive:
        archive.writestr("x.npy", array)
        archive.writestr("y.npy", labels.getvalue())
    return str(folder / "data.npz")


with_nan = np.arange(40.0).reshape(10, 4)
with_nan[3, 1] = np.nan
with_nan[7, 0] = np.inf

TARGETS: dict[str, tuple[Build, list[str]]] = {
    "missing file": (missing, ["dato.npz", "data.npz"]),
    "directory without classes": (empty_directory, ["images", "class"]),
    "not an npz": (not_an_npz, ["data.npz", "npz"]),
    "truncated npz": (truncated, ["data.npz", "truncated"]),
    "pickled objects": (pickled, ["data.npz", "pickle"]),
    "header beyond memory": (declares_too_much, ["data.npz", "memory"]),
    "no x and y": (npz(x=None, y=None, pictures=np.ones((3, 2)), offsets=np.ones(3)), ["pictures", "offsets", "x"]),
    "unequal lengths": (npz(y=np.arange(9) % 2), ["y has 9 labels", "x has 10 samples"]),
    "empty": (npz(x=np.zeros((0, 4)), y=np.zeros(0, int)), ["at least one sample"]),
    "one class": (npz(y=np.zeros(10, int)), ["one class"]),
    "NaN and inf in x": (npz(x=with_nan), ["1 NaN and 1 infinite values in 2 samples", "sample 3"]),
    "NaN in y": (npz(y=np.array([0, 1] * 4 + [0, np.nan])), ["1 labels that are NaN", "sample 9"]),
    "fractional labels": (npz(y=np.linspace(0, 1, 10)), ["no integers", "--task regression"]),
    "strings for an image source": (npz(x=np.array([f"text {i}" for i in range(10)])), ["text", "hf:"]),
    "complex": (npz(x=np.arange(40).reshape(10, 4) * 1j), ["complex"]),
    "wrong rank of x": (npz(x=np.ones((10, 2, 2, 2, 2)) * np.arange(10).reshape(10, 1, 1, 1, 1)), ["shape"]),
    "constant fields": (npz(y=np.zeros((10, 2, 2))), ["y is 0.0 everywhere"]),
    "fields of strings": (npz(y=np.full((10, 2, 2), "a")), ["y", "shape (10, 2, 2)", "a field of numbers"]),
    "constant x": (npz(x=np.full((10, 4), 5.0)), ["5.0 everywhere"]),
}


def fails(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run the command, which must fail with one message on stderr and nothing on stdout; returns the message."""
    with pytest.raises(SystemExit) as stop:
        run(arguments)
    printed = capsys.readouterr()
    assert stop.value.code == 2, printed.err
    assert printed.out == ""
    assert "Traceback" not in printed.err
    assert printed.err.startswith("gapkit: ")
    assert printed.err.count("\n") == 1
    assert "expected" in printed.err
    return printed.err


@pytest.mark.parametrize("name", TARGETS)
def test_bad_target(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build, words = TARGETS[name]
    target = build(tmp_path)
    out = tmp_path / "run"
    message = fails(["measure", "--source", "vit", "--target", target, "--out", str(out), "--quiet"], capsys)
    for word in words:
        assert word in message
    assert not out.exists()


def test_a_pickle_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A pickle that would create a file when it is loaded creates none."""

    class Touch:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "was-run",))

    array = io.BytesIO()
    np.save(array, np.arange(10) % 2)
    header = repr({"descr": "|O", "fortran_order": False, "shape": (1,)}).encode().ljust(117) + b"\n"
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + pickle.dumps(Touch())
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        archive.writestr("x.npy", content)
        archive.writestr("y.npy", array.getvalue())
    assert "pickle" in fails(["inspect", str(tmp_path / "data.npz")], capsys)
    assert not (tmp_path / "was-run").exists()


def corrupt(folder: Path) -> tuple[str, list[str]]:
    """A checkpoint of noise."""
    (folder / "model.safetensors").write_bytes(np.random.default_rng(2).bytes(400))
    return "file:" + str(folder / "model.safetensors"), ["model.safetensors"]


def other_architecture(folder: Path) -> tuple[str, list[str]]:
    """A good checkpoint with other tensors."""
    save_file({"layer.weight": torch.zeros(3, 3)}, folder / "model.safetensors")
    return "file:" + str(folder / "model.safetensors"), ["model.safetensors", "layer.weight"]


def pickled_checkpoint(folder: Path) -> tuple[str, list[str]]:
    """A checkpoint that holds a whole object, not weights."""
    with seeded_torch(2):
        torch.save({"model": torch.nn.Linear(2, 2)}, folder / "model.pt")
    return "file:" + str(folder / "model.pt"), ["model.pt", "weights"]


@pytest.mark.parametrize("build", [corrupt, other_architecture, pickled_checkpoint])
def test_bad_checkpoint(
    build: Callable[[Path], tuple[str, list[str]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, words = build(tmp_path)
    arguments = ["measure", "--source", source, "--arch", "vit", "--target", "sample:digits", "--out"]
    message = fails([*arguments, str(tmp_path / "run"), "--quiet"], capsys)
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--source", "vitt"], ["vitt", "did you mean", "'vit'"]),
        (["--source", "vit", "--device", "cuda:99"], ["cuda:99", "--device auto"]),
        (["--source", "vit", "--device", "gpu"], ["'gpu'", "--device auto"]),
        (["--source", "vit", "--max-samples", "0"], ["--max-samples 0", "all"]),
        (["--source", "vit", "--folds", "1"], ["folds"]),
        (["--source", "vit", "--embedder", "resise"], ["resise", "'resize'"]),
        (["--source", "vit", "--split", "test"], ["no test samples", "--split all"]),
        (["--source", "vit", "--layers", "block.*"], ["layer 'block.*'", "did you mean"]),
        (["--source", "vit", "--resume", "--overwrite"], ["--resume and --overwrite", "leave --overwrite out"]),
        (["--source", "vit", "--resume", "--no-cache"], ["--resume and --no-cache", "leave one of them out"]),
        (["--source", "vit", "--discrepancy", "kll"], ["kll", "'kl'"]),
        (["--source", "vit", "--discrepancy", ""], ["discrepancy"]),
    ],
)
def test_bad_option(arguments: list[str], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = ["measure", "--target", "sample:digits", "--out", str(tmp_path / "run"), "--quiet"]
    message = fails([*base, *arguments], capsys)
    for word in words:
        assert word in message


def test_layers_of_several_labels_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    several = npz(y=np.random.default_rng(2).integers(0, 2, (10, 3)))(tmp_path)
    arguments = ["measure", "--source", "vit", "--target", several, "--layers", "all", "--task", "multilabel"]
    message = fails([*arguments, "--out", str(tmp_path / "run"), "--quiet"], capsys)
    assert "--layers all" in message
    assert "one label per sample" in message


def test_unwritable_folder_is_refused_before_anything_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "locked").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # whoever runs the tests may write there
    arguments = ["measure", "--source", "vit", "--target", "no such file", "--out", str(tmp_path / "locked" / "run")]
    assert "not writable" in fails(arguments, capsys)


def test_out_below_a_file_is_refused_before_anything_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x")
    arguments = ["measure", "--source", "vit", "--target", "no such file", "--out", str(tmp_path / "file" / "run")]
    assert "is a file" in fails(arguments, capsys)


def test_hub_source_without_network_or_cache_answers_within_five_seconds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    import transformers  # noqa: F401  (its import is not what is timed)

    started = time.monotonic()
    message = fails(
        ["measure", "--source", "hf:nobody/nothing", "--target", "sample:digits", "--out", str(tmp_path / "run")],
        capsys,
    )
    assert time.monotonic() - started < 5.0
    assert "nobody/nothing" in message
    assert "vit" in message


def test_out_that_holds_something_is_refused_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "result.json").write_text("{}")
    message = fails(["measure", "--source", "vit", "--target", "sample:digits", "--out", str(tmp_path)], capsys)
    assert "holds another run" in message
    assert "--overwrite" in message
    assert (tmp_path / "result.json").read_text() == "{}"
