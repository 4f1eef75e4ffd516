"""The surrogate as the alignment sees it: tokens by the source's own frozen embedder, with class codes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gapkit.arrays import Array, Labels, Rows
from gapkit.errors import DataError
from gapkit.sources.source import Source
from gapkit.tensors import evaluating
from gapkit.types import Target

KEPT_BYTES = 1 << 29
"""Tokens up to this size are kept; more are embedded anew for every batch."""
EMBEDDED_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class SurrogateTokens:
    """Labelled surrogate samples and their tokens.

    Attributes:
        samples: with class codes.
        embed: from samples to tokens, on the source's device, without gradient.
        kept: the tokens of all samples, where they are small.
    """

    samples: Target
    embed: Callable[[Array], Tensor]
    kept: Tensor | None = field(default=None, repr=False)

    @property
    def labels(self) -> Labels:
        """Class codes."""
        return self.samples.y

    def tokens(self, rows: Rows) -> Tensor:
        """Tokens of the samples at ``rows``."""
        return self.embed(self.samples.x[rows]) if self.kept is None else self.kept[torch.from_numpy(rows)]

    def means(self, rows: Rows) -> Tensor:
        """Means over the tokens of the samples at ``rows``, (n, dim)."""
        starts = range(0, len(rows), EMBEDDED_AT_ONCE)
        return torch.cat([token_means(self.tokens(rows[start : start + EMBEDDED_AT_ONCE])) for start in starts])


def surrogate_tokens(
    source: Source, surrogate: Target | None, embedder: Callable[[Array], Tensor] | None
) -> SurrogateTokens:
    """Take a surrogate through the source's embedder.

    Args:
        source: whose weights stay as they are.
        surrogate: labelled set of the source's modality.
        embedder: a fixed one that gives the source's inputs; None where samples are these already.

    Raises:
        DataError: no surrogate, or one without classes.
    """
    surrogate = checked_surrogate(source, surrogate)
    inputs = embedder or torch.from_numpy

    def embed(x: Array) -> Tensor:
        with evaluating(source.module), torch.no_grad():
            return source.adapter.embed(inputs(x).to(source.device))

    first = embed(surrogate.x[:1])
    if first.nbytes * len(surrogate) > KEPT_BYTES:
        return SurrogateTokens(samples=surrogate, embed=embed)
    starts = range(0, len(surrogate), EMBEDDED_AT_ONCE)
    kept = torch.cat([embed(surrogate.x[start : start + EMBEDDED_AT_ONCE]) for start in starts])
    return SurrogateTokens(samples=surrogate, embed=embed, kept=kept)


def checked_surrogate(source: Source, surrogate: Target | None) -> Target:
    """The surrogate; refuse a source without a surrogate, and surrogates without classes.

    Raises:
        DataError: says how to give one.
    """
    if surrogate is None:
        raise DataError(
            f"{source.name} comes without a surrogate",
            expected="a small labelled set of the source's own modality, which says what knowledge is to be kept",
            remedy="give one with --surrogate FILE (surrogate=...)",
        )
    if surrogate.task != "classification":
        raise DataError(
            f"the surrogate {surrogate.name} has the task {surrogate.task}",
            expected="one class for each sample",
            remedy="give a set with classes (--surrogate FILE)",
        )
    return surrogate


def token_means(tokens: Tensor) -> Tensor:
    """Tokens (B, N, dim) or (B, H, W, dim) to their mean (B, dim)."""
    return tokens.flatten(1, -2).mean(dim=1)
