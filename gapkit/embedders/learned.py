"""What every learned embedder is: a preparation without parameters, then a module that is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gapkit.arrays import Array, digest
from gapkit.embedders.base import KEY_DIGITS, parts_of
from gapkit.embedders.patch_modules import CopiedEmbedding, FeatureTokens, Patches
from gapkit.embedders.preparation import Preparation
from gapkit.errors import OptionError
from gapkit.tensors import evaluating, tensor_bytes
from gapkit.types import EmbeddingPart, Target


@dataclass(frozen=True, kw_only=True)
class MadeFor:
    """What an embedder was made for.

    Attributes:
        source: name of the source.
        weights_hash: of the source then.
        target: name of the target.
        layout: of the tokens, "sequence" or "grid".
    """

    source: str
    weights_hash: str
    target: str
    layout: Literal["sequence", "grid"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LearnedEmbedder:
    """Target samples to tokens of the source: ``module(preparation(x))``.

    The value is frozen, the weights of its module are not: training changes them, and the key with them. It is used in
    eval mode; training should run in eval mode too where the module has BatchNorm (a copy of the bundled source's).

    Attributes:
        name: "learned copy" (the source's own embedding on a picture) or "learned patches".
        module: prepared samples to tokens (B, N, dim) or (B, rows, columns, dim); a module of the embedder's own.
        preparation: samples (B, ...) to what ``module`` takes, float32 on the CPU.
        start: how the module was initialised, in words.
        made_for: source and target.
    """

    name: str
    module: Patches | FeatureTokens | CopiedEmbedding
    preparation: Preparation
    start: str
    made_for: MadeFor

    @property
    def description(self) -> str:
        """Preparation, sizes, initial values and what it was made for, in one line."""
        made = self.made_for
        return (
            f"{self.name}: {self.preparation.words}; {self.module.sizes.words}; began with {self.start}; "
            f"made for {made.source} and {made.target}; statistics of {self.preparation.statistics_from}"
        )

    @property
    def space(self) -> Literal["input", "tokens"]:
        """Tokens go straight to the encoder."""
        return "tokens"

    @property
    def dim(self) -> int:
        """Width of a token."""
        return self.module.sizes.dim

    @property
    def count(self) -> int:
        """Tokens of a sample."""
        return self.module.sizes.count

    @property
    def key(self) -> str:
        """Name and hash of the preparation, the sizes and the weights as they are now."""
        state = self.module.state_dict()
        weights = [part for name in sorted(state) for part in (name, tensor_bytes(state[name]))]
        told = digest(*parts_of(self.preparation), repr(self.module.sizes), self.made_for.layout, *weights)
        return f"{self.name.replace(' ', '-')}-{told[:KEY_DIGITS]}"

    def __call__(self, x: Array) -> Tensor:
        """Samples (B, ...) to float32 tokens on the module's device, in eval mode and without gradients.

        Raises:
            DataError: samples of another shape than those that it was made for.
        """
        return self.apply(self.preparation(x))

    def apply(self, prepared: Tensor) -> Tensor:
        """Prepared samples to float32 tokens, in eval mode and without gradients."""
        device = next(self.module.parameters()).device
        # Also where nothing is cast: the caller may be under an autocast of its own.
        with evaluating(self.module), torch.no_grad(), torch.autocast(device.type, enabled=False):
            return self.module(prepared.to(device)).to(torch.float32)


def check_fits(embedder: LearnedEmbedder, part: EmbeddingPart, target: Target) -> None:
    """Refuse an embedder that was made for a source with other tokens, or for other samples.

    The source may have other weights than then, as a tuned one has.

    Raises:
        OptionError: says what does not fit.
    """
    problem = _against_source(embedder, part) or _against_target(embedder, target)
    if problem is None:
        return
    got, expected = problem
    made = embedder.made_for
    raise OptionError(
        f"the learned embedder made for {made.source} and {made.target}: {got}",
        expected=expected,
        remedy="use an embedder that was made for this source and target, or --embedder auto (embedder='auto')",
    )


def _against_source(embedder: LearnedEmbedder, part: EmbeddingPart) -> tuple[str, str] | None:
    """What a source does not take, and what it does."""
    token, layout = part.token, embedder.made_for.layout
    if token is None:
        return f"{part.source} has no token space", "a source that takes tokens"
    if (embedder.dim, layout) != (token.dim, token.layout):
        return (
            f"it gives a {layout} of tokens of width {embedder.dim}",
            f"a {token.layout} of tokens of width {token.dim} for {part.source}",
        )
    if part.exact:
        grid = embedder.module.sizes.grid if layout == "grid" else None
        if embedder.count != part.count or (layout == "grid" and grid != part.grid):
            return f"it gives {embedder.count} tokens", f"{part.count} tokens, as {part.source} takes them"
    if token.max_len is not None and embedder.count > token.max_len:
        return f"it gives {embedder.count} tokens", f"at most {token.max_len} for {part.source}"
    return None


def _against_target(embedder: LearnedEmbedder, target: Target) -> tuple[str, str] | None:
    """What samples are not, and what they should be."""
    sample, given = embedder.preparation.sample, tuple(target.x.shape[1:])
    if target.x.dtype.kind == "U" or given != sample:
        what = "strings" if target.x.dtype.kind == "U" else f"samples of shape {given}"
        return f"{target.name} has {what}", f"samples of shape {sample}"
    problem = embedder.preparation.problem(target)
    return None if problem is None else (f"the samples of {target.name} {problem}", f"samples as {embedder.name} takes")
