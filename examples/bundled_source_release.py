"""What ``train_bundled_source.py --finish`` writes: weights, held-out surrogate, model card.

The test parts are read here, once.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from bundled_source_data import Part
from safetensors.torch import save_file
from torch import Tensor

from gapkit.arrays import fingerprints
from gapkit.sources.bundled import BundledViT

log = logging.getLogger("release")
SURROGATE_PER_MNIST_CLASS = 150
FINGERPRINTS_PER_PART = 512
LICENCES = {
    "cifar100": "cyizhuo/CIFAR-100-dataset, licence not stated at the origin; images are not shipped",
    "omniglot": "brendenlake/omniglot, MIT",
    "mnist": "rasbt/mnist-pngs, MIT",
}

CARD = """# The bundled source `vit`

A small vision transformer for 32x32 RGB images with one head of 352 classes: CIFAR-100, Omniglot (242 characters,
drawers 1-15) and MNIST. It is a real model on real images, small enough to work anywhere in seconds. Test accuracy
counts a hit only where the largest of all 352 logits is the right class.

| part | train | validation | test | classes | test accuracy | origin, licence |
|---|---|---|---|---|---|---|
{rows}

Omniglot test is drawers 16-20. Validation was cut from train and chose recipe and stopping; test was read once, by the
training script, with the fp16 weights that are shipped.

## Surrogate

Omniglot drawers 16-20 and a seeded draw of the MNIST test images, none of them used in training.

## Recipe

```json
{recipe}
```

Muon for the matrices of the blocks, AdamW for the rest; random crops and flips for CIFAR-100, random affine maps for
the drawings; a part of the tokens is dropped for the first `keep_until` of the run. To train again:
`python examples/train_bundled_source.py --data DATA --out WEIGHTS --finish`.

## Files

{hashes}

## Licence

MIT, as gapkit. The Omniglot and MNIST images in the surrogate are redistributed under the MIT licence of their origins.
"""


def release(model: BundledViT, parts: list[Part], recipe: dict[str, Any], out: Path) -> dict[str, float]:
    """Round the weights to fp16, score them on the test parts and write the three files into ``out``."""
    state = {key: value.detach().contiguous() for key, value in model.state_dict().items()}
    weights = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    model.load_state_dict(
        {key: value.float() if value.is_floating_point() else value for key, value in weights.items()}
    )
    scores = {part.name: test_accuracy(model, part) for part in parts}
    metadata = {
        "format": "gapkit-bundled-1",
        "config": json.dumps(recipe["model"]),
        "class_names": json.dumps(head_names(parts)),
        "accuracy": json.dumps(scores),
        "trained_on": json.dumps(training_fingerprints(parts, recipe["seed"])),
    }
    save_file(weights, out / "vit.safetensors", metadata=metadata)
    (out / "surrogate.npz").write_bytes(surrogate_archive(parts, recipe["seed"]))
    (out / "MODEL_CARD.md").write_text(card(parts, recipe, scores, out), encoding="utf-8")
    log.info("test accuracy %s", json.dumps(scores))
    return scores


@torch.inference_mode()
def test_accuracy(model: BundledViT, part: Part) -> float:
    """Share of test images whose largest logit of all 352 is the right class."""
    model.eval()
    hits = 0
    for x, y in zip(part.x_test.split(500), part.y_test.split(500), strict=True):
        hits += int((model((x.float() / 255.0 - 0.5) / 0.25).argmax(1) == y).sum())
    return hits / len(part.y_test)


def head_names(parts: list[Part]) -> list[str]:
    """Names of the head's classes, part by part: ``cifar100/apple``, ``omniglot/Greek/character01``, ``mnist/7``."""
    return [f"{part.name}/{name}" for part in parts for name in part.class_names]


def training_fingerprints(parts: list[Part], seed: int) -> list[str]:
    """Fingerprints of a seeded draw of training images, by which later overlap with them is noticed."""
    rng = np.random.default_rng(seed)
    found: list[str] = []
    for part in parts:
        index = rng.choice(len(part.x), min(FINGERPRINTS_PER_PART, len(part.x)), replace=False)
        images = part.x[torch.from_numpy(np.sort(index))].numpy()
        bare = images.transpose(0, 2, 3, 1) if part.natural else images[:, 0, 2:30, 2:30]
        found += fingerprints(np.ascontiguousarray(bare))
    return found


def surrogate_archive(parts: list[Part], seed: int) -> bytes:
    """Held-out images that may be redistributed: Omniglot drawers 16-20 and a seeded draw of MNIST test."""
    rng = np.random.default_rng(seed)
    chosen: list[tuple[Tensor, Tensor]] = []
    for part in parts:
        if part.name == "omniglot":
            chosen.append((part.x_test, part.y_test))
        elif part.name == "mnist":
            labels = part.y_test.numpy()
            index = [draw_class(labels, label, rng) for label in np.unique(labels)]
            kept = torch.from_numpy(np.sort(np.concatenate(index)))
            chosen.append((part.x_test[kept], part.y_test[kept]))
    images = torch.cat([x for x, _ in chosen])[:, 0, 2:30, 2:30].numpy()
    labels = torch.cat([y for _, y in chosen]).numpy().astype(np.int16)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=images, y=labels)
    return buffer.getvalue()


def draw_class(labels: npt.NDArray[np.int64], label: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """A seeded draw of the positions of one class."""
    positions = np.flatnonzero(labels == label)
    return rng.choice(positions, min(SURROGATE_PER_MNIST_CLASS, len(positions)), replace=False)


def card(parts: list[Part], recipe: dict[str, Any], scores: dict[str, float], out: Path) -> str:
    """The model card: what it is, data with hashes, accuracy per part, recipe, licence."""
    rows = [
        f"| {part.name} | {len(part.x)} | {len(part.x_validation)} | {len(part.x_test)} | {len(part.class_names)} "
        f"| {100 * scores[part.name]:.2f} % | {LICENCES[part.name]} |"
        for part in parts
    ]
    files = [path for part in parts for path in part.files if path.is_file()]
    files += [out / "vit.safetensors", out / "surrogate.npz"]
    hashes = [f"* `{path.name}`: SHA-256 `{sha256(path)}`" for path in files]
    return CARD.format(rows="\n".join(rows), recipe=json.dumps(recipe, indent=2), hashes="\n".join(hashes))


def sha256(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
