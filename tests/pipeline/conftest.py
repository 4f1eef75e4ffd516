"""A small network that was trained on one set of patterns, tuned on another, and trained on that one from scratch."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

import gapkit as gk
from gapkit.arrays import generator, seeded_torch

N = 160
INPUT = gk.InputSpec(kind="image", shape=(1, 8, 8))


@dataclass(frozen=True, kw_only=True)
class Walk:
    """From a pretrained source to a model of three classes; no test changes any of it."""

    before: gk.Source
    after: nn.Module
    control: nn.Module
    surrogate: gk.Target
    target: gk.Target


def patterns(n_classes: int, *, seed: int, name: str) -> gk.Target:
    """Grey images, of each class the same pattern in noise that a random network hardly sees through."""
    rng, y = generator(seed), np.arange(N) % n_classes
    x = 128 + 14 * rng.normal(size=(n_classes, 8, 8))[y] + 40 * rng.normal(size=(N, 8, 8))
    return gk.Target(np.clip(x, 0, 255).astype(np.uint8), y, name=name)


def network(seed: int, n_classes: int) -> nn.Sequential:
    """Two hidden layers, "1" and "3", and the head "5", with random weights."""
    with seeded_torch(seed):
        return nn.Sequential(
            nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, n_classes)
        )


def train(module: nn.Sequential, target: gk.Target, steps: int) -> nn.Sequential:
    """The same module, after steps on all samples."""
    x, y = torch.as_tensor(target.x, dtype=torch.float32), torch.as_tensor(target.y)
    x = (x - x.mean()) / x.std()
    optimiser = torch.optim.Adam(module.parameters(), lr=0.01)
    for _ in range(steps):
        optimiser.zero_grad()
        nn.functional.cross_entropy(module(x), y).backward()
        optimiser.step()
    return module


@pytest.fixture(scope="session")
def walk() -> Walk:
    """The models and both sets."""
    surrogate, target = patterns(4, seed=0, name="surrogate"), patterns(3, seed=1, name="target")
    pretrained = train(network(0, 4), surrogate, 150)
    tuned = copy.deepcopy(pretrained)
    tuned[5] = network(5, 3)[5]
    return Walk(
        before=gk.Source.from_module(
            pretrained, input=INPUT, head="5", class_names=["a", "b", "c", "d"], surrogate=surrogate, device="cpu"
        ),
        after=train(tuned, target, 60),
        control=train(network(7, 3), target, 150),
        surrogate=surrogate,
        target=target,
    )
