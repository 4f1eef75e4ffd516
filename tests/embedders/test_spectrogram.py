"""Log-mel pictures: filter bank, transform and pictures, each against its definition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import log

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gapkit.arrays import generator
from gapkit.embedders import choose, fit
from gapkit.embedders.mel import band_edges, filter_bank, hertz_of, mel_of
from gapkit.embedders.picture import Frame
from gapkit.embedders.spectrogram import (
    FLOOR_DECIBELS,
    Bands,
    Spectrogram,
    audible_frames,
    choose_bands,
    log_mel,
    pieces,
    power,
)
from gapkit.errors import DataError
from gapkit.types import InputSpec, Target

MakeTarget = Callable[..., Target]
RATE = 8000.0
FRAME = Frame(channels=3, height=32, width=32, mean=(), std=())


def spectrogram_for(target: Target, input: InputSpec) -> Spectrogram:
    """The fitted embedder."""
    embedder = fit(choose(target, input, None, name="spectrogram"), target, input, None)
    assert isinstance(embedder, Spectrogram)
    return embedder


def tone(hertz: float, *, seconds: float = 0.5, rate: float = RATE) -> np.ndarray:
    """A sine."""
    return np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


def noises(count: int, length: int = 4000) -> np.ndarray:
    """White noise of different loudness."""
    return generator(0).normal(size=(count, length)) * np.linspace(0.5, 2, count)[:, np.newaxis]


@given(st.floats(0, 24000))
def test_mels_are_linear_below_1000_hertz_and_logarithmic_above(hertz: float) -> None:
    mel = mel_of(np.array(hertz)).item()
    expected = 3 * hertz / 200 if hertz < 1000 else 15 + 27 * log(hertz / 1000) / log(6.4)
    assert mel == pytest.approx(expected, rel=1e-12)
    assert hertz_of(np.array(mel)).item() == pytest.approx(hertz, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("rate", "n_fft", "bands"), [(8000.0, 512, 32), (16000.0, 400, 20), (200.0, 64, 8)])
def test_the_filter_bank_is_a_row_of_triangles_of_area_one(rate: float, n_fft: int, bands: int) -> None:
    top = 3 * rate / 400 if rate < 2000 else 15 + 27 * log(rate / 2000) / log(6.4)
    corners = []
    for k in range(bands + 2):
        mel = top * k / (bands + 1)
        corners.append(200 * mel / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27))
    bank = filter_bank(rate, n_fft, bands)
    for band, (low, centre, high) in enumerate(zip(corners, corners[1:], corners[2:], strict=False)):
        for k in range(n_fft // 2 + 1):
            f = k * rate / n_fft
            side = (f - low) / (centre - low) if f <= centre else (high - f) / (high - centre)
            expected = 2 / (high - low) * side if low < f < high else 0.0
            assert bank[band, k] == pytest.approx(expected, abs=1e-9)


def test_power_is_that_of_the_windowed_fourier_sum() -> None:
    bands = Bands(sample_rate=RATE, window=16, hop=5, n_fft=32, bands=4)
    series = generator(0).normal(size=40)
    padded = np.pad(series, 16)
    window = np.pad(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(16) / 16), 8)
    ours = power(torch.from_numpy(series[np.newaxis].astype(np.float32)), bands)[0].numpy()
    assert ours.shape == (17, 9)
    for frame in range(9):
        for k in range(17):
            wave = np.exp(-2j * np.pi * k * np.arange(32) / 32)
            value = abs((padded[frame * 5 : frame * 5 + 32] * window * wave).sum()) ** 2 / (window**2).sum()
            assert ours[k, frame] == pytest.approx(value, rel=1e-3, abs=1e-4)


def test_power_over_all_bins_is_the_energy_under_the_window() -> None:
    bands = Bands(sample_rate=RATE, window=64, hop=64, n_fft=64, bands=4)
    series = generator(1).normal(size=640).astype(np.float32)
    ours = power(torch.from_numpy(series[np.newaxis]), bands)[0].numpy()
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(64) / 64)
    padded = np.pad(series, 32)
    both_sides = ours[0] + ours[-1] + 2 * ours[1:-1].sum(axis=0)
    for frame in range(1, 10):
        energy = ((padded[frame * 64 : (frame + 1) * 64] * window) ** 2).sum()
        assert both_sides[frame] / 64 == pytest.approx(energy / (window**2).sum(), rel=1e-4)


def test_white_noise_as_loud_as_train_is_at_zero_decibels_in_every_band() -> None:
    bands = choose_bands(RATE, 4000, FRAME)
    mel = log_mel(generator(0).normal(scale=7.0, size=(100, 4000)), bands, 7.0, average=False)
    means = (10 ** (mel[:, 0, :, 4:-4] / 10)).mean(dim=(0, 2))
    assert means[2:-1].min() > 0.9
    assert means[2:-1].max() < 1.1


@pytest.mark.parametrize("hertz", [150.0, 440.0, 1000.0, 2500.0, 3700.0])
def test_a_pure_tone_is_brightest_in_its_band_and_high_tones_are_above(
    make_target: MakeTarget, plain_input: InputSpec, hertz: float
) -> None:
    embedder = spectrogram_for(make_target(noises(9), sample_rate=RATE), plain_input)
    bands = embedder.bands
    edges = band_edges(RATE, bands.bands)
    loudest = int(log_mel(tone(hertz)[np.newaxis], bands, 1.0, average=False)[0, 0, :, 10].argmax())
    assert edges[loudest] < hertz < edges[loudest + 2]
    picture = embedder(tone(hertz)[np.newaxis])[0, 0, :, 4:-4]
    assert abs(int(picture.mean(dim=1).argmax()) - (bands.bands - 1 - loudest)) <= 1


def test_time_runs_from_left_to_right_and_silence_is_black(make_target: MakeTarget, plain_input: InputSpec) -> None:
    x = noises(9)
    x[:, 2000:] = 0.0
    out = spectrogram_for(make_target(x, sample_rate=RATE), plain_input)(x)
    assert out[:, :, :, :14].mean() > 0.4
    assert out[:, :, :, 20:].max() == 0.0


def test_silence_is_no_part_of_the_statistics(make_target: MakeTarget, plain_input: InputSpec) -> None:
    x = noises(9)
    padded = np.concatenate([x, np.zeros((9, 4000))], axis=1)
    bands = choose_bands(RATE, 8000, FRAME)
    decibels = log_mel(padded, bands, 1.0, average=False)
    frames = audible_frames(decibels)
    kept = sorted(map(tuple, frames.tolist()))
    expected = [
        tuple(decibels[i, 0, :, t].tolist())
        for i in range(9)
        for t in range(decibels.shape[-1])
        if any(value > FLOOR_DECIBELS for value in decibels[i, 0, :, t].tolist())
    ]
    assert kept == sorted(expected)
    assert 0 < len(kept) < 0.6 * 9 * decibels.shape[-1]


def test_the_picture_is_standardised_log_mel_power_upside_down(make_target: MakeTarget, image_input: InputSpec) -> None:
    x = noises(9, 4100)
    embedder = spectrogram_for(make_target(x, sample_rate=RATE), replace(image_input, shape=(3, 32, 32)))
    scale = np.sqrt((x[:6] ** 2).mean())
    assert embedder.scale == pytest.approx(scale, rel=1e-9)
    train = log_mel(x[:6], embedder.bands, scale, average=False).numpy()[:, 0].astype(np.float64)
    mean, std = train.mean(axis=(0, 2)), train.std(axis=(0, 2))
    np.testing.assert_allclose(embedder.mean[:, 0], mean, atol=1e-4)
    np.testing.assert_allclose(embedder.std[:, 0], std, rtol=1e-4)
    z = (log_mel(x, embedder.bands, scale, average=False).numpy()[:, 0] - mean[:, None]) / std[:, None]
    unit = torch.from_numpy((np.clip(z, -2, 2)[:, ::-1] + 2) / 4)[:, None].float()
    shown = torch.nn.functional.interpolate(unit, (32, 32), mode="bilinear", antialias=True)
    channels = [(shown - m) / s for m, s in zip(image_input.mean, image_input.std, strict=True)]
    torch.testing.assert_close(embedder(x), torch.cat(channels, dim=1), atol=1e-4, rtol=1e-4)


def test_the_unit_of_the_series_does_not_matter(make_target: MakeTarget, plain_input: InputSpec) -> None:
    x = noises(9)
    quiet, loud = (spectrogram_for(make_target(x * f, sample_rate=RATE), plain_input)(x * f) for f in (1e-30, 1e30))
    torch.testing.assert_close(quiet, loud, atol=1e-5, rtol=0)


def test_channels_are_colours_where_there_are_as_many_and_averaged_otherwise(
    make_target: MakeTarget, plain_input: InputSpec, grey_input: InputSpec
) -> None:
    low, high = noises(9), noises(9)[::-1]
    silent = np.zeros_like(low)
    three = np.stack([low, high, silent], axis=1)
    colours = spectrogram_for(make_target(three, sample_rate=RATE), plain_input)
    out = colours(three)
    assert out[:, 2].max() == 0.0
    assert (out[:, 0] - out[:, 1]).abs().max() > 0.1
    grey = spectrogram_for(make_target(three, sample_rate=RATE), grey_input)
    assert grey(three).shape == (9, 1, 32, 32)
    assert "power of 3 channels averaged" in grey.description
    each = [10 ** (log_mel(three[:, c], grey.bands, 1.0, average=False) / 10) for c in range(3)]
    mean = 10 ** (log_mel(three, grey.bands, 1.0, average=True) / 10)
    torch.testing.assert_close(mean, sum(each) / 3, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("rate", "length", "size"),
    [(8000.0, 8000, 32), (16000.0, 160000, 224), (1000.0, 64, 32), (44100.0, 1000, 224), (200.0, 5000, 32)],
)
def test_sizes_fill_the_picture_and_every_band_has_a_bin(rate: float, length: int, size: int) -> None:
    bands = choose_bands(rate, length, Frame(channels=3, height=size, width=size, mean=(), std=()))
    frames = 1 + length // bands.hop
    assert length / (length / size + 1) < frames <= size + 1  # the hop is rounded up by less than 1
    assert bands.window <= length
    assert bands.window.bit_count() == 1
    assert bands.window <= bands.n_fft <= 8 * bands.window
    assert bands.hop <= bands.window
    assert 8 <= bands.bands <= min(size, 128)
    assert (filter_bank(rate, bands.n_fft, bands.bands).sum(axis=1) > 0).all()


def test_a_long_batch_is_transformed_in_pieces() -> None:
    bands = choose_bands(16000.0, 160000, replace(FRAME, height=224, width=224))
    x = np.broadcast_to(np.float32(0), (500, 160000))
    sizes = [len(piece) for piece in pieces(x, bands)]
    assert sum(sizes) == 500
    assert max(sizes) * 225 * (bands.n_fft // 2 + 1) <= 1 << 22


def test_train_that_is_silent_is_refused(make_target: MakeTarget, plain_input: InputSpec) -> None:
    x = np.zeros((9, 400))
    x[8] = 1.0
    with pytest.raises(DataError, match="x is 0 in all train samples"):
        spectrogram_for(make_target(x, sample_rate=RATE), plain_input)
