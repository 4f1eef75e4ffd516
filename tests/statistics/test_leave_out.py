"""States without one group against those that absorb what is left from the start, and how much they absorb."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapkit.statistics.leave_out import leave_out
from gapkit.statistics.totals import absorb_mean, absorb_totals, measure_totals


def absorb(found, index):
    """The samples that were absorbed, each time in ascending order."""
    assert len(index)
    assert (np.diff(index) > 0).all()
    return tuple(sorted((*found, *index.tolist())))


@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    ids=st.lists(st.integers(-1, 6), min_size=1, max_size=40), order=st.lists(st.integers(0, 6), min_size=1, max_size=9)
)
def test_every_other_sample_is_absorbed_once_whatever_the_order(ids, order):
    ids = np.array(ids)
    states = leave_out(ids, 7, (), absorb)
    for group in (*range(7), *order):
        assert states[group] == tuple(np.flatnonzero(ids != group))


@pytest.mark.parametrize(("groups", "times"), [(1, 0), (2, 1), (20, 5), (64, 6)])
def test_a_sample_is_absorbed_a_few_times_only_and_few_states_are_held(groups, times):
    absorbed = []
    states = leave_out(np.arange(groups), groups, 0, lambda state, index: absorbed.extend(index) or state)
    for group in range(groups):
        assert states[group] == 0
        assert len(states._path) <= times + 1
    assert np.bincount(absorbed, minlength=groups).max() <= times


def totals_without(features, ids, count):
    return leave_out(ids, count, None, partial(absorb_totals, features))


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize(("n", "d"), [(90, 7), (30, 12), (300, 1)])
def test_totals_are_those_of_what_is_left(n, d, scale):
    rng = np.random.default_rng([n, d])
    features, ids = scale * (rng.gamma(1.0, size=(n, d)) + 100), rng.permutation(n) % 5 - 1
    features[:, 0] = 0.1
    states = totals_without(features, ids, 4)
    for group in range(4):
        found, expected = states[group], measure_totals(features[ids != group])
        assert found.n == expected.n
        assert found.mean == pytest.approx(expected.mean, rel=1e-14)
        assert not found.scatter[0].any()
        for name in ("scatter", "cubes", "fourths"):
            value = getattr(expected, name)
            assert np.allclose(getattr(found, name), value, rtol=0, atol=1e-12 * np.abs(value).max())


@pytest.mark.parametrize("group", [0, 2, 4])
def test_an_outlier_that_is_left_out_takes_no_digit(group):
    rng = np.random.default_rng(0)
    features, ids = rng.normal(size=(100, 4)), np.arange(100) % 5
    features[group + 5] = 1e8
    found, expected = totals_without(features, ids, 5)[group], measure_totals(features[ids != group])
    mean = leave_out(ids, 5, None, partial(absorb_mean, features))[group]
    assert (mean.n, mean.value) == (expected.n, pytest.approx(expected.mean, rel=1e-12))
    assert found.scatter == pytest.approx(expected.scatter, rel=1e-12)
    assert found.fourths == pytest.approx(expected.fourths, rel=1e-12)


def test_the_totals_at_some_positions_are_those_of_a_copy():
    features, at = np.random.default_rng(0).normal(size=(50, 3)), np.array([3, 7, 8, 40])
    found, expected = measure_totals(features, at), measure_totals(features[at])
    assert found.scatter.tobytes() == expected.scatter.tobytes()
    assert (found.n, found.fourths) == (4, expected.fourths)
