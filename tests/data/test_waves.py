"""Folders of wav files: encodings, channels, rates, lengths, damaged files."""

from __future__ import annotations

import struct
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile

from gapkit.data import memory
from gapkit.data.load import ReadOptions, load_target
from gapkit.data.waves import resample

Refusal = Callable[..., Exception]


def tone(n: int, *, rate: int = 8000, hertz: float = 440.0) -> np.ndarray:
    """A sine at half of full scale, int16."""
    return (16384 * np.sin(2 * np.pi * hertz * np.arange(n) / rate)).astype(np.int16)


def save_wave(path: Path, values: np.ndarray, *, rate: int = 8000, width: int = 2) -> None:
    """Write PCM by the standard library: values (n,) or (n, channels), int16; other widths hold the same sounds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if width == 1:
        content = ((values.astype(np.int32) >> 8) + 128).astype(np.uint8).tobytes()
    elif width == 3:
        content = b"".join(struct.pack("<i", int(value) << 16)[1:] for value in values.reshape(-1))
    else:
        content = (values.astype(np.int64) << (8 * width - 16)).astype(f"<i{width}").tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if values.ndim == 1 else values.shape[1])
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(content)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_pcm_of_the_standard_library_is_read_back(tmp_path: Path, width: int) -> None:
    sounds = [tone(400), tone(400, hertz=1000.0)]
    for name, sound in zip("ab", sounds, strict=True):
        save_wave(tmp_path / name / "1.wav", sound, width=width)
    target = load_target(tmp_path)
    assert target.x.dtype == np.float32
    assert target.sample_rate == 8000.0
    assert target.class_names == ("a", "b")
    exact = [sound // 256 * 256 if width == 1 else sound for sound in sounds]
    assert np.array_equal(target.x * 32768, exact)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float_files_are_read_back(tmp_path: Path, dtype: type[np.floating]) -> None:
    sounds = [np.random.default_rng(i).normal(size=50).astype(dtype) for i in range(2)]
    for name, sound in zip("ab", sounds, strict=True):
        (tmp_path / name).mkdir()
        wavfile.write(tmp_path / name / "1.wav", 16000, sound)
    target = load_target(tmp_path)
    assert np.array_equal(target.x, np.array(sounds, np.float32))
    assert target.sample_rate == 16000.0


def test_stereo_becomes_the_mean(tmp_path: Path) -> None:
    left, right = tone(300), tone(300, hertz=900.0)
    save_wave(tmp_path / "a" / "1.wav", np.column_stack([left, right]))
    save_wave(tmp_path / "b" / "1.wav", left)
    target = load_target(tmp_path)
    assert np.allclose(target.x[0] * 32768, (left.astype(float) + right) / 2, atol=1e-3)
    assert np.array_equal(target.x[1] * 32768, left)
    assert "1 files: mean of their channels" in target.notes


def test_lengths_are_padded_and_trimmed_to_what_keeps_most_whole(tmp_path: Path) -> None:
    lengths = [100] * 10 + [120] * 29 + [500]
    for i, length in enumerate(lengths):
        save_wave(tmp_path / "ab"[i % 2] / f"{i:02}.wav", tone(length) + np.int16(i))
    target = load_target(tmp_path)
    assert target.x.shape == (40, 120)
    assert "length 120 samples: 10 files padded with zeros, 1 trimmed" in target.notes
    # sorted by class: a/00, a/02, ... so that the first five were padded
    assert (target.x[:5, 100:] == 0).all()
    assert np.array_equal(target.x[0, :100] * 32768, tone(100))
    assert np.array_equal(target.x[-1] * 32768, tone(120) + 39)


def test_other_rates_are_resampled_to_the_most_common_one(tmp_path: Path) -> None:
    for i, rate in enumerate([8000, 8000, 16000]):
        save_wave(tmp_path / "ab"[i % 2] / f"{i}.wav", tone(rate // 10, rate=rate), rate=rate)
    target = load_target(tmp_path)
    assert target.sample_rate == 8000.0
    assert target.x.shape == (3, 800)
    # a/0, a/2, b/1: the resampled tone equals the one that was made at this rate, away from the ends
    assert np.allclose(target.x[1, 50:-50] * 32768, tone(800)[50:-50], atol=100)
    assert "1 of 3 files resampled to 8000 Hz" in target.notes


def test_the_sample_rate_can_be_chosen(tmp_path: Path) -> None:
    for name in "ab":
        save_wave(tmp_path / name / "1.wav", tone(800, hertz=300.0 if name == "a" else 200.0))
    target = load_target(tmp_path, ReadOptions(sample_rate=4000.0))
    assert (target.sample_rate, target.x.shape) == (4000.0, (2, 400))
    assert np.allclose(target.x[0, 30:-30] * 32768, tone(400, rate=4000, hertz=300.0)[30:-30], atol=100)


def test_resampling_keeps_the_duration() -> None:
    for rate, wanted in ((44100.0, 16000.0), (8000.0, 44100.0), (22050.0, 8000.0)):
        series = np.zeros(int(rate), np.float32)
        assert abs(len(resample(series, rate, wanted)) - wanted) <= 1


def test_bad_wav_files_are_named(tmp_path: Path, refusal: Refusal) -> None:
    save_wave(tmp_path / "a" / "1.wav", tone(400))
    good = (tmp_path / "a" / "1.wav").read_bytes()
    no_rate = good[:24] + struct.pack("<II", 3, 6) + good[32:]
    for content, why in (
        (good[:-100], "truncated: declares 844 bytes and holds 744"),
        (good[:30], "truncated"),
        (b"", "b/bad.wav cannot be read"),
        (b"hello", "b/bad.wav cannot be read"),
        (no_rate, "sample rate 3 Hz"),
        (good[:20] + b"\x07\x00" + good[22:], "Unknown wave file format"),
        (good[:4] + struct.pack("<I", 28) + good[8:36], "b/bad.wav cannot be read"),
        (good[:4] + struct.pack("<I", 36) + good[8:40] + bytes(4), "b/bad.wav cannot be read"),
    ):
        (tmp_path / "b").mkdir(exist_ok=True)
        (tmp_path / "b" / "bad.wav").write_bytes(content)
        refusal(tmp_path, got=why, expected="a wav file with PCM", remedy="ffmpeg")


def test_a_stream_without_a_size_and_unknown_chunks_are_read(tmp_path: Path) -> None:
    save_wave(tmp_path / "a" / "1.wav", tone(400))
    good = (tmp_path / "a" / "1.wav").read_bytes()
    (tmp_path / "b").mkdir()
    extra = b"odd " + struct.pack("<I", 4) + b"abcd"
    (tmp_path / "b" / "1.wav").write_bytes(good[:4] + struct.pack("<I", len(good) + 4) + good[8:] + extra)
    (tmp_path / "b" / "2.wav").write_bytes(good[:4] + b"\xff\xff\xff\xff" + good[8:])
    assert np.array_equal(load_target(tmp_path).x * 32768, [tone(400)] * 3)


def test_waves_beyond_the_memory(tmp_path: Path, refusal: Refusal, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        save_wave(tmp_path / name / "1.wav", tone(400))
    words = {"got": "takes 0.000 GiB", "expected": "fits into memory", "remedy": "fewer samples"}
    monkeypatch.setattr(memory, "available_memory", lambda: 8 * 2 * 844 - 1)
    refusal(tmp_path, **words)
    # nine short files are padded to the length of one long file
    (tmp_path / "b" / "1.wav").unlink()
    for i in range(9):
        save_wave(tmp_path / "b" / f"{i}.wav", tone(10))
    monkeypatch.setattr(memory, "available_memory", lambda: 4 * 10 * 400)
    assert load_target(tmp_path).x.shape == (10, 400)
    monkeypatch.setattr(memory, "available_memory", lambda: 4 * 10 * 400 - 1)
    refusal(tmp_path, **words)


def test_images_beside_wav_files(tmp_path: Path, refusal: Refusal) -> None:
    (tmp_path / "a").mkdir()
    Image.new("L", (6, 6)).save(tmp_path / "a" / "1.png")
    save_wave(tmp_path / "b" / "1.wav", tone(100))
    refusal(tmp_path, got="has 1 images and 1 wav files", expected="one kind", remedy="move one kind")
