"""MoNA's stage 1: embedder and head move so that a step of the encoder on the target keeps the source's knowledge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gapkit.arrays import Features, Floats, Labels, Rows
from gapkit.mona.hypergradient import Hypergradient, Hypergradients
from gapkit.mona.losses import knowledge_loss, recognition_loss
from gapkit.mona.model import TargetModel
from gapkit.mona.order import ClassPairs
from gapkit.mona.passes import Exchange
from gapkit.mona.problem import BatchProblem, LabelledBatch, Loss
from gapkit.mona.samples import Batch
from gapkit.mona.stages import Objective, autocast
from gapkit.mona.surrogates import SurrogateTokens
from gapkit.mona.team import Team
from gapkit.mona.training_options import AlignmentOptions, TrainingOptions
from gapkit.statistics.logistic import fit_logistic

PASSES = {"central": (6.5, 4.0), "one_sided": (4.5, 4.0), "exact": (8.5, 4.0), "naive": (6.5, 4.0)}
"""Of the target batch and of the surrogate batch, by method, in forward passes.

Of the target: 3 for ``L_target`` with all its gradients, 2 for each further gradient by the embedder alone (forward 1,
backward through activations 1; exact and naive 1.3 to 2.8 times as much). Of the surrogate: 3, and the tokens; in
pieces its features are computed once more.
"""
RECOMPUTED = {"central": (3.0, 1.0), "one_sided": (2.0, 1.0), "exact": (1.0, 1.0), "naive": (0.0, 0.0)}
"""What is added where activations are recomputed: a forward pass for every backward pass that is not plain."""
READOUT_PENALTY = 1.0
NEVER = -1e4
"""Logit of classes without a sample."""
STEP_KEY = "difference_step"


class KnowledgeObjective(Objective):
    """``L_target(theta, phi, h) + lambda L_src(theta')``, ``theta' = theta - alpha grad_theta L_target``.

    Ma et al., ICML 2024. Gradients of embedder and head are left in ``.grad``; the encoder does not change. The history
    has the losses, ``<g_src, g_target>``, its cosine, ``|alpha g| / |theta|`` and the ratio of the second-order term to
    the rest of the embedder's gradient.

    Attributes:
        alignment: how the hypergradient is computed.
    """

    def __init__(
        self,
        loss: Loss,
        surrogate: SurrogateTokens,
        alignment: AlignmentOptions,
        training: TrainingOptions,
        team: Team,
    ) -> None:
        """Get ready to draw surrogate batches.

        Args:
            loss: of the target, a mean over samples.
            surrogate: labelled tokens.
            alignment: of the hypergradient.
            training: batch size, seed, precision.
            team: the processes.

        Raises:
            DataError: fewer than two surrogate classes have two samples.
        """
        self.loss, self.surrogate, self.alignment, self.training, self.team = loss, surrogate, alignment, training, team
        self._notes: tuple[str, ...] = ()
        size = alignment.surrogate_batch or training.batch_size
        self._pairs = ClassPairs(labels=surrogate.labels, size=size, per_class=alignment.per_class, seed=training.seed)
        exchange = None if team.size == 1 else Exchange(reduce=team.average, gather=team.gather)
        self._hypergradients = Hypergradients(alignment.hypergradient, exchange=exchange)
        self._head: tuple[Tensor, Tensor] | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What the last hypergradient had to say."""
        return self._notes

    @staticmethod
    def passes_of(alignment: AlignmentOptions, training: TrainingOptions) -> float:
        """Forward passes of a step, in units of one over the target batch."""
        of_target, of_surrogate = PASSES[alignment.hypergradient.method]
        of_surrogate += alignment.hypergradient.microbatches > 1
        more = RECOMPUTED[alignment.hypergradient.method] if training.recompute else (0.0, 0.0)
        share = (alignment.surrogate_batch or training.batch_size) / training.batch_size
        return of_target + more[0] + (of_surrogate + more[1]) * share

    def resume(self, history: Sequence[dict[str, Any]]) -> None:
        """Take up the step that "auto" has chosen before an interruption."""
        chosen = [entry[STEP_KEY] for entry in history if entry.get(STEP_KEY)]
        options = self._hypergradients.options
        if chosen and options.step == "auto":
            self._hypergradients.options = replace(options, step=chosen[-1])

    def __call__(self, model: TargetModel, batch: Batch, step: int) -> dict[str, float]:
        """The hypergradient of one pair of batches."""
        rows = self.team.share(self._whole_batch(step))
        tokens = self.surrogate.tokens(rows).to(batch.inputs)
        labels = torch.from_numpy(self.surrogate.labels[self._all_rows(step)]).to(tokens.device)
        problem = BatchProblem(
            (model.embedder, model.encoder, model.head),
            target=LabelledBatch(inputs=batch.inputs, labels=batch.labels),
            source=LabelledBatch(inputs=tokens, labels=labels),
            target_loss=self.loss,
            source_loss=self._source_loss(model),
            outputs=model.outputs,
        )
        self._hypergradients.count = step
        with autocast(batch.inputs, enabled=self.training.precision == "bf16"):
            found = self._hypergradients(problem)
        self._notes = found.notes
        _leave(found, model)
        return _told(found)

    def _all_rows(self, step: int) -> Rows:
        """Rows of the whole batch, in the order in which features are gathered: process by process."""
        rows = self._whole_batch(step)
        return np.concatenate([rows[rank :: self.team.size] for rank in range(self.team.size)])

    def _whole_batch(self, step: int) -> Rows:
        """Rows of all processes: as many for each, where classes of few samples leave an odd number."""
        rows = self._pairs.batch(step)
        return rows[: len(rows) // self.team.size * self.team.size]

    def _source_loss(self, model: TargetModel) -> Loss:
        """L_src."""
        if self.alignment.loss == "contrastive":
            return knowledge_loss
        if self._head is None:
            self._head = self._fit_head(model)
        weight, bias = self._head
        return lambda features, labels: recognition_loss(features.to(weight) @ weight + bias, labels)

    def _fit_head(self, model: TargetModel) -> tuple[Tensor, Tensor]:
        """A linear head (d, K), (K,) on the encoder's features of the whole surrogate; the encoder is as pretrained."""
        rows = np.arange(len(self.surrogate.labels))
        weight_like = next(model.parameters())
        with torch.no_grad():
            found = [
                model.encoder(self.surrogate.tokens(part).to(weight_like)).float().cpu()
                for part in np.array_split(rows, len(rows) // self.training.batch_size + 1)
            ]
        weight, bias = linear_readout(torch.cat(found).double().numpy(), self.surrogate.labels)
        return torch.from_numpy(weight).to(weight_like), torch.from_numpy(bias).to(weight_like)


def linear_readout(features: Features, labels: Labels) -> tuple[Floats, Floats]:
    """Weights (d, K) and intercepts (K,) of a multinomial logistic regression on standardised features, C = 1."""
    mean, spread = features.mean(axis=0), features.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    codes, own = np.unique(labels, return_inverse=True)
    offset = np.zeros((len(labels), len(codes)))
    fitted = fit_logistic((features - mean) / spread, own.reshape(-1), penalty=READOUT_PENALTY, offset=offset)
    weight, bias = np.zeros((features.shape[1], int(codes[-1]) + 1)), np.full(int(codes[-1]) + 1, NEVER)
    weight[:, codes] = fitted.weights / spread[:, None]
    bias[codes] = fitted.intercept - mean @ weight[:, codes]
    return weight, bias


def _leave(found: Hypergradient, model: TargetModel) -> None:
    """Gradients in ``.grad``."""
    for module, gradients in ((model.embedder, found.embedder), (model.head, found.head)):
        for name, weight in module.named_parameters():
            if name in gradients:
                weight.grad = gradients[name]


def _told(found: Hypergradient) -> dict[str, float]:
    """Numbers for the history; what is undefined is left out."""
    told: dict[str, float | None] = {
        "loss": found.target_loss,
        "source_loss": found.source_loss,
        "inner_product": found.inner_product,
        "cosine": found.cosine,
        "relative_step": found.relative_step,
        "term_ratio": found.term_ratio,
        "term_error": found.error,
        STEP_KEY: found.step,
    }
    return {name: value for name, value in told.items() if value is not None}
