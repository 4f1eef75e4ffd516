"""From a target, or the source's surrogate, to what the source makes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gapkit.files import SAFETENSORS
from gapkit.pipeline.options import RunOptions
from gapkit.types import Activations, Embedder, Progress, Target, no_progress

if TYPE_CHECKING:
    from gapkit.embedders import Choice
    from gapkit.sources.capture import CaptureOptions
    from gapkit.sources.source import Source


def choose_embedder(
    source: Source, target: Target, given: Embedder | None = None, name: str = "auto"
) -> tuple[Choice, Embedder]:
    """The embedder with the reason for it; a fixed one takes its statistics from the target's train split.

    Args:
        source: whose inputs or tokens it gives.
        target: the samples; or a surrogate, whose embedder is always chosen by its data.
        given: a fitted embedder; by default a fixed one, or the one in a file.
        name: of the fixed one, "auto" for the choice by the data; or the .safetensors file of a learned embedder.

    Raises:
        StorageError: the file cannot be read.
        GapkitError: the embedder does not suit the source or the target.
    """
    # Imported here: a mistyped source name should not have to wait for torch.
    from gapkit.embedders import Choice, LearnedEmbedder, check_fits, choose, fit, load_embedder

    reason = "given"
    if given is None and name.endswith(SAFETENSORS):
        given, reason = load_embedder(name), f"read from {name}"
    if isinstance(given, LearnedEmbedder):
        from gapkit.sources.embedding_part import embedding_part

        check_fits(given, embedding_part(source), target)
    if given is not None:
        return Choice(name=given.name, reason=reason), given
    choice = choose(target, source.input, source.token, name=name)
    return choice, fit(choice, target, source.input, source.token)


def chosen_layers(source: Source, patterns: tuple[str, ...]) -> tuple[str, ...]:
    """Names and globs of layers, "all" spelled out."""
    from gapkit.sources.blocks import block_names

    return tuple(name for given in patterns for name in (block_names(source.module) if given == "all" else (given,)))


def run_source(
    source: Source,
    target: Target,
    embedder: Embedder,
    surrogate: Target | None,
    options: RunOptions,
    progress: Progress = no_progress,
) -> Activations:
    """Features and logits of the target; a headless source gets its head from the surrogate, or from prototypes."""
    from gapkit.sources.capture import extract

    capture = replace(capture_options(options), layers=chosen_layers(source, options.layers))
    activations = extract(source, target, embedder, capture, progress)
    if source.class_names is not None:
        return activations
    from gapkit.sources.heads import complete_head

    return complete_head(activations, run_surrogate(source, surrogate, options, progress), seed=options.seed)


def run_surrogate(
    source: Source, surrogate: Target | None, options: RunOptions, progress: Progress = no_progress
) -> Activations | None:
    """Features of the surrogate, through an embedder of its own; None where there is no surrogate."""
    from gapkit.sources.capture import extract

    if surrogate is None:
        return None
    _, fitted = choose_embedder(source, surrogate)
    return extract(source, surrogate, fitted, capture_options(options), progress)


def capture_options(options: RunOptions) -> CaptureOptions:
    """How the source is run."""
    from gapkit.sources.cache import FeatureCache
    from gapkit.sources.capture import CaptureOptions

    return CaptureOptions(batch_size=options.batch_size, cache=FeatureCache() if options.keep_features else None)
