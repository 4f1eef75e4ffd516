"""Times an ordinary training step and hypergradient steps in turns, or takes one of them for its peak of memory; JSON.

Run by ``test_hypergradient.py`` as a process of its own: ``python hypergradient_worker.py time MODEL BATCH PAIRS
METHOD...`` prints core-seconds (pairs, 1 + methods), ``python hypergradient_worker.py memory MODEL BATCH METHOD`` the
bytes that the process grew by at its peak.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any, cast

import timm
import torch
from torch import Tensor, nn

import gapkit as gk
from gapkit.arrays import seeded_torch
from gapkit.mona.hypergradient import hypergradient
from gapkit.mona.options import HypergradientOptions
from gapkit.mona.problem import BatchProblem, LabelledBatch, SourceEncoder
from gapkit.sources.from_timm import adapt_timm
from gapkit.types import Adapter, TokenSpec

CLASSES, STEPS = 10, 3
MODELS = {"vit_tiny": (224, 16), "bundled": (32, 4)}


class PatchEmbedder(nn.Module):
    """Images (B, 1, side, side) of a target to tokens."""

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.project, self.norm = nn.Conv2d(1, width, patch, patch), nn.LayerNorm(width)

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(self.project(images).flatten(2).transpose(1, 2))


def adapter(name: str) -> Adapter:
    """Of random or trained weights, which take the same time."""
    if name == "bundled":
        return gk.load_source("vit").adapter
    return adapt_timm(timm.create_model("vit_tiny_patch16_224"), title=name)


def make_problem(name: str, batch: int) -> BatchProblem:
    """Equal batches; what the encoder does not use of the source is frozen."""
    side, patch = MODELS[name]
    with seeded_torch(0):
        source = adapter(name)
        width = cast(TokenSpec, source.token).dim
        embedder, encoder = PatchEmbedder(width, patch), SourceEncoder(source)
        images, tokens = torch.randn(batch, 1, side, side), torch.randn(batch, (side // patch) ** 2, width)
        head = nn.Linear(encoder(tokens[:1]).shape[1], CLASSES)
    for part in ("patch_embed", "stem", "head"):
        if hasattr(source.module, part):
            cast(nn.Module, getattr(source.module, part)).requires_grad_(False)
    labels = torch.arange(batch)
    return BatchProblem(
        (embedder, encoder, head),
        target=LabelledBatch(inputs=images, labels=labels % CLASSES),
        source=LabelledBatch(inputs=tokens, labels=labels % max(2, batch // 8)),
    )


def ordinary(problem: BatchProblem) -> Callable[[], None]:
    """Forward, backward and AdamW of all three parts on the target batch."""
    optimiser = torch.optim.AdamW([p for p in problem.parameters() if p.requires_grad], lr=1e-6)

    def step() -> None:
        optimiser.zero_grad()
        problem.target_loss(slice(0, problem.target_size)).backward()
        optimiser.step()

    return step


def stage_one(problem: BatchProblem, method: Any) -> Callable[[], None]:
    """A hypergradient, and AdamW of embedder and head with it."""
    moving = [*problem.embedder.parameters(), *problem.head.parameters()]
    optimiser = torch.optim.AdamW(moving, lr=1e-6)
    options = HypergradientOptions(method=method, alpha=1e-3)

    def step() -> None:
        found = hypergradient(problem, options)
        for parameter, gradient in zip(moving, [*found.embedder.values(), *found.head.values()], strict=True):
            parameter.grad = gradient
        optimiser.step()

    return step


def core_seconds(work: Callable[[], None]) -> float:
    """Processor time, which other processes change least."""
    start = time.process_time()
    work()
    return time.process_time() - start


def times(name: str, batch: int, pairs: int, methods: list[str]) -> list[list[float]]:
    """Core-seconds of the ordinary step and of every method, in turns and in changing order."""
    problem = make_problem(name, batch).train()
    steps = [ordinary(problem), *(stage_one(problem, method) for method in methods)]
    spent: list[list[float]] = []
    for pair in range(pairs + 1):
        order = list(range(len(steps)))
        order = order[pair % len(order) :] + order[: pair % len(order)]
        took = {k: core_seconds(steps[k]) for k in order}
        spent.append([took[k] for k in range(len(steps))])
    return spent[1:]  # the first one warms up


def memory(name: str, batch: int, method: str) -> int:
    """By how many bytes the peak of the process is above what it held with the problem made."""
    problem = make_problem(name, batch).train()
    before = resident()
    step = ordinary(problem) if method == "ordinary" else stage_one(problem, method)
    for _ in range(STEPS):
        step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before


def resident() -> int:
    """Bytes of the process that are in memory now."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    torch.set_num_threads(1)
    what, model, size, *rest = sys.argv[1:]
    result = times(model, int(size), int(rest[0]), rest[1:]) if what == "time" else memory(model, int(size), rest[0])
    sys.stdout.write(json.dumps(result))
