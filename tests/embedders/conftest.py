"""Inputs of sources and small targets of every kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from gapkit.types import InputSpec, Target, TokenSpec

MakeTarget = Callable[..., Target]


@pytest.fixture
def image_input() -> InputSpec:
    """A source like the bundled one, with channels that differ."""
    return InputSpec(kind="image", shape=(3, 32, 32), mean=(0.5, 0.4, 0.3), std=(0.25, 0.2, 0.3))


@pytest.fixture
def plain_input() -> InputSpec:
    """RGB pictures that are not normalised: what comes out is in [0, 1]."""
    return InputSpec(kind="image", shape=(3, 32, 32))


@pytest.fixture
def grey_input() -> InputSpec:
    """One channel, not normalised."""
    return InputSpec(kind="image", shape=(1, 32, 32))


@pytest.fixture
def audio_input() -> InputSpec:
    """Half a second at 16 kHz."""
    return InputSpec(kind="audio", shape=(8000,), sample_rate=16000.0)


@pytest.fixture
def text_input() -> InputSpec:
    """Codes of the characters, 12 at most, padded with 0."""

    def tokenise(texts: Sequence[str]) -> np.ndarray:
        ids = np.zeros((len(texts), 12), dtype=np.int64)
        for row, text in zip(ids, texts, strict=True):
            row[: len(text)] = [ord(character) for character in text[:12]]
        return ids

    return InputSpec(kind="text", shape=(12,), tokenizer=tokenise)


@pytest.fixture
def token() -> TokenSpec:
    """A token space with moments of its own."""
    return TokenSpec(dim=24, max_len=16, mean=0.5, std=0.1)


@pytest.fixture
def make_target() -> MakeTarget:
    """A target of any array, its first two thirds in train."""

    def make(x: np.ndarray, **changes: object) -> Target:
        values = {"split": (np.arange(len(x)) >= 2 * len(x) // 3).astype(np.uint8), "name": "d.npz"} | changes
        return Target(x, np.arange(len(x)) % 2, **values)

    return make
