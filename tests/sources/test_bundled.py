"""The bundled source: from files that the test makes, and from the package."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import gapkit as gk
from gapkit.arrays import seeded_torch
from gapkit.errors import SourceError
from gapkit.sources.bundled import BundledConfig, BundledViT, load_bundled
from gapkit.types import Adapter

CONFIG = {"width": 16, "depth": 2, "heads": 2, "mlp_ratio": 2, "stem": [4, 8], "n_classes": 3}
NAMES = ["cifar100/apple", "omniglot/Greek/character01", "mnist/7"]


@pytest.fixture
def weights(tmp_path: Path) -> tuple[BundledViT, Path]:
    """A small model with random weights and the two files that a training run writes."""
    with seeded_torch(3):
        module = BundledViT(BundledConfig(**CONFIG | {"stem": (4, 8)})).eval()
    state = {key: value.half() if value.is_floating_point() else value for key, value in module.state_dict().items()}
    module.load_state_dict({key: value.float() for key, value in state.items()})
    metadata = {"config": json.dumps(CONFIG), "class_names": json.dumps(NAMES), "trained_on": '["0123", "4567"]'}
    save_file(state, tmp_path / "vit.safetensors", metadata=metadata)
    rng = np.random.default_rng(2)
    images = rng.integers(0, 255, (10, 28, 28)).astype(np.uint8)
    np.savez_compressed(tmp_path / "surrogate.npz", x=images, y=np.repeat([1, 2], 5).astype(np.int16))
    return module, tmp_path


@torch.inference_mode()
def test_files_become_the_same_model_with_its_surrogate(weights: tuple[BundledViT, Path]) -> None:
    module, folder = weights
    adapter = load_bundled(folder=folder)
    assert isinstance(adapter, Adapter)
    assert {parameter.dtype for parameter in adapter.module.parameters()} == {torch.float32}
    adapter.module.eval()
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 3, 32, 32)).astype(np.float32))
    tokens = adapter.embed(x)
    assert tokens.shape == (4, 64, 16)
    assert torch.equal(adapter.head(adapter.pool(adapter.encode(tokens))), module(x))
    assert adapter.encode(tokens[:, :5]).shape == (4, 5, 16)
    assert adapter.class_names == tuple(NAMES)
    assert adapter.trained_on == {"0123", "4567"}
    assert adapter.surrogate is not None
    assert adapter.surrogate.class_names == tuple(NAMES)
    assert adapter.surrogate.y.tolist() == [1] * 5 + [2] * 5


def test_a_surrogate_of_ones_own_takes_its_place(weights: tuple[BundledViT, Path]) -> None:
    own = gk.Target(np.arange(12.0).reshape(6, 2), [0, 1] * 3)
    assert load_bundled(folder=weights[1], surrogate=own).surrogate is own


def test_missing_and_damaged_files_are_said(weights: tuple[BundledViT, Path]) -> None:
    folder = weights[1]
    (folder / "surrogate.npz").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(SourceError, match=r"surrogate\.npz cannot be read"):
        load_bundled(folder=folder)
    data = (folder / "vit.safetensors").read_bytes()
    (folder / "vit.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(SourceError, match=r"vit\.safetensors is damaged"):
        load_bundled(folder=folder)
    (folder / "vit.safetensors").unlink()
    with pytest.raises(SourceError, match=r"no file .*vit\.safetensors.*install gapkit again"):
        load_bundled(folder=folder)


@torch.inference_mode()
def test_the_package_has_it() -> None:
    source = gk.load_source("vit", device="cpu")
    assert (source.name, source.n_classes, source.input.shape) == ("vit", 352, (3, 32, 32))
    assert source.token is not None
    assert (source.token.layout, source.token.max_len) == ("sequence", None)
    assert not source.module.training
    surrogate = source.surrogate
    assert surrogate is not None
    assert surrogate.x.dtype == np.uint8
    assert surrogate.x.shape[1:] == (28, 28)
    assert surrogate.y.max() < 352
    assert all(source.class_names[code].split("/")[0] in ("omniglot", "mnist") for code in set(surrogate.y.tolist()))
    assert gk.load_source("vit", device="cpu").weights_hash == source.weights_hash
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 32, 32)).astype(np.float32))
    adapter = source.adapter
    assert torch.equal(adapter.head(adapter.pool(adapter.encode(adapter.embed(x)))), source.module(x))


@torch.inference_mode()
def test_a_checkpoint_of_the_bundled_architecture_loads_by_file(weights: tuple[BundledViT, Path]) -> None:
    module, folder = weights
    source = gk.load_source(f"file:{folder / 'vit.safetensors'}", arch="vit", device="cpu")
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 32, 32)).astype(np.float32))
    assert torch.equal(source.module(x), module(x))
    assert source.class_names == tuple(NAMES)
    assert source.surrogate is None
    with seeded_torch(4):
        usual = BundledViT(BundledConfig(n_classes=6))
    torch.save({"model": usual.state_dict()}, folder / "tuned.pt")
    tuned = gk.load_source(f"file:{folder / 'tuned.pt'}", arch="vit", device="cpu")
    assert tuned.class_names == tuple(f"class {k}" for k in range(6))
