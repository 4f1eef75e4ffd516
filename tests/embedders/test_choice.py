"""Which embedder a target gets, the reason, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from gapkit.embedders import Choice, choose, fit
from gapkit.errors import DataError, GapkitError, OptionError
from gapkit.types import InputSpec, Target, TokenSpec

MakeTarget = Callable[..., Target]
Case = tuple[tuple[int, ...], str, dict[str, object]]
DNA = ("A", "C", "G", "T", "other")


def array(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Values that differ, of a shape and dtype."""
    return (np.arange(np.prod(shape)) % 5).reshape(shape).astype(dtype)


@pytest.mark.parametrize(
    ("case", "name", "reason"),
    [
        (((6, 28, 28), "uint8", {}), "resize", "grey images 28x28 (uint8)"),
        (((6, 8, 8), "uint8", {}), "resize", "grey images 8x8"),
        (((6, 28, 28), "float32", {}), "resize", "grey images 28x28 (float32)"),
        (((6, 20, 40), "uint8", {}), "resize", "grey images 20x40"),
        (((6, 9, 9), "bool", {}), "resize", "grey images 9x9 (bool)"),
        (((6, 16, 20, 3), "float64", {}), "resize", "RGB images 16x20"),
        (((6, 16, 20, 4), "uint8", {}), "resize", "RGBA images"),
        (((6, 3, 16, 20), "uint8", {}), "resize", "RGB images 16x20"),
        (((6, 1, 16, 20), "int16", {}), "resize", "grey images 16x20"),
        (((6, 2, 16, 20), "float32", {}), "resize", "two-channel images 16x20"),
        (((6, 9, 128), "float32", {}), "fold", "series 9x128, not of image shape (no sample rate)"),
        (((6, 8, 64), "int8", {"sample_rate": 200.0}), "fold", "series 8x64, not of image shape (sample rate 200 Hz)"),
        (((6, 8, 64), "uint8", {}), "fold", "series 8x64"),
        (((6, 7, 7), "uint8", {}), "fold", "series 7x7"),
        (((6, 32, 32), "uint8", {"sample_rate": 100.0}), "fold", "sample rate 100 Hz"),
        (((6, 20, 40), "float32", {}), "fold", "series 20x40"),
        (((6, 16), "uint8", {}), "fold", "vectors of 16 numbers"),
        (((6, 140), "float32", {"sample_rate": 125.0}), "fold", "sample rate 125 Hz"),
        (
            ((6, 8000), "int16", {"sample_rate": 8000.0}),
            "spectrogram",
            "sample rate 8000 Hz and one-dimensional series",
        ),
        (((6, 2, 400), "float32", {"sample_rate": 1000.0}), "spectrogram", "sample rate 1000 Hz"),
        (((6, 400), "float32", {"sample_rate": 999.0}), "fold", "sample rate 999 Hz"),
        (((6, 12, 400), "float32", {"sample_rate": 1000.0}), "fold", "series 12x400"),
        (((6, 32), "float32", {"sample_rate": 8000.0}), "fold", "vectors of 32"),
        (((6, 60), "uint8", {"alphabet": DNA}), "onehot", "alphabet of 5 symbols"),
        (((6, 60), "uint8", {"alphabet": DNA, "sample_rate": 8000.0}), "onehot", "alphabet of 5 symbols"),
        (((6, 60), "float32", {"alphabet": DNA}), "fold", "vectors of 60"),
        (((6, 28, 28), "uint8", {"alphabet": DNA}), "resize", "grey images"),
    ],
)
def test_an_image_source_gets_the_embedder_of_the_first_rule_that_applies(
    make_target: MakeTarget,
    image_input: InputSpec,
    case: Case,
    name: str,
    reason: str,
) -> None:
    shape, dtype, extra = case
    target = make_target(array(shape, dtype), **extra)
    choice = choose(target, image_input, None)
    assert choice.name == name
    assert reason in choice.reason
    assert fit(choice, target, image_input, None)(target.x).shape == (6, 3, 32, 32)


def test_other_sources_get_what_ends_in_their_input(
    make_target: MakeTarget, audio_input: InputSpec, text_input: InputSpec, token: TokenSpec
) -> None:
    series = make_target(array((6, 400), "int16"), sample_rate=8000.0)
    strings = make_target(np.array(["a", "bc", "d", "e", "f", "g"]))
    array_input = InputSpec(kind="array", shape=(10,))
    assert choose(series, audio_input, None).name == "waveform"
    assert choose(series, text_input, token).name == "fold"
    assert choose(series, array_input, None).name == "fold"
    assert choose(strings, text_input, None).name == "tokens"
    codes = make_target(array((6, 60), "uint8"), alphabet=DNA)
    assert choose(codes, text_input, token).name == choose(codes, array_input, None).name == "onehot"


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "extra"),
    [
        ("resize", (6, 9, 128), "float32", {}),
        ("fold", (6, 28, 28), "uint8", {}),
        ("fold", (6, 2, 3, 4, 5), "float32", {}),
        ("spectrogram", (6, 12, 400), "float32", {"sample_rate": 100.0}),
        ("onehot", (6, 60), "int64", {}),
    ],
)
def test_a_name_is_obeyed_where_it_can_be(
    make_target: MakeTarget,
    image_input: InputSpec,
    name: str,
    shape: tuple[int, ...],
    dtype: str,
    extra: dict[str, object],
) -> None:
    target = make_target(array(shape, dtype), **extra)
    choice = choose(target, image_input, None, name=name)
    assert choice == Choice(name=name, reason="asked for by name")
    embedder = fit(choice, target, image_input, None)
    assert embedder.name == name
    assert embedder(target.x).shape == (6, 3, 32, 32)


@pytest.mark.parametrize(
    ("name", "case", "words"),
    [
        ("resise", ((6, 16), "uint8", {}), "did you mean 'resize'?"),
        ("waveform", ((6, 16), "uint8", {}), "for an image source; expected resize or fold"),
        ("spectrogram", ((6, 400), "float32", {}), "without a sample rate; expected a series with a sample rate; pass"),
        ("spectrogram", ((6, 30), "float32", {"sample_rate": 8000.0}), "of at least 64 steps"),
        ("spectrogram", ((6, 16, 16, 64), "float32", {"sample_rate": 8000.0}), "series (n, L) or (n, channels, L)"),
        ("onehot", ((6, 60), "float32", {}), "dtype float32; expected integer codes"),
        ("onehot", ((6, 5, 60), "uint8", {}), "expected integer codes (n, L)"),
        ("resize", ((6, 60), "uint8", {}), "expected images"),
        ("resize", ((6, 5, 6, 7), "uint8", {}), "expected images"),
        ("fold", ((6,), "uint8", {}), "expected numbers (n, d)"),
    ],
)
def test_a_name_that_cannot_be_had_is_an_option_error(
    make_target: MakeTarget,
    image_input: InputSpec,
    name: str,
    case: Case,
    words: str,
) -> None:
    shape, dtype, extra = case
    with pytest.raises(OptionError) as caught:
        choose(make_target(array(shape, dtype), **extra), image_input, None, name=name)
    assert words in str(caught.value)


@pytest.mark.parametrize("shape", [(6,), (6, 5, 16, 16), (6, 4, 4, 3), (6, 2, 3, 4, 5)])
def test_shapes_without_an_embedder_are_refused(
    make_target: MakeTarget, image_input: InputSpec, shape: tuple[int, ...]
) -> None:
    with pytest.raises(DataError, match="x has shape") as caught:
        choose(make_target(array(shape, "float32")), image_input, None)
    assert str(shape) in caught.value.got
    assert ("(n, 1)" if len(shape) == 1 else "--embedder fold") in caught.value.remedy


@pytest.mark.parametrize("name", ["auto", "resize", "fold", "spectrogram", "onehot"])
def test_strings_need_a_text_source(make_target: MakeTarget, image_input: InputSpec, name: str) -> None:
    strings = make_target(np.array(["a", "bc", "d"]))
    with pytest.raises(DataError, match="x holds strings, but the source takes image") as caught:
        choose(strings, image_input, None, name=name)
    assert "hf:roberta-base" in caught.value.remedy


def test_text_sources_need_a_tokenizer_for_strings_and_a_token_space_for_numbers(
    make_target: MakeTarget, text_input: InputSpec, token: TokenSpec
) -> None:
    strings = make_target(np.array(["a", "bc", "d"]))
    with pytest.raises(DataError, match="no tokenizer"):
        choose(strings, replace(text_input, tokenizer=None), token)
    with pytest.raises(DataError, match=r"strings of shape \(3, 2\)"):
        choose(make_target(np.array([["a", "b"]] * 2 + [["c", "d"]])), text_input, token)
    numbers = make_target(array((6, 16), "uint8"))
    for space in (None, replace(token, layout="grid")):
        with pytest.raises(DataError, match="no space of token sequences"):
            choose(numbers, text_input, space)
    with pytest.raises(OptionError, match="expected strings"):
        choose(numbers, text_input, token, name="tokens")
    with pytest.raises(OptionError, match="expected numbers"):
        choose(strings, text_input, token, name="fold")


def test_fitting_checks_the_choice_again(make_target: MakeTarget, image_input: InputSpec) -> None:
    with pytest.raises(GapkitError, match="expected integer codes"):
        fit(Choice(name="onehot", reason=""), make_target(array((6, 60), "float32")), image_input, None)
