"""A stage of training: what is trained, on what, for how long, at what rate."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gapkit.mona.heads import Loss
from gapkit.mona.model import Part, TargetModel
from gapkit.mona.problem import pieces
from gapkit.mona.samples import Batch
from gapkit.mona.team import Team
from gapkit.mona.training_options import Rates

NUMBER = re.compile(r"\d+(\.\d+)?(e[+-]?\d+)?")


def each_once(notes: Iterable[str]) -> list[str]:
    """Notes in order; of those that differ in their numbers alone the first.

    Example:
        >>> each_once(["12.5 times as long", "other", "1e+02 times as long"])
        ['12.5 times as long', 'other']
    """
    found: dict[str, str] = {}
    for note in notes:
        found.setdefault(NUMBER.sub("", note), note)
    return list(found.values())


class Objective(ABC):
    """Leaves gradients in ``.grad`` of what is trained, and tells what it has seen."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What there is to say of the last step; the record keeps each once."""
        return ()

    def resume(self, history: Sequence[dict[str, Any]]) -> None:  # noqa: B027 - most of them choose nothing
        """Take up what was chosen before an interruption, from the steps that were done; nothing, by default."""

    @abstractmethod
    def __call__(self, model: TargetModel, batch: Batch, step: int) -> dict[str, float]:
        """Numbers for the history; "loss" must be among them, and a loss that is not finite ends the training."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Stage:
    """One stage.

    Attributes:
        name: "warm-up", "alignment" or "fine-tuning".
        trains: the parts whose weights change.
        steps: how many.
        objective: what gives the gradients.
        stream: of the data order: stages with the same one see the same batches.
        passes: forward passes of one target batch that a step costs, a backward pass to all weights counted as two.
        dropout: whether dropout, drop path and BatchNorm work as in training.
        chooses: whether the best look at the validation samples is kept.
        differentiates: parts that the objective needs gradients of, though their weights do not change.
        batch_size: target samples of a step, where it is not the usual number.
    """

    name: str
    trains: tuple[Part, ...]
    steps: int
    objective: Objective
    stream: int
    passes: float
    dropout: bool = False
    chooses: bool = False
    differentiates: tuple[Part, ...] = ()
    batch_size: int | None = None


def rate(step: int, steps: int, *, warmup: float) -> float:
    """The share of the largest rate: linear warm-up, then half a cosine to zero.

    Example:
        >>> [round(rate(step, 10, warmup=0.2), 2) for step in (0, 1, 2, 6, 9)]
        [0.5, 1.0, 1.0, 0.5, 0.04]
    """
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def make_optimiser(trained: dict[Part, dict[str, nn.Parameter]], rates: Rates) -> torch.optim.AdamW:
    """AdamW with a rate for each part, and weight decay for weights of two or more dimensions."""
    groups: list[dict[str, object]] = []
    for name, weights in trained.items():
        for decayed in (True, False):
            chosen = [weight for weight in weights.values() if (weight.ndim >= 2) == decayed]
            if chosen:
                largest = float(getattr(rates, name))
                decay = rates.decay if decayed else 0.0
                groups.append(
                    {"params": chosen, "part": name, "lr": largest, "largest": largest, "weight_decay": decay}
                )
    return torch.optim.AdamW(groups)


def set_rates(optimiser: torch.optim.Optimizer, share: float) -> None:
    """Every group's rate: a share of its largest."""
    for group in optimiser.param_groups:
        group["lr"] = group["largest"] * share


def clip(weights: Iterable[nn.Parameter], largest: float) -> float:
    """Shorten the gradients of a part to a norm of at most ``largest``; gives the norm that they had."""
    return float(nn.utils.clip_grad_norm_(list(weights), largest))


class TargetObjective(Objective):
    """L_target: the mean loss of a batch, through everything that is trained."""

    def __init__(self, loss: Loss, team: Team, *, bf16: bool = False, microbatches: int = 1) -> None:
        """Keep the task's loss.

        Args:
            loss: of outputs and labels, a mean over samples.
            team: averages the gradients.
            bf16: whether the forward pass runs in bfloat16 where autocast allows it.
            microbatches: pieces of a batch; their losses, weighted by their sizes, add up to that of the batch.
        """
        self.loss, self.team, self.bf16, self.microbatches = loss, team, bf16, microbatches

    def __call__(self, model: TargetModel, batch: Batch, step: int) -> dict[str, float]:
        """Loss and gradient of one batch."""
        told, size = torch.zeros(1, dtype=torch.float64, device=batch.inputs.device), len(batch.inputs)
        for rows in pieces(size, self.microbatches):
            with autocast(batch.inputs, enabled=self.bf16):
                mean: Tensor = self.loss(model(batch.inputs[rows]), batch.labels[rows])
            loss = mean * ((rows.stop - rows.start) / size)
            loss.backward()
            told += loss.detach().double()
        average_gradients(model, self.team)
        self.team.average([told])
        return {"loss": float(told)}


def average_gradients(model: TargetModel, team: Team) -> None:
    """The mean over processes of all gradients that there are."""
    team.average([weight.grad for weight in model.parameters() if weight.grad is not None])


def autocast(tensor: Tensor, *, enabled: bool) -> torch.autocast:
    """Autocast to bfloat16 on the device of a tensor; switched off, also what is around it."""
    return torch.autocast(tensor.device.type, dtype=torch.bfloat16, enabled=enabled)
