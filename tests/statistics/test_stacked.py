"""Rows without a copy of them: those of an array at some positions, those of two arrays as of one."""

from __future__ import annotations

import numpy as np
import pytest

from gapkit.statistics import stacked
from gapkit.statistics.scaling import fit_scaling, power_of_two
from gapkit.statistics.stacked import ChosenRows, StackedRows, column_ends, column_means, row_blocks, take_rows


def test_rows_are_those_of_one_array_in_order():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(7, 3)), 5 + rng.normal(size=(4, 3))
    order = rng.permutation(11)
    rows, whole = StackedRows(first=first, second=second, order=order), np.concatenate([first, second])[order]
    assert rows.shape == whole.shape
    assert len(rows) == 11
    for index in (np.arange(11), np.array([3, 0, 3]), np.zeros(0, dtype=np.int64)):
        assert np.array_equal(rows[index], whole[index])
    index = np.array([1, 4, 9, 2])
    assert fit_scaling(rows, index).spread.tolist() == fit_scaling(whole, index).spread.tolist()


@pytest.fixture
def chosen():
    """Rows that are read by their places, and a copy of them."""
    rng = np.random.default_rng(1)
    rows, index = rng.normal(size=(30, 4)), rng.permutation(30)[:17]
    return ChosenRows(rows=rows, index=index), rows[index]


def test_chosen_rows_are_read_as_those_of_an_array(chosen):
    rows, whole = chosen
    assert (rows.shape, len(rows), rows.itemsize) == (whole.shape, len(whole), whole.itemsize)
    assert np.array_equal(np.asarray(rows), whole)
    for place in (0, -1, slice(3, 9), slice(None), np.array([5, 5, 2])):
        assert np.array_equal(rows[place], whole[place])
    assert [block.tolist() for block in row_blocks(rows, nbytes=5 * 32)] == [
        whole[start : start + 5].tolist() for start in range(0, 17, 5)
    ]


def test_columns_of_chosen_rows(chosen):
    rows, whole = chosen
    assert column_means(rows) == pytest.approx(whole.mean(axis=0))
    for found, right in zip(column_ends(rows), (whole.min(axis=0), whole.max(axis=0)), strict=True):
        assert found.tolist() == right.tolist()
    huge = ChosenRows(rows=1e100 * rows.rows, index=rows.index)
    assert power_of_two(huge) == power_of_two(1e100 * whole) > 1
    assert power_of_two(rows) == 1


def test_many_rows_are_taken_without_a_copy(chosen, monkeypatch):
    rows, whole = chosen
    index = np.array([9, 2, 2, 0, 11, 4])
    assert isinstance(take_rows(whole, index), np.ndarray)
    monkeypatch.setattr(stacked, "HELD", len(index) * 32 - 1)
    for given in (rows, whole):
        taken = take_rows(given, index)
        assert isinstance(taken, ChosenRows)
        assert taken.rows is (whole if given is whole else rows.rows)
        assert np.array_equal(np.asarray(taken), whole[index])
        again = take_rows(taken, np.array([5, 1, 0, 3, 3]))
        assert np.array_equal(np.asarray(again), whole[index[[5, 1, 0, 3, 3]]])
    few = take_rows(rows, index[:4])  # no more than there are columns
    assert isinstance(few, np.ndarray)


def test_two_sides_of_which_one_is_chosen(chosen):
    rows, whole = chosen
    second, order = np.ones((2, 4)), np.random.default_rng(2).permutation(19)
    stack = StackedRows(first=rows, second=second, order=order)
    assert np.array_equal(stack[np.arange(19)], np.concatenate([whole, second])[order])
