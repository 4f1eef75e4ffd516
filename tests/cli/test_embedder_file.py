"""``--embedder FILE``: measured and probed through, and refused in words."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

import gapkit as gk
from gapkit.cli.app import run
from gapkit.embedders import PatchOptions, learned_embedder, save_embedder
from gapkit.sources.embedding_part import embedding_part

FAST = ["--bootstrap", "100", "--folds", "3", "--json"]
ALONE = ["--permutations", "0", "--scores", "none", "--discrepancy", "kl"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two targets, and the embedder of the first."""
    path, rng = tmp_path_factory.mktemp("embedder"), np.random.default_rng(0)
    y = np.arange(90) % 3
    np.savez(path / "sensors.npz", x=rng.normal(size=(90, 4, 40)) + y[:, None, None], y=y)
    np.savez(path / "other.npz", x=rng.normal(size=(90, 4, 41)), y=y)
    embedder = learned_embedder(gk.load_target(path / "sensors.npz"), embedding_part(gk.load_source("vit")))
    save_embedder(embedder, path / "e.safetensors")
    (path / "text.safetensors").write_text("no tensors")
    return path


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        run(list(arguments))
    printed = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, printed.out, printed.err


def measured(folder: Path, out: Path, target: str, embedder: str, *more: str) -> list[str]:
    files = ["--target", str(folder / target), "--embedder", str(folder / embedder), "--out", str(out)]
    return ["measure", "--source", "vit", *files, *ALONE, *FAST, *more]


def test_measure(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = measured(folder, tmp_path / "run", "sensors.npz", "e.safetensors")
    code, out, _ = call(capsys, *arguments)
    assert code == 0
    result = json.loads(out)
    assert result["target"]["embedder"].startswith("learned patches: 4 channels of 40 steps")
    assert result["target"]["embedder_reason"].startswith("read from ")
    assert all(row["status"] == "ok" for row in result["misalignment"])
    assert call(capsys, *arguments, "--resume") == (0, out, "")
    # A file of the same name with other weights is another run.
    embedder = learned_embedder(
        gk.load_target(folder / "sensors.npz"), embedding_part(gk.load_source("vit")), PatchOptions(seed=1)
    )
    content = (folder / "e.safetensors").read_bytes()
    save_embedder(embedder, folder / "e.safetensors")
    code, _, err = call(capsys, *arguments, "--resume")
    (folder / "e.safetensors").write_bytes(content)
    assert code == 2
    assert "embedder differ" in err


def test_probe(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = str(resources.files("gapkit.sources") / "weights" / "vit.safetensors")
    arguments = ["probe", "--before", "vit", "--after", weights, "--max-samples", "60"]
    files = ["--target", str(folder / "sensors.npz"), "--embedder", str(folder / "e.safetensors"), "--on-target"]
    options = ["--layers", "blocks.6", "--no-projection", "--classes", "3", "--out", str(tmp_path / "run")]
    code, out, err = call(capsys, *arguments, *files, *options, *FAST)
    assert code == 0, err
    result = json.loads(out)
    assert result["target"]["embedder"].startswith("learned patches")
    assert [row["layer"] for row in result["on_target"]] == ["blocks.6"]


@pytest.mark.parametrize(
    ("target", "embedder", "words"),
    [
        ("other.npz", "e.safetensors", "samples of shape (4, 41); expected samples of shape (4, 40)"),
        ("sensors.npz", "none.safetensors", "there is no embedder"),
        ("sensors.npz", "text.safetensors", "is no learned embedder, or damaged"),
    ],
)
def test_refusals(
    target: str, embedder: str, words: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, *measured(folder, tmp_path / "run", target, embedder))
    assert (code, out) == (2, "")
    assert words in " ".join(err.split())
