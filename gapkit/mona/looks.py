"""How well a model does on samples: outputs, per-sample losses and one metric for each task."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gapkit.arrays import Array, Floats, PerSample, Rows, log_softmax
from gapkit.labels import NUMBERS, Task
from gapkit.mona.samples import TrainingSamples
from gapkit.tensors import evaluating

METRICS: dict[Task, str] = {
    "classification": "accuracy",
    "multilabel": "label accuracy",
    "regression": "R2",
    "dense": "R2",
}
EVALUATED_AT_ONCE = 128


@dataclass(frozen=True, kw_only=True)
class Look:
    """One look at held-out samples.

    Attributes:
        stage: name of the stage.
        step: steps of it that were done.
        metric: accuracy, share of right labels, or R^2.
        loss: mean negative log-likelihood (nats), or mean squared error of standardised values.
    """

    stage: str
    step: int
    metric: float
    loss: float

    def better(self, other: Look | None) -> bool:
        """Whether the metric is higher, or equal with a lower loss."""
        return other is None or (self.metric, -self.loss) > (other.metric, -other.loss)

    def told(self) -> dict[str, str | int | float]:
        """Plain values."""
        return asdict(self)


def outputs_of(model: nn.Module, samples: TrainingSamples, rows: Rows) -> Floats:
    """Outputs (n, K), or fields (n, C, ...), of a model in eval mode, float64."""
    parts: list[Array] = []
    with evaluating(model), torch.inference_mode():
        for start in range(0, len(rows), EVALUATED_AT_ONCE):
            inputs = samples.inputs(rows[start : start + EVALUATED_AT_ONCE])
            found: Tensor = model(inputs.to(next(model.parameters())))
            parts.append(found.float().cpu().numpy())
    return np.concatenate(parts).astype(np.float64)


def sample_scores(task: Task, outputs: Floats, labels: Array) -> tuple[PerSample, PerSample]:
    """What each sample adds to the metric, and its loss.

    Hits of classes, shares of right labels, and for numbers the squared error, a mean over a field.

    Args:
        task: what is learned.
        outputs: (n, K) logits, (n, 1) values, or fields (n, ...).
        labels: (n,) codes, (n, K) zeros and ones, or values (n,) or (n, ...) on the same scale as the outputs.
    """
    if task == "classification":
        hits = outputs.argmax(axis=1) == labels
        return hits.astype(np.float64), -log_softmax(outputs)[np.arange(len(labels)), labels]
    if task == "multilabel":
        right = ((outputs > 0) == (labels > 0.5)).mean(axis=1)
        losses = np.logaddexp(0, np.where(labels > 0.5, -outputs, outputs)).mean(axis=1)
        return right.astype(np.float64), losses.astype(np.float64)
    differences = (outputs.reshape(labels.shape) - labels).reshape(len(labels), -1).astype(np.float64)
    errors = np.square(differences).mean(axis=1)
    return errors, errors


def metric_of(task: Task, scores: PerSample, labels: Array) -> float:
    """The mean of per-sample scores; R^2 for numbers, 0 where the values do not vary."""
    if task not in NUMBERS:
        return float(scores.mean())
    variance = float(variation(labels).mean())
    return 1.0 - float(scores.mean()) / variance if variance > 0 else 0.0


def variation(labels: Array) -> PerSample:
    """Each sample's squared difference from the mean value, or from the mean field, a mean over the field.

    Example:
        >>> variation(np.array([[0.0, 1.0], [2.0, 1.0]])).tolist()
        [0.5, 0.5]
    """
    values = labels.reshape(len(labels), -1).astype(np.float64)
    return np.square(values - values.mean(axis=0)).mean(axis=1)


def look(model: nn.Module, samples: TrainingSamples, *, stage: str, step: int) -> Look:
    """Metric and loss on the validation samples."""
    labels = samples.labels(samples.validation).numpy()
    scores, losses = sample_scores(samples.task, outputs_of(model, samples, samples.validation), labels)
    return Look(stage=stage, step=step, metric=metric_of(samples.task, scores, labels), loss=float(losses.mean()))
