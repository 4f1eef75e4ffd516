"""Train the bundled source ``vit`` on CIFAR-100, Omniglot and MNIST, one head, 352 classes.

    python examples/train_bundled_source.py --data DATA --out WEIGHTS

``DATA`` holds ``cifar100.npz``, ``omniglot.npz`` and ``mnist.npz``, or the usual download folders:
``cifar-100-binary/`` (train.bin, test.bin), ``MNIST/raw/`` (IDX files, .gz or not) and
``omniglot-py/images_background_small1/`` with ``images_background_small2/``.

The recipe is chosen on a validation part cut from train; ``--finish`` reads the test parts once and writes
the weights, the held-out surrogate and the model card. A checkpoint every ``--checkpoint-minutes`` makes the run
resumable: call the same command again.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from bundled_source_data import Part, read_parts
from bundled_source_release import release
from torch import Tensor, nn
from torch.nn import functional as F

from gapkit.sources.bundled import BundledConfig, BundledViT

log = logging.getLogger("train")
TOKENS = 64


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Every choice of the training run; written into the model card."""

    epochs: float = 14.0
    batches: tuple[int, int, int] = (96, 20, 12)
    muon_rate: float = 0.02
    adamw_rate: float = 2e-3
    weight_decay: float = 0.05
    smoothing: float = 0.1
    warmup: float = 0.03
    decay: float = 0.4
    keep: float = 0.5
    keep_until: float = 0.7
    seed: int = 0
    model: BundledConfig = field(default_factory=BundledConfig)

    def steps(self, n_first: int) -> int:
        """Optimiser steps: ``epochs`` passes over the first part, of ``n_first`` images."""
        return int(self.epochs * n_first / self.batches[0])

    def rate(self, progress: float) -> float:
        """Learning-rate factor at ``progress`` in [0, 1]: linear warm-up, constant, linear decay to 0."""
        return max(0.0, min(progress / self.warmup, 1.0, (1.0 - progress) / self.decay))


def draw(part: Part, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw ``size`` training samples: augmented float images (size, 3, 32, 32) in [0, 1] and labels."""
    index = torch.randint(len(part.y), (size,), generator=generator)
    images = part.x[index].float().div_(255.0)
    images = crop_and_flip(images, generator) if part.natural else distort(images, generator)
    return images, part.y[index]


def crop_and_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Random 32x32 crops of the images padded by 4 (reflection), half of them mirrored."""
    n = len(images)
    padded = F.pad(images, (4, 4, 4, 4), mode="reflect")
    rows = torch.randint(9, (n, 1), generator=generator) + torch.arange(32)
    columns = torch.randint(9, (n, 1), generator=generator) + torch.arange(32)
    mirrored = torch.rand(n, 1, generator=generator) < 0.5
    columns = torch.where(mirrored, columns.flip(1), columns)
    batch = torch.arange(n)[:, None, None]
    return padded.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def distort(images: Tensor, generator: torch.Generator) -> Tensor:
    """Random affine maps: rotation within 15 degrees, scale 0.8-1.2, shear 0.2, shift of 3 pixels."""
    n = len(images)
    angle, shear, scale_x, scale_y, shift_x, shift_y = (2 * torch.rand(6, n, generator=generator) - 1).unbind(0)
    angle = angle * np.pi / 12
    scale_x, scale_y = 1 + 0.2 * scale_x, 1 + 0.2 * scale_y
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = angle.cos() * scale_x, -angle.sin() * scale_y + 0.2 * shear
    theta[:, 1, 0], theta[:, 1, 1] = angle.sin() * scale_x, angle.cos() * scale_y
    theta[:, 0, 2], theta[:, 1, 2] = 0.19 * shift_x, 0.19 * shift_y
    return F.grid_sample(images, F.affine_grid(theta, list(images.shape), align_corners=False), align_corners=False)


def normalise(images: Tensor) -> Tensor:
    """Images in [0, 1] to the model's input range: (x - 0.5) / 0.25, the same for every part."""
    return images.sub(0.5).div_(0.25)


def forward(model: BundledViT, images: Tensor, kept: Tensor | None) -> Tensor:
    """Logits; ``kept`` (B, k) names the tokens that the encoder sees, all of them where it is None."""
    tokens = model.stem(images)
    if kept is not None:
        tokens = tokens.gather(1, kept[..., None].expand(-1, -1, tokens.shape[-1]))
    return model.head(model.encode(tokens).mean(dim=1))


def optimisers(model: BundledViT, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for the rest, which is what each is made for."""
    matrices = [p for p in model.blocks.parameters() if p.ndim == 2 and recipe.muon_rate > 0]
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    adamw = torch.optim.AdamW(rest, lr=recipe.adamw_rate, weight_decay=recipe.weight_decay, betas=(0.9, 0.98))
    if not matrices:
        return [adamw]
    muon = torch.optim.Muon(matrices, lr=recipe.muon_rate, weight_decay=recipe.weight_decay, adjust_lr_fn="original")
    return [adamw, muon]


@torch.inference_mode()
def accuracy(model: BundledViT, images: Tensor, labels: Tensor) -> float:
    """Share of images (n, 3, 32, 32) uint8 whose largest of all 352 logits is the right class."""
    model.eval()
    hits = 0
    for x, y in zip(images.split(500), labels.split(500), strict=True):
        hits += int((model(normalise(x.float() / 255.0)).argmax(1) == y).sum())
    model.train()
    return hits / len(labels)


class Run:
    """A resumable training run: model, optimisers, step and generator, saved together."""

    def __init__(self, recipe: Recipe, parts: list[Part], out: Path) -> None:
        """Start from ``out/checkpoint.pt`` where there is one, else from the seed."""
        self.recipe, self.parts, self.path = recipe, parts, out / "checkpoint.pt"
        torch.manual_seed(recipe.seed)
        self.model = BundledViT(recipe.model)
        self.model.stem.to(memory_format=torch.channels_last)
        self.optimisers = optimisers(self.model, recipe)
        self.rates = [o.param_groups[0]["lr"] for o in self.optimisers]
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.step, self.seconds = 0, 0.0
        self.total = recipe.steps(len(parts[0].y))
        if self.path.exists():
            self.restore()

    def restore(self) -> None:
        """Read the checkpoint (tensors and plain values only)."""
        state = torch.load(self.path, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.generator.set_state(state["generator"])
        self.step, self.seconds = state["step"], state["seconds"]

    def save(self) -> None:
        """Write the checkpoint, then put it in place in one move."""
        state = {
            "model": self.model.state_dict(),
            "optimisers": [o.state_dict() for o in self.optimisers],
            "generator": self.generator.get_state(),
            "step": self.step,
            "seconds": self.seconds,
        }
        torch.save(state, self.path.with_suffix(".tmp"))
        self.path.with_suffix(".tmp").replace(self.path)

    def batch(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """One batch of all parts together, with the tokens that are kept at this point of the run."""
        drawn = [draw(part, size, self.generator) for part, size in zip(self.parts, self.recipe.batches, strict=True)]
        images = normalise(torch.cat([x for x, _ in drawn])).contiguous(memory_format=torch.channels_last)
        kept = None
        if self.step < self.recipe.keep_until * self.total:
            order = torch.rand(len(images), TOKENS, generator=self.generator).argsort(dim=1)
            kept = order[:, : int(self.recipe.keep * TOKENS)]
        return images, torch.cat([y for _, y in drawn]), kept

    def train_step(self) -> float:
        """One optimiser step; returns the loss."""
        factor = self.recipe.rate((self.step + 1) / self.total)
        for optimiser, rate in zip(self.optimisers, self.rates, strict=True):
            optimiser.param_groups[0]["lr"] = rate * factor
        images, labels, kept = self.batch()
        loss = F.cross_entropy(forward(self.model, images, kept), labels, label_smoothing=self.recipe.smoothing)
        self.model.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
        self.step += 1
        return float(loss.detach())

    def validation(self) -> dict[str, float]:
        """Accuracy per part on the images cut from train."""
        return {part.name: accuracy(self.model, part.x_validation, part.y_validation) for part in self.parts}

    def train(self, minutes: float, last: int, report: int = 250) -> None:
        """Train to step ``last``, saving every ``minutes`` and there."""
        saved = time.monotonic()
        while self.step < last:
            started = time.monotonic()
            loss = self.train_step()
            self.seconds += time.monotonic() - started
            if self.step % report == 0:
                speed = self.step * sum(self.recipe.batches) / self.seconds
                log.info("step %d/%d loss %.3f  %.0f images/s", self.step, self.total, loss, speed)
            if time.monotonic() - saved > 60 * minutes or self.step == last:
                self.save()
                saved = time.monotonic()
                log.info("step %d  %.0f s  validation %s", self.step, self.seconds, json.dumps(self.validation()))


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the three data sets")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint, weights, surrogate, card")
    parser.add_argument("--epochs", type=float, default=Recipe.epochs, help="passes over CIFAR-100")
    parser.add_argument("--recipe", type=json.loads, default={}, help="JSON with other fields of Recipe")
    parser.add_argument("--threads", type=int, default=0, help="torch threads; 0 leaves torch's default")
    parser.add_argument("--checkpoint-minutes", type=float, default=3.0)
    parser.add_argument("--stop-after", type=int, help="steps after which to stop, to go on later")
    parser.add_argument("--finish", action="store_true", help="read test once, write weights, surrogate and card")
    return parser.parse_args()


def main() -> None:
    """Train, or finish a trained run."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    options = arguments()
    if options.threads:
        torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    parts = read_parts(options.data, seed=options.recipe.get("seed", Recipe.seed))
    n_classes = sum(len(part.class_names) for part in parts)
    model = BundledConfig(**options.recipe.pop("model", {}) | {"n_classes": n_classes})
    recipe = Recipe(epochs=options.epochs, model=model, **options.recipe)
    run = Run(recipe, parts, options.out)
    run.train(options.checkpoint_minutes, min(run.total, options.stop_after or run.total))
    if options.finish:
        release(run.model, parts, asdict(recipe) | {"steps": run.total, "seconds": run.seconds}, options.out)


if __name__ == "__main__":
    main()
