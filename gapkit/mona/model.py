"""The target model: a learned embedder, the encoder of a source, a head for the target."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

import torch
from torch import Tensor, nn

from gapkit.errors import OptionError, SourceError, did_you_mean
from gapkit.mona.heads import DenseDecoder
from gapkit.mona.problem import Outputs, SourceEncoder, hidden_outputs, pooled_outputs

Part = Literal["embedder", "encoder", "head"]


class TargetModel(nn.Module):
    """phi, theta and h: what a target's batch goes through.

    Attributes:
        embedder: from prepared inputs to tokens.
        encoder: from tokens to features.
        head: from features to outputs; a decoder from hidden tokens.
        outputs: how they go together.
    """

    def __init__(self, embedder: nn.Module, encoder: SourceEncoder, head: nn.Module) -> None:
        """Put the three parts together."""
        super().__init__()
        self.embedder, self.encoder, self.head = embedder, encoder, head
        self.outputs: Outputs = hidden_outputs if isinstance(head, DenseDecoder) else pooled_outputs

    def forward(self, inputs: Tensor) -> Tensor:
        """Prepared inputs (B, ...) to outputs (B, K), or fields (B, C, ...)."""
        return self.outputs(self.embedder, self.encoder, self.head, inputs)


@dataclass(frozen=True, kw_only=True, eq=False)
class Parts:
    """The weights of a target model, part by part; of the encoder's module only those that tokens go through.

    Attributes:
        embedder: phi.
        encoder: theta.
        head: h.
    """

    embedder: dict[str, nn.Parameter]
    encoder: dict[str, nn.Parameter]
    head: dict[str, nn.Parameter]

    def of(self, part: Part) -> dict[str, nn.Parameter]:
        """Name -> weight of one part."""
        found: dict[str, nn.Parameter] = getattr(self, part)
        return found


def parameters_of(model: TargetModel, tokens: Tensor) -> Parts:
    """Weights by part; those of the encoder are the ones that a gradient reaches from ``tokens``.

    Args:
        model: the target model.
        tokens: a small batch of the source's own tokens.

    Raises:
        SourceError: the encoder has no weight that a gradient reaches.
    """
    known = {name: weight for name, weight in model.encoder.named_parameters() if weight.is_floating_point()}
    for weight in known.values():
        weight.requires_grad_(True)
    with torch.enable_grad():
        total = model.encoder(tokens.clone()).float().square().sum()
        found = torch.autograd.grad(total, list(known.values()), allow_unused=True)
    reached = {
        name: weight for (name, weight), gradient in zip(known.items(), found, strict=True) if gradient is not None
    }
    if not reached:
        raise SourceError(
            f"{model.encoder.adapter.name}: no gradient reaches a weight of its encoder",
            expected="an encoder with weights that can be trained",
            remedy="choose another source",
        )
    for name in known.keys() - reached.keys():
        known[name].requires_grad_(False)
    return Parts(
        embedder=dict(model.embedder.named_parameters()), encoder=reached, head=dict(model.head.named_parameters())
    )


def not_frozen(weights: dict[str, nn.Parameter], patterns: tuple[str, ...]) -> dict[str, nn.Parameter]:
    """The weights that no name or glob freezes; names are those of the source's module.

    Raises:
        OptionError: a pattern that fits no weight, or nothing left to train.
    """
    names = {name: name.removeprefix("module.") for name in weights}
    for pattern in patterns:
        if not any(fits(name, pattern) for name in names.values()):
            raise OptionError(
                f"freeze {pattern!r} fits no weight of the encoder",
                expected="names or globs of its weights or modules",
                remedy=did_you_mean(pattern, names.values()),
            )
    kept = {
        name: weights[name] for name, plain in names.items() if not any(fits(plain, pattern) for pattern in patterns)
    }
    if not kept:
        raise OptionError(
            f"freeze {', '.join(patterns)} leaves nothing of the encoder to train",
            expected="some weights that are trained",
            remedy="use --method frozen for a linear head alone",
        )
    return kept


def fits(name: str, pattern: str) -> bool:
    """Whether a pattern means a weight, or a module that it is in."""
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")
