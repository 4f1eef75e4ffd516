"""Fine-tune the bundled source on targets, for `gapkit probe` to say what is left of it: a minute for each.

    python examples/finetune_source.py sample:digits data.npz --out tuned

Writes tuned/<target>-seed<N>.safetensors for each target. With --scratch the same architecture begins at random
weights, and those are written beside (...-start.safetensors): a control for causal reuse. With --permute the labels are
permuted: nothing can be learnt, but weights move.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import gapkit as gk
from gapkit.arrays import seeded_torch
from gapkit.embedders import choose, fit
from gapkit.pipeline.selection import stratified_draw
from gapkit.reuse.controls import random_copies


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the source is tuned; ``validation`` of the training samples are held out to report on."""

    steps: int = 150
    batch: int = 64
    rate: float = 5e-4
    decay: float = 0.05
    most: int = 2000
    validation: float = 0.2
    seed: int = 0
    scratch: bool = False
    permute: bool = False


def tune(source: gk.Source, target: gk.Target, recipe: Recipe) -> tuple[nn.Module, nn.Module, float]:
    """Fine-tune all weights of a copy on the target's training split.

    Returns:
        The tuned module, the one that it began with, and its accuracy on held-out training samples.
    """
    rng = np.random.default_rng(recipe.seed)
    used = target.part("train" if target.split is not None else "all")
    rows = rng.permutation(stratified_draw(used.y, min(recipe.most, len(used)), seed=recipe.seed))
    held_out, fitting = np.split(rows, [int(recipe.validation * len(rows))])
    embedder = fit(choose(target, source.input, source.token), target, source.input, source.token)
    labels = torch.as_tensor(rng.permutation(used.y) if recipe.permute else used.y)
    (start,) = random_copies(source.module, 1, seed=recipe.seed)
    if not recipe.scratch:
        start.load_state_dict(source.module.state_dict())
    with seeded_torch(recipe.seed):
        start.head = nn.Linear(start.head.in_features, target.n_classes)
        tuned = train(start, lambda index: embedder(used.x[index]), labels, fitting, recipe)
    with torch.inference_mode():
        hits = [tuned(embedder(used.x[part])).argmax(1) == labels[part] for part in np.array_split(held_out, 8)]
    return tuned, start, float(torch.cat(hits).float().mean())


def train(start: nn.Module, images, labels: Tensor, rows: np.ndarray, recipe: Recipe) -> nn.Module:
    """AdamW with a cosine schedule and a warm-up of a tenth of the steps."""
    (tuned,) = random_copies(start, 1, seed=0)
    tuned.load_state_dict(start.state_dict())
    tuned.train()
    optimiser = torch.optim.AdamW(tuned.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, recipe.steps, pct_start=0.1)
    for _ in range(recipe.steps):
        index = rows[torch.randint(len(rows), (recipe.batch,)).numpy()]
        optimiser.zero_grad()
        nn.functional.cross_entropy(tuned(images(index)), labels[index]).backward()
        nn.utils.clip_grad_norm_(tuned.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return tuned.eval()


def write(module: nn.Module, target: gk.Target, path: Path) -> None:
    """Weights with the sizes of the architecture and the names of the classes."""
    config = asdict(module.config) | {"n_classes": target.n_classes}
    told = {"config": json.dumps(config), "class_names": json.dumps(list(target.class_names or ()))}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in module.state_dict().items()}, path, metadata=told)


def main() -> None:
    """Tune on every target that is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="+", help="files, or sample:digits")
    parser.add_argument("--out", type=Path, default=Path("tuned"))
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scratch", action="store_true")
    parser.add_argument("--permute", action="store_true")
    given = parser.parse_args()
    recipe = Recipe(steps=given.steps, seed=given.seed, scratch=given.scratch, permute=given.permute)
    source = gk.load_source("vit", device="cpu")
    for name in given.targets:
        target = gk.load_target(name)
        tuned, start, accuracy = tune(source, target, recipe)
        kind = "-scratch" * recipe.scratch + "-permuted" * recipe.permute
        path = given.out / f"{Path(name.removeprefix('sample:')).stem}{kind}-seed{recipe.seed}.safetensors"
        write(tuned, target, path)
        if recipe.scratch:
            write(start, target, path.with_name(f"{path.stem}-start.safetensors"))
        print(f"{path}: accuracy {accuracy:.3f} on held-out training samples")


if __name__ == "__main__":
    main()
