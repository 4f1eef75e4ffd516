"""Quantile bins of a regression target."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gapkit.errors import DataError, OptionError
from gapkit.statistics.binning import quantile_bins


@given(values=st.lists(st.integers(-5, 5), min_size=2, max_size=60), n_bins=st.integers(2, 12))
def test_codes_follow_edges(values, n_bins):
    y = np.array(values, dtype=float)
    if y.min() == y.max():
        return
    codes, edges = quantile_bins(y, n_bins)
    bins = len(edges) - 1
    assert 1 <= bins <= n_bins
    assert np.array_equal(np.unique(codes), np.arange(bins))
    assert (np.diff(edges) > 0).all()
    for value, code in zip(y, codes, strict=True):
        assert edges[code] <= value
        assert value < edges[code + 1] or (code == bins - 1 and value <= edges[-1])


def test_bins_are_of_equal_size_without_ties():
    codes, edges = quantile_bins(np.random.default_rng(0).permutation(1000).astype(float))
    assert np.bincount(codes).tolist() == [100] * 10
    assert edges[0] == 0
    assert edges[-1] == 999


def test_two_values_give_two_bins():
    codes, edges = quantile_bins(np.array([0.0] * 9 + [1.0]))
    assert codes.tolist() == [0] * 9 + [1]
    assert len(edges) == 3


@pytest.mark.parametrize("y", [np.ones(5), np.array([]), np.array([1.0, np.nan]), np.ones((3, 2))])
def test_unusable_targets_are_refused(y):
    with pytest.raises(DataError, match="regression target"):
        quantile_bins(y)


def test_one_bin_is_refused():
    with pytest.raises(OptionError, match="at least 2"):
        quantile_bins(np.arange(5.0), 1)
