"""Read the three data sets of ``train_bundled_source.py`` from npz files or from the usual download folders."""

from __future__ import annotations

import gzip
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
FIRST_TEST_DRAWER = 16


@dataclass(frozen=True, kw_only=True)
class Raw:
    """One data set as it was read: images (n, H, W) or (n, 32, 32, 3) uint8, labels, names, test mask."""

    x: Images
    y: Labels
    class_names: list[str]
    test: npt.NDArray[np.bool_]
    files: list[Path]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of the training data, images (n, 3, 32, 32) uint8, labels shifted into the common head."""

    name: str
    natural: bool
    class_names: list[str]
    first_class: int
    files: list[Path]
    x: Tensor
    y: Tensor
    x_validation: Tensor
    y_validation: Tensor
    x_test: Tensor
    y_test: Tensor


def read_parts(folder: Path, *, seed: int) -> list[Part]:
    """Read CIFAR-100, Omniglot and MNIST and cut a validation part from each train part."""
    parts: list[Part] = []
    first = 0
    for name, read, n_validation in (
        ("cifar100", read_cifar100, 1000),
        ("omniglot", read_omniglot, 242),
        ("mnist", read_mnist, 1000),
    ):
        raw = read(folder)
        parts.append(make_part(name, raw, first, n_validation, np.random.default_rng(seed)))
        first += len(raw.class_names)
    return parts


def make_part(name: str, raw: Raw, first: int, n_validation: int, rng: np.random.Generator) -> Part:
    """Bring images to (n, 3, 32, 32) and split train into train and validation."""
    images = torch.from_numpy(as_rgb32(raw.x))
    labels = torch.from_numpy(raw.y + first)
    train = rng.permutation(np.flatnonzero(~raw.test))
    n_validation = min(n_validation, len(train) // 10)
    validation, train = np.sort(train[:n_validation]), np.sort(train[n_validation:])
    test = np.flatnonzero(raw.test)
    return Part(
        name=name,
        natural=name == "cifar100",
        class_names=raw.class_names,
        first_class=first,
        files=raw.files,
        x=images[train],
        y=labels[train],
        x_validation=images[validation],
        y_validation=labels[validation],
        x_test=images[test],
        y_test=labels[test],
    )


def as_rgb32(images: Images) -> Images:
    """(n, 32, 32, 3) or grey (n, 28, 28) to (n, 3, 32, 32); grey images are padded, not stretched."""
    if images.ndim == 4:
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    return np.repeat(padded[:, None], 3, axis=1)


def read_cifar100(folder: Path) -> Raw:
    """``cifar100.npz`` (WebP streams) or ``cifar-100-binary``; the pickled Python version is not read."""
    archive = folder / "cifar100.npz"
    if archive.exists():
        with np.load(archive, allow_pickle=False) as file:
            data, offsets = file["data"].tobytes(), file["offsets"]
            x = np.stack([decode(data[a:b]) for a, b in zip(offsets[:-1], offsets[1:], strict=True)])
            names = [str(name) for name in file["class_names"]]
            return Raw(x=x, y=file["y"].astype(np.int64), class_names=names, test=file["split"] == 1, files=[archive])
    binary = folder / "cifar-100-binary"
    files = [binary / "train.bin", binary / "test.bin"]
    records = [np.fromfile(path, np.uint8).reshape(-1, 3074) for path in files]
    both = np.concatenate(records)
    names = (binary / "fine_label_names.txt").read_text().split()
    test = np.arange(len(both)) >= len(records[0])
    x = both[:, 2:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return Raw(x=x, y=both[:, 1].astype(np.int64), class_names=names, test=test, files=files)


def decode(stream: bytes) -> Images:
    """One compressed image to (H, W, 3) uint8."""
    return np.asarray(Image.open(io.BytesIO(stream)).convert("RGB"))


def read_mnist(folder: Path) -> Raw:
    """``mnist.npz`` or the IDX files of ``MNIST/raw``."""
    names = [str(digit) for digit in range(10)]
    archive = folder / "mnist.npz"
    if archive.exists():
        with np.load(archive, allow_pickle=False) as file:
            return Raw(
                x=file["x"],
                y=file["y"].astype(np.int64),
                class_names=names,
                test=file["split"] == 1,
                files=[archive],
            )
    raw = folder / "MNIST" / "raw"
    files = [idx_path(raw, f"{split}-{kind}") for kind in ("images-idx3", "labels-idx1") for split in ("train", "t10k")]
    x_train, x_test, y_train, y_test = (read_idx(path) for path in files)
    test = np.arange(len(x_train) + len(x_test)) >= len(x_train)
    y = np.concatenate([y_train, y_test]).astype(np.int64)
    return Raw(x=np.concatenate([x_train, x_test]), y=y, class_names=names, test=test, files=files)


def idx_path(folder: Path, stem: str) -> Path:
    """The IDX file as it is, or compressed."""
    plain = folder / f"{stem}-ubyte"
    return plain if plain.exists() else folder / f"{stem}-ubyte.gz"


def read_idx(path: Path) -> Images:
    """An IDX file of bytes: magic number (the fourth byte counts the dimensions), sizes, data."""
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    rank = content[3]
    shape = np.frombuffer(content, ">i4", rank, 4)
    return np.frombuffer(content, np.uint8, -1, 4 + 4 * rank).reshape(shape)


def read_omniglot(folder: Path) -> Raw:
    """``omniglot.npz`` or the two small background sets (242 characters, 20 drawers each)."""
    archive = folder / "omniglot.npz"
    if archive.exists():
        with np.load(archive, allow_pickle=False) as file:
            names = [str(name) for name in file["class_names"]]
            test = file["drawer"] >= FIRST_TEST_DRAWER
            return Raw(x=file["x"], y=file["y"].astype(np.int64), class_names=names, test=test, files=[archive])
    root = folder / "omniglot-py"
    sets = [root / "images_background_small1", root / "images_background_small2"]
    characters = {
        f"{path.parent.name}/{path.name}": path for base in sets for path in base.glob("*/*") if path.is_dir()
    }
    names = sorted(characters)
    drawings = [(label, path) for label, name in enumerate(names) for path in sorted(characters[name].glob("*.png"))]
    x = np.stack([ink(path) for _, path in drawings])
    drawer = np.array([int(path.stem.split("_")[1]) for _, path in drawings])
    y = np.array([label for label, _ in drawings], dtype=np.int64)
    return Raw(x=x, y=y, class_names=names, test=drawer >= FIRST_TEST_DRAWER, files=sets)


def ink(path: Path) -> Images:
    """A drawing of 105x105 black on white to 28x28 with ink = 255."""
    grey = Image.open(path).convert("L").resize((28, 28), Image.Resampling.BOX)
    return 255 - np.asarray(grey)
