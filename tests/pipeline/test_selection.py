"""The draw of samples: sizes, proportions, seeds, bins."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gapkit.pipeline.options import MeasureOptions
from gapkit.pipeline.selection import select, strata, stratified_draw
from gapkit.types import Target


@given(st.lists(st.integers(1, 60), min_size=2, max_size=6), st.floats(0.1, 0.95), st.integers(0, 5))
def test_draw_has_the_size_and_every_class_its_share(counts: list[int], share: float, seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    size = max(len(counts), int(share * len(labels)))
    drawn = stratified_draw(labels, size, seed=seed)
    assert len(drawn) == len(set(drawn.tolist())) == size
    assert (np.diff(drawn) > 0).all()
    kept = np.bincount(labels[drawn], minlength=len(counts))
    assert kept.min() >= 1
    large = np.array(counts) * size / len(labels) >= len(counts)
    assert (np.abs(kept - np.array(counts) * size / len(labels))[large] <= len(counts)).all()


def test_draw_repeats_by_seed_and_differs_between_seeds() -> None:
    labels = np.arange(400) % 3
    first, again, other = (stratified_draw(labels, 60, seed=seed) for seed in (2, 2, 3))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_select_says_how_many_were_drawn() -> None:
    target = Target(np.arange(300.0).reshape(100, 3), np.arange(100) % 4)
    used, notes = select(target, MeasureOptions(max_samples=40))
    assert (len(used), np.bincount(used.y).tolist()) == (40, [10] * 4)
    assert notes[0].startswith("40 of 100 samples drawn")


def test_select_without_a_bound_keeps_everything_and_says_nothing() -> None:
    target = Target(np.arange(300.0).reshape(100, 3), np.arange(100) % 4)
    used, notes = select(target, MeasureOptions(max_samples=None))
    assert used is target
    assert notes == ()


def test_regression_becomes_bins_of_equal_size() -> None:
    y = np.random.default_rng(2).normal(size=200)
    used, notes = select(Target(y[:, None], y, task="regression"), MeasureOptions(n_bins=4))
    assert np.bincount(used.y).tolist() == [50] * 4
    assert all(y[used.y == code].max() < y[used.y == code + 1].min() for code in range(3))
    assert "4 classes" in notes[0]


def test_several_labels_are_drawn_by_the_rarest_one() -> None:
    indicators = np.zeros((1000, 3), dtype=int)
    indicators[:500, 0] = indicators[:100, 1] = indicators[900:920, 2] = 1
    target = Target(np.arange(2000.0).reshape(1000, 2), indicators)
    assert strata(target).tolist() == [1] * 100 + [0] * 400 + [3] * 400 + [2] * 20 + [3] * 80
    used, _ = select(target, MeasureOptions(max_samples=100))
    assert used.y.sum(axis=0).tolist() == [50, 10, 2]


def test_a_binned_target_keeps_its_values() -> None:
    target = Target(np.arange(60.0).reshape(30, 2), np.linspace(0, 1, 30), task="regression")
    used, _ = select(target, MeasureOptions(n_bins=3))
    assert used.values.tolist() == target.y.tolist()
    taken, _ = select(target, MeasureOptions(n_bins=3, max_samples=21))
    assert all(value in target.y for value in taken.values)
    assert len(taken.values) == 21
