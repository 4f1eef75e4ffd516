"""Which fixed embedder a target gets, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gapkit.embedders.modality import (
    MIN_AUDIO_LENGTH,
    image_layout,
    is_audio,
    is_codes,
    is_text,
    readable_layout,
)
from gapkit.errors import DataError, OptionError, did_you_mean
from gapkit.types import InputKind, InputSpec, Target, TokenSpec

EMBEDDERS: dict[InputKind, tuple[str, ...]] = {
    "image": ("resize", "fold", "spectrogram", "onehot"),
    "audio": ("waveform",),
    "text": ("tokens", "fold", "onehot"),
    "array": ("fold", "onehot"),
}
"""The fixed embedders that end in what each kind of source takes."""
TEXT_SOURCE = "hf:roberta-base"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A fixed embedder and the reason for it.

    Attributes:
        name: one of ``EMBEDDERS``.
        reason: why, in words.
    """

    name: str
    reason: str


def choose(target: Target, input: InputSpec, token: TokenSpec | None, *, name: str = "auto") -> Choice:
    """The fixed embedder for a target and a source.

    Automatic, for an image source, the first that applies: ``alphabet`` and integer codes (n, L) -> onehot; a sample
    rate of 1000 Hz or more and a one-dimensional series -> spectrogram; image shape (see
    ``gapkit.embedders.modality.image_layout``) -> resize; every other array of rank 2 or 3 -> fold. Audio sources get
    the waveform, array sources and the token space of text sources fold or onehot. Strings go to text sources only.

    Args:
        target: whose x is looked at; values are not, only shape, dtype, sample rate and alphabet.
        input: what the source takes.
        token: the source's token space, which numbers for a text source go into.
        name: an embedder by name, or "auto".

    Raises:
        OptionError: no embedder is called so, or it cannot be used for this target or source.
        DataError: there is no embedder for this target and source.
    """
    if name != "auto":
        _check_name(name, input)
    _check_kind(target, input, token)
    if name == "auto":
        return _automatic(target, input)
    _check_asked(name, target)
    return Choice(name=name, reason="asked for by name")


def _check_name(name: str, input: InputSpec) -> None:
    """Refuse names that no embedder has, and embedders that end in another kind of input."""
    known = list(dict.fromkeys(item for names in EMBEDDERS.values() for item in names))
    if name not in known:
        raise OptionError(
            f"embedder {name!r}", expected="auto, " + ", ".join(known), remedy=did_you_mean(name, ["auto", *known])
        )
    if name not in EMBEDDERS[input.kind]:
        raise OptionError(
            f"embedder {name!r} for {_article(input.kind)} source",
            expected=" or ".join(EMBEDDERS[input.kind]),
            remedy="use --embedder auto (embedder='auto')",
        )


def _article(kind: InputKind) -> str:
    """The kind with its article."""
    return f"{'a' if kind == 'text' else 'an'} {kind}"


def _check_kind(target: Target, input: InputSpec, token: TokenSpec | None) -> None:
    """Refuse strings where the source takes numbers, and numbers where a text source has no token space."""
    if is_text(target):
        if input.kind != "text":
            raise DataError(
                f"{target.name}: x holds strings, but the source takes {input.kind}",
                expected=f"numbers for {_article(input.kind)} source",
                remedy=f"use a text source such as {TEXT_SOURCE}",
            )
        if target.x.ndim != 1 or input.tokenizer is None:
            what = f"{target.name}: x holds strings of shape {target.x.shape}"
            raise DataError(
                what if target.x.ndim != 1 else f"{what}, but the source has no tokenizer",
                expected="one string for each sample, shape (n,), and a source with its tokenizer",
                remedy="join the columns into one string"
                if target.x.ndim != 1
                else f"use a text source such as {TEXT_SOURCE}",
            )
    elif input.kind == "text" and (token is None or token.layout != "sequence"):
        raise DataError(
            f"{target.name}: x holds numbers, but the text source has no space of token sequences to put them into",
            expected="strings, or a text source that takes inputs_embeds",
            remedy="use a source such as hf:bert-base-uncased or vit",
        )


def _automatic(target: Target, input: InputSpec) -> Choice:
    """The choice by shape, dtype, sample rate and alphabet."""
    if is_text(target):
        return Choice(name="tokens", reason="strings and a text source")
    if input.kind == "audio":
        return Choice(name="waveform", reason="audio source")
    if target.alphabet is not None and is_codes(target):
        return Choice(name="onehot", reason=f"integer codes with an alphabet of {len(target.alphabet)} symbols")
    layout = image_layout(target)
    if input.kind == "image":
        if is_audio(target):
            reason = f"sample rate {target.sample_rate:g} Hz and one-dimensional series"
            return Choice(name="spectrogram", reason=reason)
        if layout is not None:
            return Choice(name="resize", reason=f"{layout} ({target.x.dtype})")
    if layout is not None:
        return Choice(name="fold", reason=f"{layout} ({target.x.dtype}) and {_article(input.kind)} source")
    return Choice(name="fold", reason=_fold_reason(target))


def _fold_reason(target: Target) -> str:
    """What the numbers are that are folded.

    Raises:
        DataError: of rank 1, or of rank 4 and more and no pictures.
    """
    shape = target.x.shape[1:]
    if len(shape) == 1:
        return f"vectors of {shape[0]} numbers ({_rate(target)})"
    if len(shape) == 2:
        return f"series {shape[0]}x{shape[1]}, not of image shape ({_rate(target)})"
    raise DataError(
        f"{target.name}: x has shape {target.x.shape}",
        expected="(n, d), (n, channels, length), or images (n, H, W), (n, H, W, C) or (n, C, H, W) of at least 8x8",
        remedy="save it as (n, 1)" if not shape else "reshape it, or flatten it with --embedder fold",
    )


def _rate(target: Target) -> str:
    """The sample rate, in words."""
    return "no sample rate" if target.sample_rate is None else f"sample rate {target.sample_rate:g} Hz"


def _check_asked(name: str, target: Target) -> None:
    """Refuse an embedder asked for by name that this target cannot have."""
    checks: dict[str, Callable[[Target], tuple[str, str] | None]] = {
        "tokens": lambda target: None if is_text(target) else ("", "strings"),
        "resize": _against_resize,
        "fold": _against_numbers,
        "onehot": _against_onehot,
        "spectrogram": _against_spectrogram,
    }
    problem = checks.get(name, _against_numbers)(target)
    if problem is None:
        return
    what, expected = problem
    raise OptionError(
        f"embedder {name!r} for {target.name} with x of shape {target.x.shape} and dtype {target.x.dtype}{what}",
        expected=expected,
        remedy="pass --sample-rate HZ or use --embedder fold"
        if name == "spectrogram" and target.sample_rate is None
        else "use --embedder auto (embedder='auto')",
    )


def _against_numbers(target: Target) -> tuple[str, str] | None:
    """Strings and single numbers have no place in a grid."""
    return ("", "numbers (n, d) or of higher rank") if is_text(target) or target.x.ndim < 2 else None


def _against_resize(target: Target) -> tuple[str, str] | None:
    """Pictures are of rank 3 or 4."""
    if readable_layout(target) is None:
        return "", "images (n, H, W), (n, H, W, 1 | 2 | 3 | 4) or (n, 1 | 2 | 3, H, W)"
    return None


def _against_onehot(target: Target) -> tuple[str, str] | None:
    """Codes are integers (n, L)."""
    return None if is_codes(target) else ("", "integer codes (n, L)")


def _against_spectrogram(target: Target) -> tuple[str, str] | None:
    """Spectrograms need a rate and a series that is long enough."""
    if is_text(target) or target.x.ndim not in (2, 3) or target.x.shape[-1] < MIN_AUDIO_LENGTH:
        return "", f"series (n, L) or (n, channels, L) of at least {MIN_AUDIO_LENGTH} steps"
    return None if target.sample_rate is not None else (" without a sample rate", "a series with a sample rate")
