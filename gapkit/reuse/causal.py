"""Which target samples a tuned model gets right with one of its layers rewound or reset: runs of the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from gapkit.arrays import PerSample
from gapkit.errors import UndefinedError
from gapkit.reuse.hits import LayerHits, majority_hits
from gapkit.reuse.swap import (
    BATCH_NORMS,
    MOST_INPUTS,
    Reset,
    reestimate_batchnorm,
    reset_values,
    rewind_values,
    swapped,
)
from gapkit.sources.capture import CaptureOptions, extract
from gapkit.sources.forward import evaluating
from gapkit.sources.source import PRECISIONS, Source
from gapkit.types import Embedder, Progress, Target, no_progress

TASK = "rewinds and resets"
BATCH = 64
"""Training inputs at once, where BatchNorm's statistics are re-estimated."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Trial:
    """A tuned model on the target.

    Attributes:
        tuned: the model with its own embedder and head.
        pretrained: what it was tuned from.
        scored: the target samples whose accuracy counts.
        training: target samples that BatchNorm's statistics are re-estimated on.
        embedder: of the target.
        capture: how the model is run.
        how: the reset, "permute" or "init".
        seeds: of the resets.
    """

    tuned: Source
    pretrained: nn.Module
    scored: Target
    training: Target
    embedder: Embedder
    capture: CaptureOptions = field(default_factory=CaptureOptions)
    how: Reset = "permute"
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)


def layer_hits(trial: Trial, layers: Iterable[str], progress: Progress = no_progress) -> dict[str, LayerHits | str]:
    """Hits of each layer tuned, rewound and reset, all else tuned; or why a layer cannot be rewound or reset.

    BatchNorm's statistics are re-estimated for every run, that of the tuned model too, so that runs differ in the layer
    alone. The model is afterwards as it was, to the bit.

    Args:
        trial: the model and the samples.
        layers: names of submodules that both models have.
        progress: told about the runs.

    Raises:
        OptionError: there is no such layer.
        SourceError: the model does not run on what the embedder gives.
    """
    names = list(layers)
    total, done = 1 + len(names) * (1 + len(trial.seeds)), 0

    def run(layer: str, values: Mapping[str, Tensor]) -> PerSample:
        nonlocal done
        with swapped(trial.tuned.module, layer, values):
            found = hits(trial)
        done += 1
        progress(TASK, done, total)
        return found

    tuned = run("", {})
    majority = majority_hits(trial.scored.y)
    found: dict[str, LayerHits | str] = {}
    for layer in names:
        start = done
        try:
            rewound = run(layer, rewind_values(trial.tuned.module, trial.pretrained, layer))
            reset = [run(layer, values) for values in _resets(trial, layer)]
        except UndefinedError as error:
            found[layer] = str(error)
            done = start + 1 + len(trial.seeds)
            progress(TASK, done, total)
            continue
        found[layer] = LayerHits(
            tuned=tuned, rewound=rewound, reset=np.array(reset), majority=majority, groups=trial.scored.groups
        )
    return found


def _resets(trial: Trial, layer: str) -> Iterator[dict[str, Tensor]]:
    """The values of a layer for each seed, one at a time."""
    for seed in trial.seeds:
        yield reset_values(trial.tuned.module, trial.pretrained, layer, seed=seed, how=trial.how)


def hits(trial: Trial) -> PerSample:
    """Which samples the model, as it is now, classifies right, (n,) of 0 and 1."""
    with fitted_batchnorm(trial):
        activations = extract(trial.tuned, trial.scored, trial.embedder, trial.capture)
    return (np.asarray(activations.logits).argmax(axis=1) == trial.scored.y).astype(np.float64)


@contextmanager
def fitted_batchnorm(trial: Trial) -> Iterator[None]:
    """BatchNorm's statistics as the training samples give them inside the block; nothing to do without BatchNorm."""
    module = trial.tuned.module
    if not any(isinstance(part, BATCH_NORMS) for part in module.modules()):
        yield
        return
    with evaluating(module), reestimate_batchnorm(module, _batches(trial), lambda batch: _run(trial, batch)):
        yield


def _batches(trial: Trial) -> Iterator[Tensor]:
    """The first training samples, embedded."""
    for start in range(0, min(MOST_INPUTS, len(trial.training)), BATCH):
        yield trial.embedder(trial.training.x[start : start + BATCH]).to(trial.tuned.device)


def _run(trial: Trial, batch: Tensor) -> None:
    """Embedder and encoder, which hold whatever BatchNorm there is."""
    adapter, precision = trial.tuned.adapter, trial.tuned.precision
    with torch.autocast(trial.tuned.device.type, dtype=PRECISIONS[precision], enabled=precision != "fp32"):
        tokens = batch if trial.embedder.space == "tokens" else adapter.embed(batch)
        adapter.encode(tokens)
