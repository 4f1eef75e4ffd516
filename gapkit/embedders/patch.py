"""Learned embedders: for any target and any source with a token space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from gapkit.arrays import seeded_torch
from gapkit.embedders.learned import LearnedEmbedder, MadeFor
from gapkit.embedders.modality import image_layout, is_audio, is_text
from gapkit.embedders.patch_modules import CopiedEmbedding, CopySizes, FeatureTokens, LayerSizes, Patches, PatchSizes
from gapkit.embedders.patch_sizes import module_sizes
from gapkit.embedders.patch_start import LOOKED_AT, begin_copy, begin_from_source, draw, own_moments
from gapkit.embedders.preparation import Preparation, ValuePreparation, fit_picture, fit_values
from gapkit.embedders.training import train_sample
from gapkit.errors import DataError, OptionError, SourceError
from gapkit.options import check_choice, check_least
from gapkit.types import EmbeddingPart, Target, TokenSpec

KINDS, INITS = ("auto", "copy", "patch"), ("source", "random")
COPY, PATCHES = "learned copy", "learned patches"
EXACT = 1e-5
"""Largest difference between a copy and the source's own embedding, relative to the largest entry."""


@dataclass(frozen=True, kw_only=True)
class PatchOptions:
    """How a learned embedder is made.

    Attributes:
        kind: "copy", a trainable copy of an image source's own embedding on the picture that the fixed embedder makes;
            "patch", patches of the target's own values; "auto", a copy for images and for series with a spectrogram,
            patches for everything else.
        init: "source", from the source's own weights; "random".
        tokens: how many of a sample, exactly for series and tables, at most for fields; None for as many as the source
            has, or about that, and about 32 of a series where the encoder has no places of its own.
        seed: of what is random.
    """

    kind: Literal["auto", "copy", "patch"] = "auto"
    init: Literal["source", "random"] = "source"
    tokens: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the choices and the ranges.

        Raises:
            OptionError: an option is out of range.
        """
        check_choice("kind", self.kind, KINDS)
        check_choice("init", self.init, INITS)
        check_least("seed", self.seed, 0)
        if self.tokens is not None:
            check_least("tokens", self.tokens, 1)


def learned_embedder(target: Target, part: EmbeddingPart, options: PatchOptions = PatchOptions()) -> LearnedEmbedder:
    """A learned embedder before training, with its statistics from the target's train split.

    With ``init="source"`` a copy gives exactly the tokens that the fixed embedder and the source's own would give, and
    patches give tokens with the mean and standard deviation of the source's own.

    Args:
        target: the samples.
        part: of the source, from ``gapkit.sources.embedding_part.embedding_part``.
        options: which kind, and where it begins.

    Raises:
        SourceError: the source has no token space.
        DataError: strings, or samples of a shape that no embedder takes.
        OptionError: so many tokens do not fit, or the source's own embedding cannot be copied.
    """
    token = token_space(part)
    if is_text(target):
        raise DataError(
            f"{target.name}: x holds strings, which have nothing that an embedder could learn from",
            expected="numbers; strings go through the tokenizer of a text source",
            remedy="measure them with a text source, without align",
        )
    copied = copy_sizes(part, token) if _wants_copy(target, part, options) else None
    if copied is None and options.kind == "copy":
        raise OptionError(
            f"kind='copy' for {part.source}, whose own embedding is not made of layers that gapkit can copy",
            expected="an image source with a patch convolution, or the bundled one",
            remedy="use kind='patch'",
        )
    made_for = MadeFor(source=part.source, weights_hash=part.weights_hash, target=target.name, layout=token.layout)
    if copied is not None:
        _check_copied_tokens(copied, part, options)
        preparation: Preparation = fit_picture(target, part.input, token)
        module, start = _copy(copied, part, options)
        return LearnedEmbedder(name=COPY, module=module, preparation=preparation, start=start, made_for=made_for)
    values = fit_values(target)
    module, start = _patches(values, target, part, options)
    return LearnedEmbedder(name=PATCHES, module=module, preparation=values, start=start, made_for=made_for)


def token_space(part: EmbeddingPart) -> TokenSpec:
    """The source's token space.

    Raises:
        SourceError: it has none.
    """
    if part.token is None:
        raise SourceError(
            f"{part.source} has no token space, so that there is nothing that align could learn to give it",
            expected="a transformer, whose encoder takes tokens",
            remedy="use a source such as vit, timm:vit_base_patch16_224 or hf:roberta-base",
        )
    return part.token


def _wants_copy(target: Target, part: EmbeddingPart, options: PatchOptions) -> bool:
    """Whether the source's own embedding is to be copied, if that can be done."""
    if options.kind == "copy" or options.kind == "patch" or part.input.kind != "image":
        return options.kind == "copy"
    pictured = is_audio(target) or image_layout(target) is not None
    codes = target.alphabet is not None and target.x.ndim == 2
    return pictured and not codes and options.tokens in (None, part.count)


def copy_sizes(part: EmbeddingPart, token: TokenSpec) -> CopySizes | None:
    """Sizes of a copy of the source's own embedding; None where its layers are of other kinds, or are not all of it."""
    if part.layers is None or part.count is None or part.input.kind != "image":
        return None
    layers = [LayerSizes.of(layer) for layer in part.layers]
    known = tuple(layer for layer in layers if layer is not None)
    if len(known) < len(layers):
        return None
    sizes = CopySizes(
        layers=known,
        dim=token.dim,
        count=part.count,
        grid=part.grid if token.layout == "grid" else None,
        norm=None if part.norm is None else part.norm.eps,
        positions=part.position is not None,
    )
    return sizes if _is_whole(sizes, part) else None


def _is_whole(sizes: CopySizes, part: EmbeddingPart) -> bool:
    """Whether a copy gives what the source's own embedding gives, for noise."""
    with seeded_torch(0):
        module, x = CopiedEmbedding(sizes).eval(), torch.randn(2, *part.input.shape)
    try:
        begin_copy(module, part)
        with torch.no_grad():
            given, own = module(x), part.embed(x)
    except RuntimeError:
        return False
    return given.shape == own.shape and bool((given - own).abs().max() <= EXACT * own.abs().max())


def _check_copied_tokens(sizes: CopySizes, part: EmbeddingPart, options: PatchOptions) -> None:
    """Refuse another number of tokens than the source's own.

    Raises:
        OptionError: so many are asked for.
    """
    if options.tokens not in (None, sizes.count):
        raise OptionError(
            f"{options.tokens} tokens for a copy of the embedding of {part.source}",
            expected=f"{sizes.count}, as it gives itself",
            remedy="leave tokens out, or use kind='patch'",
        )


def _copy(sizes: CopySizes, part: EmbeddingPart, options: PatchOptions) -> tuple[CopiedEmbedding, str]:
    """The source's own layers, with its weights or random ones."""
    with seeded_torch(options.seed):
        module = CopiedEmbedding(sizes).eval()
        draw(module)
    if options.init == "random":
        return module, "random weights"
    begin_copy(module, part)
    return module, f"the weights of {part.source}"


def _patches(
    values: ValuePreparation, target: Target, part: EmbeddingPart, options: PatchOptions
) -> tuple[Patches | FeatureTokens, str]:
    """Patches or features, with initial values from the source or random ones."""
    token = token_space(part)
    sizes = module_sizes(values, part, token, options.tokens)
    with seeded_torch(options.seed):
        module = (Patches(sizes) if isinstance(sizes, PatchSizes) else FeatureTokens(sizes)).eval()
        draw(module)
    if options.init == "random":
        return module, "random weights"
    x = values(train_sample(target, limit=LOOKED_AT))
    return module, begin_from_source(module, part, x, own_moments(part, token))
