"""What the adapters share: the fields of a cut model, and what a model without tokens or head does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from gapkit.errors import SourceError
from gapkit.types import InputSpec, Target, TokenSpec


@dataclass(kw_only=True)
class Cut(ABC):
    """A model cut into embedder, encoder, pooling and head; the base of every adapter (``gapkit.types.Adapter``).

    Attributes:
        name: how the source was asked for.
        module: the whole model.
        input: what its own embedder takes.
        class_names: of the K_s classes, None for a headless model.
        surrogate: small labelled set of the source's own modality.
        token: the token space, None for a model without one.
        trained_on: fingerprints of training samples (``gapkit.arrays.fingerprints``), as far as they are known.
    """

    name: str
    module: nn.Module
    input: InputSpec
    class_names: tuple[str, ...] | None = None
    surrogate: Target | None = None
    token: TokenSpec | None = None
    trained_on: frozenset[str] = frozenset()

    def embed(self, x: Tensor) -> Tensor:
        """e: the input itself for a model without tokens."""
        return x

    @abstractmethod
    def encode(self, tokens: Tensor) -> Tensor:
        """f: tokens, or inputs where ``token`` is None, to hidden states."""

    def pool(self, hidden: Tensor) -> Tensor:
        """Hidden states that are features (B, d) already."""
        return hidden

    def head(self, features: Tensor) -> Tensor:
        """h: features (B, d) to logits (B, K_s).

        Raises:
            SourceError: the model is headless.
        """
        classifier = self.classifier
        if classifier is None:
            raise SourceError(
                f"{self.name} has no classification head",
                expected="a source with classes of its own",
                remedy="give it a surrogate (--surrogate), or let gapkit.sources.heads.complete_head make one",
            )
        return classifier(features)

    @property
    def classifier(self) -> nn.Module | None:
        """The last linear map, None for a headless model."""
        return None


def generic_names(count: int) -> tuple[str, ...]:
    """Names for classes that have none.

    Example:
        >>> generic_names(2)
        ('class 0', 'class 1')
    """
    return tuple(f"class {k}" for k in range(count))
