"""Files of learned embedders: the same bits again, and one message for whatever else a file may hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

import gapkit as gk
from gapkit.arrays import seeded_torch
from gapkit.embedders import LearnedEmbedder, PatchOptions, learned_embedder, load_embedder, save_embedder
from gapkit.embedders.embedder_file import ABOUT
from gapkit.errors import OptionError, StorageError
from gapkit.pipeline.activations import choose_embedder, run_source
from gapkit.sources.embedding_part import embedding_part
from gapkit.types import EmbeddingPart

N = 30
OPTIONS = gk.MeasureOptions(
    folds=3, bootstrap=100, permutations=0, scores=("none",), discrepancies=("kl",), keep_features=False
)


@pytest.fixture(scope="module")
def source() -> gk.Source:
    return gk.load_source("vit", device="cpu")


@pytest.fixture(scope="module")
def part(source: gk.Source) -> EmbeddingPart:
    return embedding_part(source)


def targets() -> dict[str, gk.Target]:
    rng, y = np.random.default_rng(2), np.arange(N) % 2
    constant = rng.normal(size=(N, 16)).astype(np.float32)
    constant[:, 3] = 1.0
    return {
        "images": gk.Target(rng.integers(0, 256, (N, 28, 28), dtype=np.uint8), y),
        "RGB": gk.Target(rng.random((N, 3, 20, 20)), y),
        "speech": gk.Target(rng.normal(size=(N, 3000)), y, sample_rate=8000.0),
        "sensors": gk.Target(rng.normal(size=(N, 9, 64)).astype(np.float32), y),
        "vectors": gk.Target(constant, y),
        "field": gk.Target(rng.normal(size=(N, 5, 20, 33)), y),
        "codes": gk.Target(rng.integers(0, 4, (N, 30), dtype=np.uint8), y, alphabet=("A", "C", "G", "T")),
    }


def trained(embedder: LearnedEmbedder) -> LearnedEmbedder:
    """The embedder with weights that no initialiser gives."""
    for place, parameter in enumerate(embedder.module.parameters()):
        noise = np.random.default_rng(place).normal(size=tuple(parameter.shape)) * 0.1
        parameter.data += torch.from_numpy(noise).float()
    return embedder


@pytest.mark.parametrize("kind", ["auto", "copy", "patch"])
@pytest.mark.parametrize("name", list(targets()))
def test_round_trip(name: str, kind: Any, part: EmbeddingPart, tmp_path: Path) -> None:
    samples = targets()[name]
    if kind == "copy" and name == "field":
        return  # no fixed embedder makes a picture of five channels
    embedder = learned_embedder(samples, part, PatchOptions(kind=kind))
    before = embedder.key
    trained(embedder)
    assert embedder.key != before  # weights get trained
    save_embedder(embedder, tmp_path / "e.safetensors")
    loaded = load_embedder(tmp_path / "e.safetensors")
    assert torch.equal(loaded(samples.x), embedder(samples.x))
    assert (loaded.key, loaded.description, loaded.name, loaded.made_for) == (
        embedder.key,
        embedder.description,
        embedder.name,
        embedder.made_for,
    )
    assert all(parameter.requires_grad for parameter in loaded.module.parameters())
    save_embedder(loaded, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "e.safetensors").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["again.safetensors", "e.safetensors"]


def test_the_key_tells_statistics_apart(part: EmbeddingPart) -> None:
    samples = targets()["sensors"]
    moved = gk.Target(samples.x + np.float32(1), samples.y)
    with seeded_torch(0):
        first, second = (learned_embedder(one, part, PatchOptions(init="random")) for one in (samples, moved))
    assert torch.equal(
        first.module.state_dict()["convolution.weight"], second.module.state_dict()["convolution.weight"]
    )
    assert first.key != second.key


def changed(path: Path, change: Any) -> None:
    """Write the file again with other JSON or tensors."""
    with safe_open(str(path), framework="pt") as file:
        about, tensors = json.loads(file.metadata()[ABOUT]), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    change(about, tensors)
    save_file(tensors, str(path), metadata={ABOUT: json.dumps(about)})


CHANGES = {
    "version": lambda about, tensors: about.update(version=2),
    "no sizes": lambda about, tensors: about.pop("sizes"),
    "unknown kind": lambda about, tensors: about["sizes"].update({"is": "Popen"}),
    "wrong kind": lambda about, tensors: about.update(sizes=about["made_for"]),
    "unknown field": lambda about, tensors: about["sizes"].update(more=1),
    "other width": lambda about, tensors: about["sizes"].update(dim=64),
    "huge": lambda about, tensors: about["sizes"].update(dim=10**15),
    "a word for a number": lambda about, tensors: about["sizes"]["axes"][0].update(size="two"),
    "other count": lambda about, tensors: about["sizes"]["axes"][0].update(length=99),
    "missing weights": lambda about, tensors: tensors.pop("weights.position"),
    "more weights": lambda about, tensors: tensors.update({"weights.extra": torch.zeros(2)}),
    "missing statistics": lambda about, tensors: tensors.pop("preparation.values.mean"),
    "statistics of another shape": lambda about, tensors: tensors.update(
        {"preparation.values.mean": torch.zeros(4, 1)}
    ),
    "samples of another shape": lambda about, tensors: about["preparation"].update(sample=[9, 65]),
    "no list": lambda about, tensors: about.update(preparation=[1, 2]),
}


@pytest.fixture(scope="module")
def whole(part: EmbeddingPart, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("embedder") / "whole.safetensors"
    save_embedder(learned_embedder(targets()["sensors"], part), path)
    return path


@pytest.mark.parametrize("change", list(CHANGES))
def test_a_changed_file_is_refused(change: str, whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "e.safetensors"
    path.write_bytes(whole.read_bytes())
    changed(path, lambda about, tensors: None)
    load_embedder(path)
    changed(path, CHANGES[change])
    with pytest.raises(StorageError, match=r"e\.safetensors is no learned embedder, or damaged"):
        load_embedder(path)


def test_damaged_and_foreign_files_are_refused(whole: Path, tmp_path: Path) -> None:
    content, path = whole.read_bytes(), tmp_path / "e.safetensors"
    for damaged in (b"", b"text", content[:7], content[:500], content[:-1], b"\x80\x04" + content[2:]):
        path.write_bytes(damaged)
        with pytest.raises(StorageError, match="is no learned embedder, or damaged"):
            load_embedder(path)
    with seeded_torch(0):
        save_file(nn.Linear(2, 2).state_dict(), str(path))
    with pytest.raises(StorageError, match="it holds other tensors"):
        load_embedder(path)
    with pytest.raises(StorageError, match="there is no embedder"):
        load_embedder(tmp_path / "other.safetensors")
    with pytest.raises(StorageError, match="cannot be written"):
        save_embedder(load_embedder(whole), tmp_path / "nowhere" / "e.safetensors")


def test_a_source_runs_on_the_tokens_of_a_loaded_embedder(
    source: gk.Source, part: EmbeddingPart, tmp_path: Path
) -> None:
    samples, path = targets()["sensors"], tmp_path / "e.safetensors"
    embedder = learned_embedder(samples, part)
    save_embedder(embedder, path)
    choice, loaded = choose_embedder(source, samples, name=str(path))
    assert choice.reason == f"read from {path}"
    given, read, fixed = (
        run_source(source, samples, choose_embedder(source, samples, one)[1], None, OPTIONS)
        for one in (embedder, loaded, None)
    )
    np.testing.assert_array_equal(read.logits, given.logits)
    assert float(np.abs(np.asarray(fixed.logits) - np.asarray(read.logits)).max()) > 0.01
    with torch.no_grad():
        adapter = source.adapter
        logits = adapter.head(adapter.pool(adapter.encode(embedder.module(embedder.preparation(samples.x)))))
    np.testing.assert_allclose(read.logits, logits.numpy(), atol=1e-4)


@pytest.mark.slow
def test_a_measurement_says_which_embedder_it_went_through(source: gk.Source, part: EmbeddingPart) -> None:
    samples = targets()["sensors"]
    embedder = learned_embedder(samples, part)
    result = gk.measure(source, samples, embedder=embedder, options=OPTIONS)
    assert result.target.embedder == embedder.description
    assert result.provenance.options["embedder"] == embedder.key


def test_another_source_or_target_is_refused(source: gk.Source, part: EmbeddingPart) -> None:
    given = targets()
    embedder = learned_embedder(given["sensors"], part)
    for samples, words in (
        (given["vectors"], r"samples of shape \(16,\); expected samples of shape \(9, 64\)"),
        (gk.Target(np.array(["a", "b"]), [0, 1]), "has strings"),
    ):
        with pytest.raises(OptionError, match=words):
            gk.measure(source, samples, embedder=embedder)
    with seeded_torch(0):
        cnn = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    other = gk.Source.from_module(cnn, input=gk.InputSpec(kind="image", shape=(3, 16, 16)), device="cpu")
    with pytest.raises(OptionError, match="has no token space"):
        gk.measure(other, given["sensors"], embedder=embedder)
    slower = gk.Target(given["speech"].x, given["speech"].y, sample_rate=4000.0)
    with pytest.raises(OptionError, match="4000 Hz instead of 8000 Hz"):
        gk.measure(source, slower, embedder=learned_embedder(given["speech"], part))
