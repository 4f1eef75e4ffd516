"""Text sources: ids of strings, and numbers as tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import ceil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gapkit.arrays import generator
from gapkit.embedders import choose, fit
from gapkit.embedders.tokens import TextTokens, TokenFold, fit_token_fold
from gapkit.embedders.values import Standardised
from gapkit.types import InputSpec, Target, TokenSpec

MakeTarget = Callable[..., Target]


def test_strings_become_the_tokenizers_ids(make_target: MakeTarget, text_input: InputSpec) -> None:
    x = np.array(["ab", "what is it", "", "longer than twelve"])
    target = make_target(x)
    embedder = fit(choose(target, text_input, None), target, text_input, None)
    ids = embedder(x)
    assert (embedder.name, embedder.space, ids.dtype, ids.shape) == ("tokens", "input", torch.int64, (4, 12))
    assert ids[0].tolist() == [97, 98] + [0] * 10
    assert ids[3].tolist() == [ord(character) for character in "longer than "]


def test_another_tokenizer_has_another_key(make_target: MakeTarget, text_input: InputSpec) -> None:
    target = make_target(np.array(["ab", "c", "d"]))
    tokenise = text_input.tokenizer
    assert tokenise is not None

    def shifted(texts: Sequence[str]) -> np.ndarray:
        return tokenise(texts) + 1

    first, again, other = (
        fit(choose(target, spec, None), target, spec, None)
        for spec in (text_input, text_input, replace(text_input, tokenizer=shifted))
    )
    assert isinstance(first, TextTokens)
    assert first == again
    assert first.key != other.key


def test_numbers_are_cut_into_tokens_with_the_moments_of_the_source(
    make_target: MakeTarget, text_input: InputSpec
) -> None:
    token = TokenSpec(dim=24, max_len=16, mean=0.5, std=0.1)
    x = generator(0).normal([[3.0], [-1.0]], [[2.0], [0.1]], (90, 2, 30))
    target = make_target(x)
    embedder = fit(choose(target, text_input, token), target, text_input, token)
    assert isinstance(embedder, TokenFold)
    out = embedder(x).numpy()
    count, steps = embedder.count, embedder.steps
    assert (embedder.space, out.shape) == ("tokens", (90, count, 24))
    share = 2 * 30 / (count * 24)
    for i in (0, 5, 89):
        expected = np.full((count, 24), 0.5)
        for c in range(2):
            for t in range(30):
                z = np.clip((x[i, c, t] - x[:60, c].mean()) / x[:60, c].std(), -3, 3)
                expected[t // steps, c * steps + t % steps] += 0.1 * z / np.sqrt(share)
        np.testing.assert_allclose(out[i], expected, atol=1e-5)
    assert out[:60].mean() == pytest.approx(0.5, abs=0.005)
    assert out[:60].std() == pytest.approx(0.1, rel=0.03)


def test_codes_become_one_hot_tokens_with_the_moments_of_the_source(
    make_target: MakeTarget, text_input: InputSpec, token: TokenSpec
) -> None:
    x = generator(0).integers(0, 5, (300, 60)).astype(np.uint8)
    target = make_target(x, alphabet=("A", "C", "G", "T", "other"))
    embedder = fit(choose(target, text_input, token), target, text_input, token)
    assert embedder.name == "onehot"
    out = embedder(x).numpy()
    assert out.mean() == pytest.approx(0.5, abs=1e-5)
    assert out.std() == pytest.approx(0.1, rel=1e-4)
    assert len(np.unique(out.round(5))) == 3  # present, absent, padding


@settings(max_examples=100)
@given(
    st.integers(1, 40),
    st.integers(1, 300),
    st.integers(1, 64),
    st.one_of(st.none(), st.integers(1, 20)),
)
def test_tokens_keep_within_the_limits_and_lose_nothing_that_fits(
    channels: int, steps: int, dim: int, max_len: int | None
) -> None:
    token = TokenSpec(dim=dim, max_len=max_len)
    values = Standardised(
        layout="channels first", shape=(channels, steps), mean=np.zeros((channels, 1)), std=np.ones((channels, 1))
    )
    x = generator(channels, steps).uniform(-2, 2, (2, channels, steps)).astype(np.float32)
    embedder = fit_token_fold("fold", values, Target(x, [0, 1]), token)
    out = embedder(x)
    assert out.shape == (2, embedder.count, dim)
    assert max_len is None or embedder.count <= max_len
    wide = 1 if channels > dim else channels
    total = channels * steps // wide
    fits = max_len is None or ceil(total / (dim // wide)) <= max_len
    assert ("averaged" in embedder.description) == (not fits)
    if fits:
        filled = np.sort(np.abs(out.numpy().reshape(2, -1)), axis=1)[:, -channels * steps :]
        ratio = filled / np.sort(np.abs(x.reshape(2, -1)), axis=1)
        np.testing.assert_allclose(ratio, ratio[0, -1], rtol=1e-3)


def test_a_long_series_is_averaged_into_the_tokens_there_are(
    make_target: MakeTarget, text_input: InputSpec, token: TokenSpec
) -> None:
    x = generator(0).normal(size=(9, 1, 24 * 16 * 4))
    target = make_target(x)
    embedder = fit(choose(target, text_input, token), target, text_input, token)
    assert isinstance(embedder, TokenFold)
    assert (embedder.count, embedder.steps) == (16, 24)
    z = np.clip((x - x[:6].mean()) / x[:6].std(), -3, 3).reshape(9, 16, 24, 4).mean(axis=3)
    np.testing.assert_allclose(embedder(x).numpy(), 0.5 + 0.1 * z, atol=1e-5)
