"""Text sources: strings to token ids, numbers straight into the token space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil, isqrt, sqrt
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from gapkit.arrays import Array, digest
from gapkit.embedders.base import FixedEmbedder
from gapkit.embedders.grid import change_length
from gapkit.embedders.training import train_sample, train_words
from gapkit.embedders.values import Values
from gapkit.errors import DataError
from gapkit.types import InputSpec, Target, TokenSpec

PROBE = 32
"""Train strings by whose ids a tokenizer is told from others."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TextTokens(FixedEmbedder):
    """Strings to the source's own token ids.

    Attributes:
        tokenizer: of the source.
        tokenizer_digest: hash of the ids that it gives some train strings.
    """

    tokenizer: Callable[[Sequence[str]], Array] = field(compare=False, repr=False)
    tokenizer_digest: str

    @property
    def description(self) -> str:
        """What is done, in one line."""
        return "tokens: strings to token ids by the source's tokenizer; no statistics"

    def __call__(self, x: Array) -> Tensor:
        """Strings (B,) to int64 ids (B, N)."""
        return torch.from_numpy(np.ascontiguousarray(self.tokenizer([str(text) for text in x]), dtype=np.int64))


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenFold(FixedEmbedder):
    """Values (C, L) to N tokens, each of ``steps`` consecutive steps of all channels, zero-padded to the token width.

    Values are standardised, the rest of a token is 0, and all entries are brought to the mean and standard deviation of
    the source's own tokens: entry = mean + std * z / sqrt(u), where u is the share of entries that hold a value.

    Attributes:
        values: samples to (C, L).
        channels: C, or 1 where the channels are laid one after the other.
        length: steps that samples are brought to where they have more than fit; L where they fit.
        steps: in a token.
        token: the source's token space.
    """

    values: Values
    channels: int
    length: int
    steps: int
    token: TokenSpec

    @property
    def space(self) -> Literal["input", "tokens"]:
        """Tokens go straight to the encoder."""
        return "tokens"

    @property
    def count(self) -> int:
        """N, tokens of a sample."""
        return ceil(self.length / self.steps)

    @property
    def description(self) -> str:
        """Values, tokens and scale, in one line."""
        used = self.channels * self.steps
        whole = self.values.shape[0] * self.values.shape[1] == self.channels * self.length
        shrunk = "" if whole else f"; averaged down to {self.length} steps"
        return (
            f"{self.name}: {self.values.words}{shrunk}; {self.count} tokens of {used} values, zero-padded to "
            f"{self.token.dim}; token mean {self.token.mean:.3g} and std {self.token.std:.3g} matched; "
            f"statistics of {self.statistics_from}"
        )

    def __call__(self, x: Array) -> Tensor:
        """Samples (B, ...) to float32 tokens (B, N, dim)."""
        centre, spread = self.values.moments
        values = (self.values(x) - np.float32(centre)) / np.float32(spread)
        values = change_length(values.reshape(len(values), self.channels, -1), self.length)
        full = np.zeros((len(values), self.channels, self.count * self.steps), dtype=np.float32)
        full[:, :, : self.length] = values
        pieces = full.reshape(len(values), self.channels, self.count, self.steps).swapaxes(1, 2)
        tokens = np.zeros((len(values), self.count, self.token.dim), dtype=np.float32)
        tokens[:, :, : self.channels * self.steps] = pieces.reshape(len(values), self.count, -1)
        used = self.channels * self.length / (self.count * self.token.dim)
        return torch.from_numpy(tokens).mul_(self.token.std / sqrt(used)).add_(self.token.mean)


def fit_text_tokens(target: Target, input: InputSpec) -> TextTokens:
    """The source's tokenizer, told from others by the ids that it gives the first train strings.

    Raises:
        DataError: the source has no tokenizer.
    """
    if input.tokenizer is None:
        raise DataError(
            f"{target.name}: x holds strings, but the source has no tokenizer",
            expected="a text source with its tokenizer",
            remedy="use a text source such as hf:roberta-base",
        )
    probe = [str(text) for text in train_sample(target, limit=PROBE)]
    ids = np.ascontiguousarray(input.tokenizer(probe), dtype=np.int64)
    return TextTokens(
        name="tokens",
        statistics_from=train_words(target),
        tokenizer=input.tokenizer,
        tokenizer_digest=digest("\n".join(probe), ids),
    )


def fit_token_fold(name: str, values: Values, target: Target, token: TokenSpec) -> TokenFold:
    """Number and width of tokens: about as many tokens as values in each, within the limits of the token space.

    Values that do not fit into ``max_len`` tokens of ``dim`` entries are averaged along the steps. More channels than
    ``dim`` are laid one after the other.
    """
    channels, steps = values.shape
    if channels > token.dim:
        channels, steps = 1, channels * steps
    widest = token.dim // channels
    length = steps if token.max_len is None else min(steps, token.max_len * widest)
    wanted = max(1, isqrt(channels * length))
    count = wanted if token.max_len is None else min(wanted, token.max_len)
    return TokenFold(
        name=name,
        statistics_from=train_words(target),
        values=values,
        channels=channels,
        length=length,
        steps=min(ceil(length / count), widest),
        token=token,
    )
