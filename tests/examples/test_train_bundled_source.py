"""The training script of the bundled source on tiny data in every layout that it reads."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

EXAMPLES = Path(__file__).parents[2] / "examples"
N_CIFAR, N_MNIST, CHARACTERS = 60, 40, ("Greek/character01", "Latin/character02")


@pytest.fixture
def data_module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The reader of the training script."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import bundled_source_data

    return bundled_source_data


def webp_free_archive(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images as one stream of PNG files (lossless) with offsets."""
    streams = []
    for image in images:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG")
        streams.append(buffer.getvalue())
    offsets = np.cumsum([0, *map(len, streams)])
    return np.frombuffer(b"".join(streams), np.uint8), offsets


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same images twice: as npz files and as download folders."""
    archives, downloads = tmp_path_factory.mktemp("npz"), tmp_path_factory.mktemp("downloads")
    rng = np.random.default_rng(2)
    write_cifar(archives, downloads, rng)
    write_mnist(archives, downloads, rng)
    write_omniglot(archives, downloads, rng)
    return archives, downloads


def write_cifar(archives: Path, downloads: Path, rng: np.random.Generator) -> None:
    """Five classes, the last ten images are test."""
    images = rng.integers(0, 256, (N_CIFAR, 32, 32, 3), dtype=np.uint8)
    labels, test = np.arange(N_CIFAR) % 5, np.arange(N_CIFAR) >= N_CIFAR - 10
    names = [f"thing{k}" for k in range(5)]
    stream, offsets = webp_free_archive(images)
    np.savez(archives / "cifar100.npz", data=stream, offsets=offsets, y=labels, split=test, class_names=names)
    folder = downloads / "cifar-100-binary"
    folder.mkdir()
    records = np.column_stack([np.zeros(N_CIFAR), labels, images.transpose(0, 3, 1, 2).reshape(N_CIFAR, -1)])
    records[~test].astype(np.uint8).tofile(folder / "train.bin")
    records[test].astype(np.uint8).tofile(folder / "test.bin")
    (folder / "fine_label_names.txt").write_text("\n".join(names))


def write_mnist(archives: Path, downloads: Path, rng: np.random.Generator) -> None:
    """Ten digits, the last ten images are test; IDX files, two of them compressed."""
    images = rng.integers(0, 256, (N_MNIST, 28, 28), dtype=np.uint8)
    labels, test = (np.arange(N_MNIST) % 10).astype(np.uint8), np.arange(N_MNIST) >= N_MNIST - 10
    np.savez(archives / "mnist.npz", x=images, y=labels, split=test)
    folder = downloads / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name, part in (("train", ~test), ("t10k", test)):
        pictures = b"\0\0\x08\x03" + np.array([part.sum(), 28, 28], ">i4").tobytes() + images[part].tobytes()
        (folder / f"{name}-images-idx3-ubyte").write_bytes(pictures)
        classes = b"\0\0\x08\x01" + np.array([part.sum()], ">i4").tobytes() + labels[part].tobytes()
        (folder / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(classes))


def write_omniglot(archives: Path, downloads: Path, rng: np.random.Generator) -> None:
    """Two characters of twenty drawers; a drawing is 105x105, in 28x28 it is the mean over areas."""
    small: list[np.ndarray] = []
    for number, name in enumerate(CHARACTERS):
        folder = downloads / "omniglot-py" / f"images_background_small{number + 1}" / name
        folder.mkdir(parents=True)
        for drawer in range(1, 21):
            drawing = Image.fromarray((rng.random((105, 105)) < 0.9).astype(np.uint8) * 255)
            drawing.save(folder / f"{number:04d}_{drawer:02d}.png")
            small.append(255 - np.asarray(drawing.resize((28, 28), Image.Resampling.BOX)))
    drawers = np.tile(np.arange(1, 21), 2)
    np.savez(
        archives / "omniglot.npz",
        x=np.stack(small),
        y=np.repeat([0, 1], 20),
        drawer=drawers,
        class_names=list(CHARACTERS),
    )


def test_both_layouts_give_the_same_parts(data_module: ModuleType, folders: tuple[Path, Path]) -> None:
    for left, right in zip(*(data_module.read_parts(folder, seed=2) for folder in folders), strict=True):
        for name in ("x", "y", "x_validation", "y_validation", "x_test", "y_test"):
            assert torch.equal(getattr(left, name), getattr(right, name)), (left.name, name)
        assert (left.class_names, left.first_class) == (right.class_names, right.first_class)


def test_train_validation_and_test_share_no_image(data_module: ModuleType, folders: tuple[Path, Path]) -> None:
    for part, n_all in zip(data_module.read_parts(folders[0], seed=2), (N_CIFAR, 40, N_MNIST), strict=True):
        images = [image.numpy().tobytes() for image in torch.cat([part.x, part.x_validation, part.x_test])]
        assert len(images) == len(set(images)) == n_all
        assert len(part.x_validation) > 0


def train(data: Path, out: Path, *options: str) -> str:
    """Run the script; returns what it logged."""
    recipe = {"batches": [4, 2, 2], "model": {"width": 16, "depth": 1, "heads": 2, "stem": [4, 4]}}
    command = [sys.executable, str(EXAMPLES / "train_bundled_source.py"), "--data", str(data), "--out", str(out)]
    command += ["--recipe", json.dumps(recipe), "--threads", "1", *options]
    environment = os.environ | {"PYTHONPATH": str(EXAMPLES.parent)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_resumed_training_gives_the_weights_of_an_uninterrupted_one(folders: tuple[Path, Path], tmp_path: Path) -> None:
    train(folders[0], tmp_path / "whole", "--epochs", "1", "--finish")
    train(folders[1], tmp_path / "parts", "--epochs", "1", "--stop-after", "5")
    train(folders[1], tmp_path / "parts", "--epochs", "1", "--finish")
    with (
        safe_open(tmp_path / "whole" / "vit.safetensors", "pt") as whole,
        safe_open(tmp_path / "parts" / "vit.safetensors", "pt") as parts,
    ):
        assert whole.metadata()["class_names"] == parts.metadata()["class_names"]
        assert len(json.loads(whole.metadata()["class_names"])) == 17
        assert all(torch.equal(whole.get_tensor(key), parts.get_tensor(key)) for key in whole.keys())  # noqa: SIM118
        assert whole.get_tensor("head.weight").dtype == torch.float16
    surrogate = np.load(tmp_path / "whole" / "surrogate.npz", allow_pickle=False)
    assert surrogate["x"].shape == (20, 28, 28)
    assert set(surrogate["y"].tolist()) == set(range(5, 17))
    card = (tmp_path / "whole" / "MODEL_CARD.md").read_text()
    assert "SHA-256" in card
    assert "| mnist | 27 | 3 | 10 | 10 |" in card
