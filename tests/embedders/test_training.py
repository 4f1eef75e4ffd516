"""Statistics of the train split: exact, in blocks, and of nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapkit.arrays import generator
from gapkit.embedders import training
from gapkit.errors import DataError
from gapkit.types import Target

MakeTarget = Callable[..., Target]


@settings(max_examples=50)
@given(st.integers(0, 1000), st.lists(st.integers(1, 7), min_size=1, max_size=5), st.floats(-1e7, 1e7))
def test_moments_of_parts_are_those_of_the_whole(seed: int, sizes: list[int], centre: float) -> None:
    parts = [generator(seed, k).normal(centre, 2.0, (size, 3, 4)) for k, size in enumerate(sizes)]
    whole = np.concatenate(parts)
    for axis, keep in (((0,), (3, 4)), ((0, 2), (3, 1)), ((0, 1, 2), (1, 1))):
        summary = training.summarise(iter(parts), axis=axis, name="d")
        assert summary.mean.shape == keep
        np.testing.assert_allclose(summary.mean.ravel(), whole.mean(axis=axis).ravel(), rtol=1e-12, atol=1e-9)
        np.testing.assert_allclose(summary.std.ravel(), whole.std(axis=axis).ravel(), rtol=1e-8, atol=1e-8)
        np.testing.assert_array_equal(summary.low.ravel(), whole.min(axis=axis).ravel())
        np.testing.assert_array_equal(summary.high.ravel(), whole.max(axis=axis).ravel())


def test_large_means_lose_no_digits() -> None:
    values = 1e9 + np.array([0.0, 1.0, 2.0, 3.0])[:, np.newaxis]
    summary = training.summarise([values[:2], values[2:]], axis=(0,), name="d")
    assert summary.std.item() == pytest.approx(np.sqrt(1.25), rel=1e-9)


def test_a_variance_that_overflows_is_refused() -> None:
    with pytest.raises(DataError, match=r"d\.npz: x has values up to 1e\+200, whose variance overflows"):
        training.summarise([np.array([[1e200], [-1e200]])], axis=(0,), name="d.npz")


def test_blocks_are_the_train_samples_in_order_and_skip_what_is_all_test(
    make_target: MakeTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "BLOCK_BYTES", 4 * 8)
    target = make_target(np.arange(12.0), split=np.array([1, 1, 1, 1, 0, 1, 0, 0, 1, 1, 1, 0]))
    blocks = list(training.train_blocks(target))
    assert [block.tolist() for block in blocks] == [[4.0, 6.0, 7.0], [11.0]]
    assert training.train_words(target) == "the 4 train samples"


@pytest.mark.parametrize("split", [None, np.ones(6, dtype=np.uint8)])
def test_without_train_samples_all_are_used_and_said(make_target: MakeTarget, split: np.ndarray | None) -> None:
    target = make_target(np.arange(6.0), split=split)
    assert np.concatenate(list(training.train_blocks(target))).tolist() == [0, 1, 2, 3, 4, 5]
    assert training.train_words(target) == "all 6 samples, for there is no train split"


def test_a_sample_is_evenly_spaced_train_rows(make_target: MakeTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    target = make_target(np.arange(30.0).reshape(15, 2))
    assert training.train_rows(target, limit=5).tolist() == [0, 2, 4, 6, 8]
    assert training.train_rows(target, limit=99).tolist() == list(range(10))
    assert training.train_words(target, used=5) == "5 evenly spaced of the 10 train samples"
    monkeypatch.setattr(training, "SAMPLE_VALUES", 8)
    assert training.train_sample(target, limit=99)[:, 0].tolist() == [0, 4, 10, 14]


def test_a_memory_map_is_read_block_by_block(
    make_target: MakeTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = generator(0).normal(size=(100, 10)).astype(np.float32)
    np.save(tmp_path / "x.npy", values)
    target = make_target(np.load(tmp_path / "x.npy", mmap_mode="r"), split=None)
    monkeypatch.setattr(training, "BLOCK_BYTES", 400)
    blocks = list(training.train_blocks(target))
    assert max(block.nbytes for block in blocks) <= 400
    summary = training.summarise(blocks, axis=(0,), name="d")
    np.testing.assert_allclose(summary.mean, values.astype(np.float64).mean(axis=0), atol=1e-12)
