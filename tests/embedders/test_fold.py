"""Vectors, series and codes in a grid, against loops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import ceil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gapkit.arrays import generator
from gapkit.embedders import choose, fit
from gapkit.embedders.fold import Fold
from gapkit.embedders.grid import change_length, fold_rows, piece_length
from gapkit.embedders.picture import enlarge
from gapkit.embedders.values import OneHot, Standardised
from gapkit.errors import DataError
from gapkit.types import InputSpec, Target

MakeTarget = Callable[..., Target]


def fold_for(target: Target, input: InputSpec, name: str = "auto") -> Fold:
    """The fitted embedder."""
    embedder = fit(choose(target, input, None, name=name), target, input, None)
    assert isinstance(embedder, Fold)
    return embedder


def test_vectors_are_standardised_by_train_and_folded_row_by_row(
    make_target: MakeTarget, image_input: InputSpec
) -> None:
    x = generator(0).normal(5.0, [1.0, 10.0, 0.1] * 5, (30, 15))
    out = fold_for(make_target(x), image_input)(x).numpy()
    train = x[:20]
    for sample, picture in zip(x, out, strict=True):
        grid = np.full((4, 4), 0.5)
        for k in range(15):
            z = (sample[k] - train[:, k].mean()) / train[:, k].std()
            grid[k // 4, k % 4] = (min(max(z, -3), 3) + 3) / 6
        blocks = np.kron(grid, np.ones((8, 8)))
        for channel in range(3):
            expected = (blocks - image_input.mean[channel]) / image_input.std[channel]
            np.testing.assert_allclose(picture[channel], expected, atol=1e-5)


def test_series_are_standardised_per_channel_and_cut_into_stacked_pieces(
    make_target: MakeTarget, plain_input: InputSpec
) -> None:
    x = generator(1).normal([[0.0], [100.0]], [[1.0], [20.0]], (12, 2, 30))
    embedder = fold_for(make_target(x), plain_input)
    rows, columns = embedder.grid
    assert (rows, columns) == (8, 8)
    values = embedder.values(x)
    grids = fold_rows(values, columns, padding=0.0)
    for i in range(12):
        for c in range(2):
            for t in range(32):
                z = 0.0
                if t < 30:
                    z = np.clip((x[i, c, t] - x[:8, c].mean()) / x[:8, c].std(), -3, 3)
                assert grids[i, (t // 8) * 2 + c, t % 8] == pytest.approx(z, abs=1e-5)
    np.testing.assert_allclose(embedder(x).numpy()[:, 1], np.kron((grids + 3) / 6, np.ones((4, 4))), atol=1e-6)


def test_the_shorter_axis_holds_the_channels_unless_there_is_a_sample_rate(
    make_target: MakeTarget, plain_input: InputSpec
) -> None:
    x = generator(1).normal(size=(12, 9, 40)).astype(np.float32)
    first = fold_for(make_target(x), plain_input)
    last = fold_for(make_target(x.swapaxes(1, 2)), plain_input)
    torch.testing.assert_close(first(x), last(x.swapaxes(1, 2)))
    assert "channels last" in last.description
    rated = fold_for(make_target(x.swapaxes(1, 2), sample_rate=100.0), plain_input)
    assert rated.values.shape == (40, 9)


def test_a_series_with_a_rate_has_one_mean_and_a_vector_one_for_each_feature(
    make_target: MakeTarget, plain_input: InputSpec
) -> None:
    x = generator(1).normal(np.arange(25.0), 1.0, (12, 25))
    vector, series = (fold_for(make_target(x, sample_rate=rate), plain_input).values for rate in (None, 100.0))
    assert isinstance(vector, Standardised)
    assert isinstance(series, Standardised)
    np.testing.assert_allclose(vector.mean, x[:8].mean(axis=0, keepdims=True))
    np.testing.assert_allclose(series.mean, [[x[:8].mean()]])
    np.testing.assert_allclose(series.std, [[x[:8].std()]])


def test_a_feature_that_is_constant_in_train_is_the_mean_whatever_comes(
    make_target: MakeTarget, plain_input: InputSpec
) -> None:
    x = generator(0).normal(size=(30, 16)).astype(np.float32)
    x[:20, 5] = 0.1  # its mean has a rounding error in float64
    x[20:, 5] = 7.0
    embedder = fold_for(make_target(x), plain_input)
    assert (embedder.values(x)[:, 0, 5] == 0).all()
    assert np.isfinite(embedder(x).numpy()).all()
    assert "1 constant" in embedder.description


def test_a_grid_that_is_larger_than_the_picture_is_averaged_and_drops_nothing() -> None:
    grid = torch.zeros(1, 1, 96, 32)
    grid[0, 0, 50, 7] = 32.0
    shrunk = enlarge(grid, (32, 32))
    assert shrunk[0, 0, :, 7].sum() == pytest.approx(32.0 / 3, rel=1e-3)
    assert shrunk[0, 0, :, 8].abs().sum() == 0
    wide = enlarge(torch.ones(1, 1, 96, 4), (32, 32))
    torch.testing.assert_close(wide, torch.ones(1, 1, 32, 32))


@pytest.mark.parametrize("cells", [3, 4, 5, 12, 31, 32])
def test_cells_become_blocks_of_their_nearest_centre(cells: int) -> None:
    values = torch.arange(cells, dtype=torch.float32).view(1, 1, 1, cells)
    centres = (np.arange(32) + 0.5) * cells / 32
    expected = [int(centre) for centre in centres]
    assert enlarge(values, (32, 32))[0, 0, 17].tolist() == expected
    assert set(expected) == set(range(cells))


@given(st.integers(1, 12), st.integers(1, 400))
def test_the_grid_is_the_squarest_there_is(channels: int, steps: int) -> None:
    def badness(length: int) -> float:
        return abs(np.log(channels * ceil(steps / length) / length))

    length = piece_length(channels, steps)
    assert 1 <= length <= steps
    assert badness(length) <= min(badness(ceil(steps / count)) for count in range(1, steps + 1)) + 1e-6


@settings(max_examples=50)
@given(st.integers(1, 4), st.integers(1, 30), st.integers(0, 9))
def test_folding_keeps_every_value_once(channels: int, steps: int, seed: int) -> None:
    length = generator(seed).integers(1, steps + 1)
    values = generator(seed, 1).random((2, channels, steps)).astype(np.float32)
    grid = fold_rows(values, int(length), padding=-1.0)
    assert sorted(grid[grid >= 0]) == sorted(values.ravel())
    assert (grid == -1).sum() == 2 * channels * (ceil(steps / length) * length - steps)


@settings(max_examples=60)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 9))
def test_lengths_change_by_interpolation_or_by_averages(steps: int, length: int, seed: int) -> None:
    row = generator(seed).normal(size=steps).astype(np.float32)
    out = change_length(row.reshape(1, 1, -1), length)[0, 0]
    if length >= steps:
        expected = np.interp(np.linspace(0, steps - 1, length), np.arange(steps), row)
    else:  # averages over bins, on a grid that both lengths divide
        expected = np.repeat(row.astype(np.float64), length).reshape(length, steps).mean(axis=1)
    np.testing.assert_allclose(out, expected, atol=1e-5)


def test_codes_become_one_row_for_each_symbol(make_target: MakeTarget, plain_input: InputSpec) -> None:
    x = generator(0).integers(0, 5, (9, 60)).astype(np.uint8)
    target = make_target(x, alphabet=("A", "C", "G", "T", "other"))
    embedder = fold_for(target, plain_input)
    assert isinstance(embedder.values, OneHot)
    assert embedder.grid == (15, 20)
    out = embedder(x).numpy()
    for i in range(9):
        grid = np.zeros((15, 20))
        for t in range(60):
            grid[t // 20 * 5 + x[i, t], t % 20] = 1
        rows = [grid[int((r + 0.5) * 15 / 32), int((c + 0.5) * 20 / 32)] for r in range(32) for c in range(32)]
        np.testing.assert_array_equal(out[i, 0].ravel(), rows)
    assert "5 symbols (A C G T other)" in embedder.description


def test_codes_beyond_the_alphabet_are_refused_in_train_and_absent_later(
    make_target: MakeTarget, plain_input: InputSpec
) -> None:
    x = np.zeros((9, 16), dtype=np.int64)
    x[:, 3] = 1
    x[8, 0] = 7
    target = make_target(x, alphabet=("a", "b"))
    values = fold_for(target, plain_input).values
    assert values(x)[8, :, 0].tolist() == [0.0, 0.0]
    assert values(x)[8, :, 3].tolist() == [0.0, 1.0]
    for bad, words in ((7, "from 0 to 7"), (-1, "from -1 to 1")):
        x[0, 0] = bad
        broken = replace(target, x=x.copy())
        with pytest.raises(DataError, match=words):
            fold_for(broken, plain_input)


def test_codes_without_an_alphabet_are_counted_in_train(make_target: MakeTarget, plain_input: InputSpec) -> None:
    x = generator(0).integers(0, 3, (9, 16))
    x[0, 0], x[8, 0] = 2, 6
    assert fold_for(make_target(x), plain_input, "onehot").values.shape == (3, 16)
    x[0, 0] = 1000
    with pytest.raises(DataError, match="at most 256 symbols"):
        fold_for(make_target(x), plain_input, "onehot")
