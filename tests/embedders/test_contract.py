"""What holds for every embedder: one sample at a time, train statistics only, a key, frozen, no side effects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch

from gapkit.arrays import generator
from gapkit.embedders import choose, fit, training
from gapkit.types import Embedder, InputSpec, Target, TokenSpec

MakeTarget = Callable[..., Target]
N = 24
TRAIN = 16
IMAGE = InputSpec(kind="image", shape=(3, 24, 32), mean=(0.5, 0.4, 0.3), std=(0.25, 0.2, 0.3))
AUDIO = InputSpec(kind="audio", shape=(700,), sample_rate=4000.0)
TEXT = InputSpec(kind="text", shape=(16,))
ARRAY = InputSpec(kind="array", shape=(3, 7))
TOKEN = TokenSpec(dim=24, max_len=16, mean=0.5, std=0.1)
Case = tuple[str, InputSpec, np.ndarray, dict[str, object]]


def cases() -> dict[str, Case]:
    """An embedder's name, the source's input, the array and what the target knows about it."""
    rng = generator(3)
    photographs = rng.integers(0, 256, (N, 20, 17, 3)).astype(np.uint8)
    drawings = np.zeros((N, 20, 28), dtype=np.float32)
    drawings[:, 5:15, 5:15] = rng.normal(size=(N, 10, 10))
    vectors = rng.normal(4.0, 9.0, (N, 30))
    series = rng.normal(size=(N, 5, 40)).astype(np.float32)
    sounds = rng.integers(-9000, 9000, (N, 600)).astype(np.int16)
    codes = rng.integers(0, 4, (N, 50)).astype(np.uint8)
    rate: dict[str, object] = {"sample_rate": 8000.0}
    symbols: dict[str, object] = {"alphabet": ("A", "C", "G", "T")}
    return {
        "photographs": ("resize", IMAGE, photographs, {}),
        "drawings": ("resize", IMAGE, drawings, {}),
        "vectors": ("fold", IMAGE, vectors, {}),
        "series": ("fold", IMAGE, series, {}),
        "sounds": ("spectrogram", IMAGE, sounds, rate),
        "stereo": ("spectrogram", IMAGE, np.stack([sounds, np.roll(sounds, 1, axis=0)], axis=1), rate),
        "codes": ("onehot", IMAGE, codes, symbols),
        "heard sounds": ("waveform", AUDIO, sounds, rate),
        "heard vectors": ("waveform", AUDIO, vectors, {}),
        "read series": ("fold", TEXT, series, {}),
        "read codes": ("onehot", TEXT, codes, symbols),
        "array of vectors": ("fold", ARRAY, vectors, {}),
        "array of series": ("fold", ARRAY, series, {}),
    }


@pytest.fixture(params=cases())
def case(request: pytest.FixtureRequest) -> Case:
    """One after the other."""
    return cases()[request.param]


def fitted(case: Case, x: np.ndarray | None = None, **changes: object) -> Embedder:
    """The embedder of a case, for its own array or another one."""
    name, spec, own, extra = case
    values = {"split": (np.arange(N) >= TRAIN).astype(np.uint8)} | extra | changes
    target = Target(own if x is None else x, np.arange(N) % 2, **values)
    return fit(choose(target, spec, TOKEN, name=name), target, spec, TOKEN)


def test_what_comes_out_is_what_the_source_takes(case: Case) -> None:
    name, spec, x, _ = case
    embedder = fitted(case)
    out = embedder(x)
    assert embedder.name == name
    assert embedder.space == ("tokens" if spec is TEXT else "input")
    assert out.dtype == torch.float32
    assert out.shape[0] == N
    assert out.shape[1:] == spec.shape if spec is not TEXT else (out.shape[1] <= 16 and out.shape[2] == 24)
    assert out.isfinite().all()
    assert len(torch.unique(out.flatten(1), dim=0)) == N
    if spec is IMAGE:
        pictures = out * torch.tensor(spec.std).view(-1, 1, 1) + torch.tensor(spec.mean).view(-1, 1, 1)
        assert pictures.min() > -1e-5
        assert pictures.max() < 1 + 1e-5


def test_a_batch_is_embedded_as_its_samples_are(case: Case) -> None:
    x = case[2]
    embedder = fitted(case)
    together = embedder(x)
    torch.testing.assert_close(torch.cat([embedder(x[k : k + 1]) for k in range(N)]), together, atol=2e-5, rtol=1e-5)
    assert torch.equal(embedder(x), together)
    order = generator(0).permutation(N)
    torch.testing.assert_close(embedder(x[order]), together[order], atol=2e-5, rtol=1e-5)


def test_test_samples_change_no_statistic_and_train_samples_do(case: Case) -> None:
    x = case[2]
    embedder = fitted(case)
    changed = x.copy()
    changed[TRAIN:] = x[:1] // 3 if x.dtype.kind in "iu" else x[:1] * 1000 + 7
    assert fitted(case, changed).key == embedder.key
    if case[0] == "onehot" or x.dtype == np.uint8:
        return  # the scale of codes and of 8-bit pictures is that of the dtype
    changed = x.copy()
    changed[:TRAIN] = x[:TRAIN] // 2 if x.dtype.kind in "iu" else x[:TRAIN] * 2 + 1
    other = fitted(case, changed)
    assert other.key != embedder.key
    assert not torch.equal(other(x), embedder(x))


def test_without_a_split_all_samples_count_and_it_is_said(case: Case) -> None:
    embedder, without = fitted(case), fitted(case, split=None)
    assert "the 16 train samples" in embedder.description
    assert "all 24 samples" in without.description
    assert without.key == fitted(case, split=np.zeros(N, np.uint8)).key


def test_the_key_is_stable_and_knows_the_source(case: Case) -> None:
    name, spec, x, extra = case
    embedder = fitted(case)
    assert embedder.key == fitted(case, x.copy()).key
    assert embedder == fitted(case)
    assert hash(embedder) == hash(fitted(case))
    assert embedder.key.startswith(f"{name}-")
    shape = tuple(size + 4 for size in spec.shape)
    space = replace(TOKEN, dim=25)
    other = Target(x, np.arange(N) % 2, split=(np.arange(N) >= TRAIN).astype(np.uint8), **extra)
    resized = replace(spec, shape=shape)
    assert fit(choose(other, resized, space, name=name), other, resized, space).key != embedder.key


def test_statistics_do_not_depend_on_the_size_of_blocks(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    x = case[2]
    before = fitted(case)(x)
    monkeypatch.setattr(training, "BLOCK_BYTES", 3 * x[:1].nbytes)
    torch.testing.assert_close(fitted(case)(x), before, atol=1e-5, rtol=1e-5)


def test_samples_are_left_as_they_are_and_may_be_read_only(case: Case) -> None:
    x = case[2]
    kept = x.copy()
    x.setflags(write=False)
    embedder = fitted(case)
    embedder(x).add_(1.0)
    np.testing.assert_array_equal(x, kept)
    with pytest.raises(FrozenInstanceError):
        embedder.name = "other"  # pyright: ignore[reportAttributeAccessIssue]


def test_the_description_is_one_line_with_name_and_statistics(case: Case) -> None:
    description = fitted(case).description
    assert description.startswith(f"{case[0]}: ")
    assert "\n" not in description
    assert "statistics of" in description
    assert "nan" not in description
    assert "inf" not in description
