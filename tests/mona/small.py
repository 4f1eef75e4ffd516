"""A tiny source with a surrogate and a tiny target, for whole trainings in a second, here and in child processes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from gapkit.arrays import generator, seeded_torch
from gapkit.mona.learner import Learned, Surrogate, learn
from gapkit.mona.lesson import Lesson
from gapkit.mona.options import HypergradientOptions
from gapkit.mona.training_options import AlignmentOptions, Steps, TrainingOptions
from gapkit.sources.bundled import BUNDLED_INPUT, BundledAdapter, BundledConfig, BundledViT
from gapkit.sources.source import Source
from gapkit.types import Target, TokenSpec

STEPS, LONG = Steps(warm=4, align=6, tune=10), Steps(warm=10, align=20, tune=60)


def small_source(seed: int = 1) -> Source:
    """The bundled architecture with 5000 random weights."""
    config = BundledConfig(width=16, depth=2, heads=2, stem=(4, 8), n_classes=6)
    with seeded_torch(seed):
        module = BundledViT(config)
    return Source(
        BundledAdapter(
            name="small",
            module=module,
            input=BUNDLED_INPUT,
            class_names=tuple("abcdef"),
            token=TokenSpec(dim=16),
            surrogate=small_surrogate(),
        ),
        device="cpu",
    )


def small_surrogate(n: int = 48) -> Target:
    """Images of four classes, each a brightness of its own in noise."""
    rng, y = generator(5), np.arange(n) % 4
    x = 60 * y[:, None, None] + 40 * rng.random((n, 32, 32))
    return Target(x.astype(np.uint8), y, name="surrogate")


def small_target(n: int = 60, *, seed: int = 7, groups: bool = False) -> Target:
    """Series (2, 24) of three classes, each a frequency of its own in noise."""
    rng, y = generator(seed), np.arange(n) % 3
    time = np.arange(24) / 24
    x = np.sin(2 * np.pi * (1 + y[:, None, None]) * time) + 0.5 * rng.normal(size=(n, 2, 24))
    return Target(x.astype(np.float32), y, name="series", groups=np.arange(n) // 5 if groups else None)


def inputs(x: np.ndarray) -> torch.Tensor:
    """Grey images as the source takes them."""
    return ((torch.from_numpy(x).float() / 255 - 0.5) / 0.25)[:, None].expand(-1, 3, -1, -1).contiguous()


def lesson(method: str = "mona", *, alpha: float = 1.0, **training: Any) -> Lesson:
    """A short training."""
    options = TrainingOptions(**{"steps": STEPS, "batch_size": 8, "evaluate_every": 4, "save_every": 0.0} | training)
    alignment = AlignmentOptions(hypergradient=HypergradientOptions(alpha=alpha), per_class=2)
    return Lesson(method=method, training=options, alignment=alignment)


def small_run(method: str = "mona", **options: Any) -> Learned:
    """A whole training."""
    source, target = options.pop("source", None) or small_source(), options.pop("target", None) or small_target()
    given = {name: options.pop(name) for name in ("folder", "progress") if name in options}
    surrogate = Surrogate(samples=source.surrogate, embedder=inputs)
    return learn(source, target, lesson(method, **options), surrogate=surrogate, **given)


def weights(learned: Learned) -> dict[str, torch.Tensor]:
    """All weights of the target model."""
    return dict(learned.model.state_dict())
