"""Fit the chosen embedder: one line for each."""

from __future__ import annotations

from gapkit.embedders.array_fold import fit_array_fold
from gapkit.embedders.choice import Choice, choose
from gapkit.embedders.fold import fit_fold
from gapkit.embedders.resize import fit_resize
from gapkit.embedders.spectrogram import fit_spectrogram
from gapkit.embedders.tokens import fit_text_tokens, fit_token_fold
from gapkit.embedders.values import fit_onehot, fit_standardised
from gapkit.embedders.waveform import fit_waveform
from gapkit.types import Embedder, InputSpec, Target, TokenSpec


def fit(choice: Choice, target: Target, input: InputSpec, token: TokenSpec | None) -> Embedder:
    """The chosen embedder with its statistics, taken from the train split where there is one, else from all samples.

    Args:
        choice: from ``choose``, for the same target and source.
        target: the samples.
        input: what the source takes.
        token: the source's token space.

    Raises:
        GapkitError: the choice does not suit this target and source.
    """
    choose(target, input, token, name=choice.name)
    if choice.name == "tokens":
        return fit_text_tokens(target, input)
    if choice.name == "resize":
        return fit_resize(target, input)
    if choice.name == "spectrogram":
        return fit_spectrogram(target, input)
    if choice.name == "waveform":
        return fit_waveform(target, input)
    values = fit_onehot(target) if choice.name == "onehot" else fit_standardised(target)
    if input.kind == "text" and token is not None:
        return fit_token_fold(choice.name, values, target, token)
    if input.kind == "image":
        return fit_fold(choice.name, values, target, input)
    return fit_array_fold(choice.name, values, target, input)
