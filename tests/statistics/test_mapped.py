"""Functions of rows, kept or computed again: the same rows, and no more memory than is said."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from gapkit.scores.gbc import gbc
from gapkit.scores.leep import leep
from gapkit.scores.sfda import sfda
from gapkit.statistics import mapped
from gapkit.statistics.mapped import MappedRows


@pytest.fixture(params=["kept", "again"])
def rows(request, monkeypatch):
    """Squares of 40 rows, in blocks of three."""
    monkeypatch.setattr(mapped, "HELD", 1 << 20 if request.param == "kept" else 0)
    monkeypatch.setattr(mapped, "CACHED", 3 * 8 * 4)
    return MappedRows(rows=np.arange(160.0).reshape(40, 4), width=4, function=np.square)


def test_blocks_are_the_function_of_the_rows(rows):
    whole = np.square(rows.rows)
    places, found = zip(*rows, strict=True)
    assert [len(block) for block in found] == [3] * 13 + [1]
    assert np.array_equal(np.concatenate(found), whole)
    assert all(np.array_equal(block, whole[place]) for place, block in zip(places, found, strict=True))
    assert [len(block) for _, block in rows.by(16 * 8 * 4)] == [16, 16, 8]
    index = np.array([7, 0, 7])
    assert np.array_equal(rows.take(index), whole[index])


def test_class_sums_are_those_of_the_function(rows):
    codes, centre = np.arange(40) % 3, np.full(4, 0.5)
    whole = np.square(rows.rows)
    for middle in (None, centre):
        moved = whole if middle is None else whole - middle
        expected = np.stack([moved[codes == code].sum(axis=0) for code in range(3)])
        assert rows.class_sums(codes, 3, middle) == pytest.approx(expected, rel=1e-14)


def test_rows_as_they_are_are_not_copied():
    given = np.ones((5, 2))
    rows = MappedRows(rows=given, width=2)
    assert all(np.shares_memory(block, given) for _, block in rows)


@pytest.mark.parametrize("held", [0, 1 << 20])
def test_blocks_are_no_larger_than_what_is_read_for_them(held, monkeypatch):
    monkeypatch.setattr(mapped, "HELD", held)
    given, seen = np.arange(400.0).reshape(40, 10), []
    direct = MappedRows(rows=given, width=1, function=lambda rows: seen.append(len(rows)) or rows[:, :1])
    indirect = MappedRows(
        rows=np.arange(40), width=1, function=lambda index: seen.append(len(index)) or given[index, :1], reads=10
    )
    for rows in (direct, indirect):
        assert np.array_equal(np.concatenate([block for _, block in rows.by(80 * 4)]), given[:, :1])
        assert rows.broadest == (1 if held else 10)
    assert max(seen) == (40 if held else 4)  # 40 of ten numbers each fit into a block of the cache's size


def labelled(n, width):
    rng = np.random.default_rng(0)
    labels = rng.integers(4, size=n)
    return rng.normal(size=(n, width)) + np.eye(4, width)[labels], labels


@pytest.mark.parametrize("shape", [(300, 12), (40, 60)])
def test_scores_do_not_depend_on_what_is_kept(shape, monkeypatch):
    features, labels = labelled(*shape)
    probs = np.exp(features) / np.exp(features).sum(axis=1, keepdims=True)
    scores = {leep: probs, gbc: features, sfda: features}
    kept = [score(given, labels) for score, given in scores.items()]
    kept.append(gbc(features, labels, covariance="diagonal", components=3))
    monkeypatch.setattr(mapped, "HELD", 0)
    monkeypatch.setattr(mapped, "CACHED", 2000)
    again = [score(given, labels) for score, given in scores.items()]
    again.append(gbc(features, labels, covariance="diagonal", components=3))
    assert again == pytest.approx(kept, rel=1e-12)


@pytest.mark.parametrize("score", [leep, gbc, sfda])
def test_memory_beyond_the_features_does_not_grow_with_them(score, monkeypatch):
    """Labels and some numbers for each sample are left: less than a tenth of the features."""
    monkeypatch.setattr(mapped, "HELD", 0)
    width, sizes, peaks = 512, (4000, 16_000), []
    for n in sizes:
        features, labels = labelled(n, width)
        given = np.abs(features) / np.abs(features).sum(axis=1, keepdims=True) if score is leep else features
        tracemalloc.start()
        score(given, labels)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 0.1 * (sizes[1] - sizes[0]) * width * 8
