"""Audio sources and sources of arrays: resampling and interpolation against closed forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from gapkit.arrays import generator
from gapkit.embedders import choose, fit
from gapkit.embedders.waveform import Interpolated, Resampled
from gapkit.types import Embedder, InputSpec, Target

MakeTarget = Callable[..., Target]


def fitted(target: Target, input: InputSpec) -> Embedder:
    """The automatic choice."""
    return fit(choose(target, input, None), target, input, None)


def test_a_sine_is_the_same_sine_at_the_sources_rate(make_target: MakeTarget, audio_input: InputSpec) -> None:
    phases = np.linspace(0, 3, 9)[:, np.newaxis]
    x = 5 + 2 * np.sin(2 * np.pi * 300 * np.arange(4000) / 8000 + phases)
    embedder = fitted(make_target(x, sample_rate=8000.0), audio_input)
    assert isinstance(embedder, Resampled)
    expected = (5 + 2 * np.sin(2 * np.pi * 300 * np.arange(8000) / 16000 + phases) - embedder.mean) / embedder.std
    inside = slice(200, -200)
    np.testing.assert_allclose(embedder(x).numpy()[:, inside], expected[:, inside], atol=0.02)
    assert embedder.std == pytest.approx(np.sqrt(2), rel=1e-3)


def test_what_the_source_cannot_hear_is_filtered_out(make_target: MakeTarget, audio_input: InputSpec) -> None:
    phases = np.linspace(0, 3, 9)[:, np.newaxis]
    x = np.sin(2 * np.pi * 12000 * np.arange(8000) / 44100 + phases)
    embedder = fitted(make_target(x, sample_rate=44100.0), audio_input)
    out = embedder(x).numpy()
    assert out.shape == (9, 8000)
    assert np.abs(out[:, 100:2800]).max() < 0.02
    assert (out[:, 2903:] == 0).all()  # 8000 * 160 / 441 samples, then padding


@pytest.mark.parametrize("length", [3000, 8000, 9000])
def test_series_at_the_sources_rate_are_cut_or_padded_at_the_end(
    make_target: MakeTarget, audio_input: InputSpec, length: int
) -> None:
    x = generator(0).normal(3.0, 2.0, (9, length))
    out = fitted(make_target(x, sample_rate=16000.0), audio_input)(x).numpy()
    z = ((x - x[:6].mean()) / x[:6].std())[:, :8000]
    np.testing.assert_allclose(out[:, : z.shape[1]], z, atol=1e-5)
    assert (out[:, z.shape[1] :] == 0).all()


def test_channels_are_averaged_and_a_constant_series_is_silence(
    make_target: MakeTarget, audio_input: InputSpec
) -> None:
    x = generator(0).normal(size=(9, 2, 4000))
    stereo, mono = (fitted(make_target(part, sample_rate=16000.0), audio_input)(part) for part in (x, x.mean(axis=1)))
    torch.testing.assert_close(stereo, mono)
    constant = np.ones((9, 4000))
    constant[8] = 2.0
    assert fitted(make_target(constant, sample_rate=16000.0), audio_input)(constant).abs().max() == 0


@pytest.mark.parametrize("extra", [{}, {"sample_rate": 200.0}])
def test_numbers_without_one_time_axis_are_interpolated(
    make_target: MakeTarget, audio_input: InputSpec, extra: dict[str, float]
) -> None:
    x = generator(0).normal(2.0, 5.0, (9, 8, 20))
    embedder = fitted(make_target(x, **extra), audio_input)
    assert isinstance(embedder, Interpolated)
    mean, std = x[:6].mean(axis=(0, 2))[:, np.newaxis], x[:6].std(axis=(0, 2))[:, np.newaxis]
    rows = np.clip((x - mean) / std, -3, 3).reshape(9, 160)
    expected = [np.interp(np.linspace(0, 159, 8000), np.arange(160), row) for row in rows]
    np.testing.assert_allclose(embedder(x).numpy(), expected, atol=1e-5)


def test_a_source_without_a_rate_interpolates_too(make_target: MakeTarget, audio_input: InputSpec) -> None:
    x = generator(0).normal(size=(9, 100))
    embedder = fitted(make_target(x, sample_rate=8000.0), replace(audio_input, sample_rate=None))
    assert isinstance(embedder, Interpolated)


@pytest.mark.parametrize(
    ("shape", "source", "words"),
    [
        ((9, 12), (12,), "reshaped to 12"),
        ((9, 3, 8), (4, 6), "reshaped to 4x6"),
        ((9, 3, 8), (3, 15), "8 steps interpolated linearly to 15"),
        ((9, 12), (5,), "12 values in a row interpolated linearly to 5"),
        ((9, 3, 8), (2, 2, 5), "24 values in a row interpolated linearly to 2x2x5"),
    ],
)
def test_arrays_are_standardised_and_brought_to_the_sources_shape(
    make_target: MakeTarget, shape: tuple[int, ...], source: tuple[int, ...], words: str
) -> None:
    x = generator(0).normal(7.0, 3.0, shape)
    spec = InputSpec(kind="array", shape=source)
    embedder = fitted(make_target(x), spec)
    axis = 0 if len(shape) == 2 else (0, 2)
    z = np.clip((x - x[:6].mean(axis=axis, keepdims=True)) / x[:6].std(axis=axis, keepdims=True), -3, 3)
    out = embedder(x).numpy()
    assert out.shape == (9, *source)
    assert words in embedder.description
    if "reshaped" in words:
        np.testing.assert_allclose(out, z.reshape(9, *source), atol=1e-5)
    elif "steps" in words:
        expected = [[np.interp(np.linspace(0, 7, 15), np.arange(8), row) for row in rows] for rows in z]
        np.testing.assert_allclose(out, expected, atol=1e-5)
    else:
        assert out.reshape(9, -1).mean(axis=1) == pytest.approx(z.reshape(9, -1).mean(axis=1), abs=0.3)


def test_codes_for_a_source_of_arrays_are_one_hot_and_standardised(make_target: MakeTarget) -> None:
    x = generator(0).integers(0, 4, (9, 10))
    spec = InputSpec(kind="array", shape=(4, 10))
    out = fitted(make_target(x, alphabet=("A", "C", "G", "T")), spec)(x).numpy()
    onehot = np.eye(4)[x].swapaxes(1, 2)
    np.testing.assert_allclose(out, (onehot - 0.25) / np.sqrt(0.25 * 0.75), atol=1e-5)
