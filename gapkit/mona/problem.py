"""What the hypergradient is taken of: embedder, encoder and head, and their losses on one pair of batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from gapkit.errors import OptionError
from gapkit.mona.losses import knowledge_loss
from gapkit.types import Adapter

Loss = Callable[[Tensor, Tensor], Tensor]
"""Outputs (n, ...) and labels (n,) to a scalar."""
Outputs = Callable[[nn.Module, nn.Module, nn.Module, Tensor], Tensor]
"""Embedder, encoder, head and inputs (n, ...) to the head's outputs (n, ...)."""
Named = dict[str, Tensor]
ROLES = ("embedder", "encoder", "head")


class Problem(nn.Module, ABC):
    """L_target and L_src as functions of phi, theta and h, on one batch of each.

    Whatever else it evaluates, the trainable parameters of ``embedder`` are phi, those of ``encoder`` theta and those
    of ``head`` h; parameters with ``requires_grad=False`` are constants. Evaluations must not keep graphs.

    Attributes:
        embedder: of the target; any module, without parameters too.
        encoder: of the source.
        head: of the target.
    """

    embedder: nn.Module
    encoder: nn.Module
    head: nn.Module

    @property
    @abstractmethod
    def target_size(self) -> int:
        """Samples in the target batch."""

    @property
    @abstractmethod
    def source_size(self) -> int:
        """Samples in the surrogate batch."""

    @abstractmethod
    def target_loss(self, rows: slice) -> Tensor:
        """L_target: the *mean* loss of these samples of the target batch, a scalar."""

    @abstractmethod
    def source_features(self, rows: slice) -> Tensor:
        """What L_src is a function of, (n, d), for these samples of the surrogate batch; of theta only."""

    @abstractmethod
    def source_loss(self, features: Tensor) -> Tensor:
        """L_src of the features of the *whole* surrogate batch, of all processes where there are several."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledBatch:
    """Inputs and labels of one batch.

    Attributes:
        inputs: (n, ...) of the target for its embedder; of the surrogate as tokens (the source's own embedder is
            frozen, so that they are computed once).
        labels: (n, ...); of the surrogate those of all processes where features are gathered.
    """

    inputs: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Number of samples n."""
        return len(self.inputs)


class BatchProblem(Problem):
    """The usual problem: ``target_loss(head(encoder(embedder(x))), y)`` and ``source_loss(encoder(tokens), labels)``.

    A head of another kind may take something else of the encoder, by ``outputs``.

    Attributes:
        target: batch of the target; a new one may be put in its place at every step.
        source: batch of the surrogate, likewise.
        of_target: loss of the head's output, a mean over samples.
        of_source: loss of the encoder's features.
        outputs: from embedder, encoder, head and inputs to what ``of_target`` is given.
    """

    def __init__(
        self,
        modules: tuple[nn.Module, nn.Module, nn.Module],
        *,
        target: LabelledBatch,
        source: LabelledBatch,
        target_loss: Loss = F.cross_entropy,
        source_loss: Loss = knowledge_loss,
        outputs: Outputs | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            modules: embedder (inputs to tokens), encoder (tokens to features (n, d)) and head (features to outputs).
            target: inputs for the embedder and labels for ``target_loss``.
            source: tokens for the encoder and labels for ``source_loss``.
            target_loss: a mean over samples.
            source_loss: any function of all features and labels of the batch.
            outputs: from embedder, encoder, head and inputs to the head's outputs; by default of pooled features.
        """
        super().__init__()
        self.embedder, self.encoder, self.head = modules
        self.target, self.source = target, source
        self.of_target, self.of_source = target_loss, source_loss
        self.outputs = outputs or pooled_outputs

    @property
    def target_size(self) -> int:
        """Samples in the target batch."""
        return len(self.target)

    @property
    def source_size(self) -> int:
        """Samples in the surrogate batch."""
        return len(self.source)

    def target_loss(self, rows: slice) -> Tensor:
        """Mean loss of these target samples."""
        outputs = self.outputs(self.embedder, self.encoder, self.head, self.target.inputs[rows])
        return self.of_target(outputs, self.target.labels[rows])

    def source_features(self, rows: slice) -> Tensor:
        """The encoder's features of these surrogate samples."""
        return self.encoder(self.source.inputs[rows])

    def source_loss(self, features: Tensor) -> Tensor:
        """Loss of all features."""
        return self.of_source(features, self.source.labels)


class SourceEncoder(nn.Module):
    """f and pooling of a source as one module: tokens to features (B, d).

    Its parameters are those of the source's whole module; what is not used (patch embedding, classifier) has zero
    gradients and stays.

    Attributes:
        adapter: of the source.
        module: the adapter's, so that its parameters are found.
    """

    def __init__(self, adapter: Adapter) -> None:
        """Wrap an adapter, which is not copied."""
        super().__init__()
        self.adapter, self.module = adapter, adapter.module

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens to pooled features."""
        return self.adapter.pool(self.hidden(tokens))

    def hidden(self, tokens: Tensor) -> Tensor:
        """Tokens to hidden tokens (B, N, dim) or (B, rows, columns, dim)."""
        return self.adapter.encode(tokens)


def pooled_outputs(embedder: nn.Module, encoder: nn.Module, head: nn.Module, inputs: Tensor) -> Tensor:
    """The head's outputs for pooled features."""
    return head(encoder(embedder(inputs)))


def hidden_outputs(embedder: nn.Module, encoder: nn.Module, head: nn.Module, inputs: Tensor) -> Tensor:
    """The head's outputs for hidden tokens, of an encoder that gives both, as ``SourceEncoder`` does."""
    return head(cast(SourceEncoder, encoder).hidden(embedder(inputs)))


@dataclass(frozen=True, kw_only=True, eq=False)
class Parameters:
    """The trainable parameters of a problem, each by its name inside its own module.

    Attributes:
        embedder: phi.
        encoder: theta.
        head: h.
    """

    embedder: Named
    encoder: Named
    head: Named

    @property
    def phi(self) -> list[Tensor]:
        """Of the embedder."""
        return list(self.embedder.values())

    @property
    def theta(self) -> list[Tensor]:
        """Of the encoder."""
        return list(self.encoder.values())

    @property
    def h(self) -> list[Tensor]:
        """Of the head."""
        return list(self.head.values())


def trainable(problem: Problem) -> Parameters:
    """The parameters that the hypergradient is about.

    Raises:
        OptionError: the encoder has none, or a parameter is in two of the modules.
    """
    found: dict[str, Named] = {}
    owners: dict[Tensor, str] = {}
    for role in ROLES:
        module = cast(nn.Module, getattr(problem, role))
        found[role] = {name: tensor for name, tensor in module.named_parameters() if tensor.requires_grad}
        for name, tensor in found[role].items():
            if tensor in owners:
                raise OptionError(
                    f"{owners[tensor]} and {role}.{name} are the same trainable parameter",
                    expected="embedder, encoder and head without parameters in common",
                    remedy="copy one of the modules, or freeze the parameter with requires_grad_(False)",
                )
            owners[tensor] = f"{role}.{name}"
    if not found["encoder"]:
        raise OptionError(
            "the encoder has no trainable parameter",
            expected="parameters with requires_grad=True, which MoNA takes its inner step in",
            remedy="call requires_grad_() on the parts of the encoder that fine-tuning will change",
        )
    return Parameters(**found)


def with_parameters(problem: Problem, given: Mapping[str, Named], evaluate: Callable[[Problem], Tensor]) -> Tensor:
    """What ``evaluate`` returns where the problem has other parameters, which gradients flow to; nothing is changed.

    Args:
        problem: as it is.
        given: by role, by the name of the parameter inside its module.
        evaluate: what is to be computed.
    """
    renamed = {f"problem.{role}.{name}": tensor for role, named in given.items() for name, tensor in named.items()}
    return functional_call(_Evaluation(problem), renamed, (evaluate,))


class _Evaluation(nn.Module):
    """A problem whose evaluation is a forward pass, the only thing that ``functional_call`` calls."""

    def __init__(self, problem: Problem) -> None:
        """Hold the problem."""
        super().__init__()
        self.problem = problem

    def forward(self, evaluate: Callable[[Problem], Tensor]) -> Tensor:
        """Evaluate the problem."""
        return evaluate(self.problem)


def pieces(size: int, count: int) -> list[slice]:
    """``size`` samples in ``count`` consecutive pieces of nearly the same size, fewer where there are fewer samples.

    Example:
        >>> pieces(5, 2)
        [slice(0, 3, None), slice(3, 5, None)]
    """
    count = max(1, min(size, count))
    ends = [-(-size * k // count) for k in range(count + 1)]
    return [slice(start, stop) for start, stop in zip(ends[:-1], ends[1:], strict=True)]


def inner(left: Sequence[Tensor], right: Sequence[Tensor]) -> float:
    """Scalar product of two lists of tensors as two vectors; tensors are added up in float64."""
    products = [torch.dot(a.detach().reshape(-1), b.detach().reshape(-1)) for a, b in zip(left, right, strict=True)]
    return float(torch.stack(products).double().sum()) if products else 0.0


def norm(tensors: Sequence[Tensor]) -> float:
    """Euclidean length of all tensors as one vector."""
    lengths = [torch.linalg.vector_norm(tensor.detach()) for tensor in tensors]
    return float(torch.stack(lengths).double().square().sum().sqrt()) if lengths else 0.0
