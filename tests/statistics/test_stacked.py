"""Two arrays as one: the same rows as of their concatenation."""

from __future__ import annotations

import numpy as np

from gapkit.statistics.scaling import fit_scaling
from gapkit.statistics.stacked import StackedRows


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
