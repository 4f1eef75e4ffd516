"""Which target samples a tuned model gets right with one of its layers rewound or reset: runs of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial

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
from gapkit.sources.early_exit import ending_early
from gapkit.sources.source import PRECISIONS, Source
from gapkit.tensors import evaluating
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


def layer_hits(
    trial: Trial, parts: Mapping[str, tuple[str, ...]], progress: Progress = no_progress
) -> dict[str, LayerHits | str]:
    """Hits of each part of the model tuned, rewound and reset, all else tuned; or why it cannot be rewound or reset.

    BatchNorm's statistics are re-estimated for every run, that of the tuned model too, so that runs differ in the part
    alone. The model is afterwards as it was, to the bit.

    Args:
        trial: the model and the samples.
        parts: name -> the layers that are swapped together, names of submodules that both models have.
        progress: told about the runs.

    Raises:
        OptionError: there is no such layer.
        SourceError: the model does not run on what the embedder gives.
    """
    each = 1 + len(trial.seeds)
    total, majority = 1 + each * len(parts), majority_hits(trial.scored.y)
    tuned = hits(trial)
    progress(TASK, 1, total)
    found: dict[str, LayerHits | str] = {}
    for index, (name, layers) in enumerate(parts.items()):
        rows: list[PerSample] = []
        try:
            for values in _other_values(trial, layers):
                with swapped(trial.tuned.module, "", values):
                    rows.append(hits(trial))
                progress(TASK, 1 + index * each + len(rows), total)
        except UndefinedError as error:
            found[name] = str(error)
            progress(TASK, 1 + (index + 1) * each, total)
            continue
        found[name] = LayerHits(
            tuned=tuned, rewound=rows[0], reset=np.array(rows[1:]), majority=majority, groups=trial.scored.groups
        )
    return found


def _other_values(trial: Trial, layers: tuple[str, ...]) -> Iterator[dict[str, Tensor]]:
    """Names in the model -> values: rewound, then reset by each seed, one set at a time.

    Raises:
        UndefinedError: the layer, or of several every one, cannot be rewound or reset.
    """
    module, pretrained = trial.tuned.module, trial.pretrained
    yield _together(layers, lambda layer: rewind_values(module, pretrained, layer))
    for seed in trial.seeds:
        reset = partial(reset_values, module, pretrained, seed=seed, how=trial.how)
        yield _together(layers, reset)


def _together(layers: tuple[str, ...], values: Callable[[str], dict[str, Tensor]]) -> dict[str, Tensor]:
    """The values of several layers by their names in the model; of several, those without any are left out.

    Raises:
        UndefinedError: none has any.
    """
    found: dict[str, Tensor] = {}
    failure: UndefinedError | None = None
    for layer in layers:
        try:
            found |= {f"{layer}.{name}" if layer else name: value for name, value in values(layer).items()}
        except UndefinedError as error:
            failure = error
    if failure is not None and not found:
        raise failure
    return found


def hits(trial: Trial) -> PerSample:
    """Which samples the model, as it is now, classifies right, (n,) of 0 and 1."""
    with fitted_batchnorm(trial):
        activations = extract(trial.tuned, trial.scored, trial.embedder, trial.capture)
    return (np.asarray(activations.logits).argmax(axis=1) == trial.scored.y).astype(np.float64)


@contextmanager
def fitted_batchnorm(trial: Trial) -> Iterator[None]:
    """BatchNorm's statistics as the training samples give them inside the block; nothing to do without BatchNorm.

    What comes behind the last BatchNorm is run for the first batch only.
    """
    module = trial.tuned.module
    norms = {name: part for name, part in module.named_modules() if isinstance(part, BATCH_NORMS)}
    if not norms:
        yield
        return
    with ExitStack() as stack:
        stack.enter_context(evaluating(module))
        with ending_early(norms) as run:
            stack.enter_context(
                reestimate_batchnorm(module, _batches(trial), lambda batch: run(lambda: _run(trial, batch)))
            )
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
