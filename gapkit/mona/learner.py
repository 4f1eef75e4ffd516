"""Learn an alignment: a copy of the source behind a learned embedder, trained by one method."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from gapkit.arrays import Array, Floats, digest
from gapkit.embedders.learned import LearnedEmbedder
from gapkit.embedders.patch import learned_embedder
from gapkit.errors import OptionError
from gapkit.files import write_atomically
from gapkit.mona.fields import token_grid
from gapkit.mona.heads import DenseDecoder, build_head, task_loss
from gapkit.mona.lesson import Lesson
from gapkit.mona.looks import outputs_of
from gapkit.mona.low_rank import low_rank_adapters
from gapkit.mona.methods import ALIGNMENT, WARM_UP, Kit, plan
from gapkit.mona.model import TargetModel, parameters_of
from gapkit.mona.problem import SourceEncoder
from gapkit.mona.recompute import recomputing
from gapkit.mona.record import Record
from gapkit.mona.samples import TrainingSamples, training_samples
from gapkit.mona.stages import Stage
from gapkit.mona.surrogates import SurrogateTokens, checked_surrogate, surrogate_tokens
from gapkit.mona.team import Team
from gapkit.mona.training import Setting, Training
from gapkit.mona.training_options import TrainingOptions
from gapkit.reuse.controls import random_copies
from gapkit.reuse.initialising import copied
from gapkit.reuse.tuned import Tuned, tuned_source, with_module
from gapkit.sources.embedding_part import embedding_part
from gapkit.sources.source import Source
from gapkit.types import Progress, Target, no_progress

NEEDS_SURROGATE = ("mona", "orca", "mmd")


@dataclass(frozen=True, kw_only=True)
class Surrogate:
    """The surrogate with the fixed embedder that gives the source's inputs.

    Attributes:
        samples: labelled set of the source's modality; None where there is none.
        embedder: of these samples; None without them.
    """

    samples: Target | None = None
    embedder: Callable[[Array], Tensor] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Learned:
    """A trained target model.

    Attributes:
        method: how it was trained.
        embedder: with the weights that the last stage ended with, or with its best ones.
        earlier: name of a stage -> the embedder at its end, of "warm-up" and "alignment" as far as they were run.
        model: embedder, encoder and head.
        source: that it was made from.
        samples: that it was trained on and chosen by.
        training: the options that it was trained with.
        record: history, looks at the validation samples, cost.
        notes: what the training had to say, each once.
    """

    method: str
    embedder: LearnedEmbedder
    earlier: dict[str, LearnedEmbedder]
    model: TargetModel
    source: Source
    samples: TrainingSamples
    training: TrainingOptions
    record: Record
    notes: tuple[str, ...] = ()

    def predict(self, target: Target) -> Floats:
        """Outputs for any samples like the target's: logits (n, K), or values or fields on the scale of its y."""
        shown = replace(self.samples, target=target, kept=None)
        return self.samples.in_units(outputs_of(self.model, shown, np.arange(len(target))))

    def tuned(self, name: str) -> Source:
        """The tuned encoder as a source, with the source's own embedder and head: for ``probe`` and ``measure``."""
        adapter = with_module(self.source.adapter, self.model.encoder.module, name=name)
        return Source(adapter, device=str(self.source.device), precision=self.source.precision)

    def state(self) -> dict[str, Tensor]:
        """Weights of the source's architecture, the target's head in place of its own where it is one linear map."""
        state = dict(self.model.encoder.module.state_dict())
        own, learned = getattr(self.model.encoder.adapter, "classifier", None), self.model.head
        if isinstance(own, nn.Linear) and isinstance(learned, nn.Linear) and learned.in_features == own.in_features:
            modules = self.model.encoder.module.named_modules()
            name = next(key for key, module in modules if module is own)
            state |= {f"{name}.{key}": tensor for key, tensor in learned.state_dict().items()}
        return {key: tensor.detach() for key, tensor in state.items()}

    def save_weights(self, path: Path) -> None:
        """Write ``state`` with the names of the target's classes, for ``probe --after``."""
        names = {"class_names": json.dumps(list(self.samples.target.class_names or ()))}
        tensors = {name: tensor.cpu().contiguous() for name, tensor in self.state().items()}
        write_atomically(path, save(tensors, metadata=names))

    def save_head(self, path: Path) -> None:
        """Write the target's head with its sizes, and with what takes its outputs to the units of y."""
        head, samples = self.model.head, self.samples
        told: dict[str, Any] = {"task": samples.task, "centre": samples.centre, "spread": samples.spread}
        if isinstance(head, DenseDecoder):
            told |= {"dim": head.dim, "size": head.size, "grid": head.grid, "shape": samples.target.y.shape[1:]}
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in head.state_dict().items()}
        write_atomically(path, save(tensors, metadata={"gapkit": json.dumps(told)}))

    def as_tuned(self, name: str) -> Tuned:
        """The tuned model in the cut of its source, with the target's head where the architecture has one."""
        return tuned_source(self.source, self.state(), name=name)


def learn(
    source: Source,
    target: Target,
    lesson: Lesson | None = None,
    *,
    surrogate: Surrogate,
    folder: Path | None = None,
    progress: Progress = no_progress,
) -> Learned:
    """Train a target model by one method; the source stays as it is.

    Args:
        source: with a token space.
        target: training samples alone; a share of them is cut off to choose the model by.
        lesson: method and options.
        surrogate: with its embedder; used by methods that align.
        folder: where a checkpoint is kept, and gone on from; None keeps none.
        progress: told about every step.

    Raises:
        GapkitError: source, target, surrogate and options do not go together, or the training cannot go on.
        KeyboardInterrupt: after a checkpoint.
    """
    lesson, team = lesson or Lesson(), Team()
    if lesson.method in NEEDS_SURROGATE:
        checked_surrogate(source, surrogate.samples)
    embedder = _start(source, target, lesson)
    options = lesson.training
    samples = training_samples(target, embedder.preparation, validation=options.validation, seed=options.seed)
    tokens = embedder.apply(samples.inputs(samples.fit[:2]))
    model, width = _model(source, samples, embedder, tokens, lesson)
    options = replace(options, rates=options.rates.of_width(width))
    setting = Setting(
        samples=samples,
        options=options,
        identity=_identity(source, target, surrogate, lesson),
        device=source.device,
        folder=folder,
        team=team,
        progress=progress,
    )
    training = _training(model, tokens, setting)
    kit = Kit(
        loss=task_loss(samples.task),
        options=options,
        alignment=lesson.aligned,
        surrogate=_tokens(source, surrogate),
        team=team,
    )
    stages = plan(lesson.method, kit)
    record = _run(training, stages, double=options.precision == "fp64")
    return Learned(
        method=lesson.method,
        embedder=embedder,
        earlier=_earlier(embedder, training),
        model=model,
        source=source,
        samples=samples,
        training=options,
        record=record,
        notes=_notes(training),
    )


def _training(model: TargetModel, tokens: Tensor, setting: Setting) -> Training:
    """The training of the weights that tokens go through, or of adapters in their place."""
    parameters = parameters_of(model, tokens)
    low_rank = low_rank_adapters(model.encoder, tokens, parameters.encoder, setting.options)
    return Training(model, parameters, replace(setting, low_rank=low_rank))


def _notes(training: Training) -> tuple[str, ...]:
    """What adapters and objectives have to say."""
    low_rank, parameters = training.setting.low_rank, training.parameters
    told = () if low_rank is None else (low_rank.told(training.model.encoder.module, parameters.encoder),)
    return (*told, *training.record.notes)


def _run(training: Training, stages: tuple[Stage, ...], *, double: bool) -> Record:
    """All stages, in float64 where it is asked for; the weights are float32 afterwards."""
    if double:
        training.model.double()
    with recomputing(training.model.encoder.module, enabled=training.setting.options.recompute):
        record = training.run(stages)
    training.model.float()
    return record


def _earlier(embedder: LearnedEmbedder, training: Training) -> dict[str, LearnedEmbedder]:
    """The embedder at the ends of warm-up and alignment, in the order in which they were run."""
    ends = {name: state for name, state in training.embedders.items() if name in (WARM_UP, ALIGNMENT)}
    return {name: _with_weights(embedder, state) for name, state in ends.items()}


def _start(source: Source, target: Target, lesson: Lesson) -> LearnedEmbedder:
    """The embedder before training; the control from scratch begins at random there too."""
    if source.token is None:
        raise OptionError(
            f"{source.name} has no token space",
            expected="a transformer: a source that takes tokens in place of what its own embedder gives",
            remedy="use a source such as vit, timm:vit_base_patch16_224 or hf:roberta-base",
        )
    options = replace(lesson.embedder, seed=lesson.training.seed)
    if lesson.method == "scratch":
        options = replace(options, init="random")
    found = learned_embedder(target, embedding_part(source), options)
    found.module.to(source.device)
    return found


def _model(
    source: Source, samples: TrainingSamples, embedder: LearnedEmbedder, tokens: Tensor, lesson: Lesson
) -> tuple[TargetModel, int]:
    """Embedder, a copy of the encoder, and a head for the target, with the width of the features of these tokens."""
    seed = lesson.training.seed
    module = next(random_copies(source.module, 1, seed=seed)) if lesson.method == "scratch" else copied(source.module)
    encoder = SourceEncoder(with_module(source.adapter, module, name=source.name))
    with torch.no_grad():
        width, hidden = encoder(tokens).shape[-1], encoder.hidden(tokens)
    layout = samples.layout
    if layout is None:
        head: nn.Module = build_head(samples.task, width, samples.outputs, seed=seed)
    else:
        grid = token_grid(hidden, embedder, len(layout.size))
        head = DenseDecoder(hidden.shape[-1], layout.channels, layout.size, grid, seed=seed)
    return TargetModel(embedder.module, encoder, head.to(source.device)), width


def _tokens(source: Source, surrogate: Surrogate) -> Callable[[], SurrogateTokens]:
    """The surrogate's tokens, computed when they are first asked for."""
    return cache(lambda: surrogate_tokens(source, surrogate.samples, surrogate.embedder))


def _identity(source: Source, target: Target, surrogate: Surrogate, lesson: Lesson) -> dict[str, Any]:
    """What tells a run from another."""
    data = digest(target.x, target.y, *([] if target.groups is None else [target.groups]))
    known = surrogate.samples if lesson.method in NEEDS_SURROGATE else None
    return {
        **lesson.numbers(),
        "source": source.weights_hash,
        "target": data,
        "surrogate": None if known is None else digest(known.x, known.y),
    }


def _with_weights(embedder: LearnedEmbedder, state: dict[str, Tensor]) -> LearnedEmbedder:
    """The same embedder with other weights."""
    module = copy.deepcopy(embedder.module)
    module.load_state_dict(state)
    return replace(embedder, module=module)
