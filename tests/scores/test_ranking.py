"""Ranks and Kendall's tau against scipy, and their intervals against worlds drawn anew."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gapkit.arrays import generator
from gapkit.scores.ranking import Candidates, agreement, draw_all, kendall_tau, rank_interval, ranks
from gapkit.statistics.jackknife import Jackknife

LISTS = st.lists(st.integers(0, 6), min_size=2, max_size=9)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(LISTS)
def test_ranks_are_those_of_scipy(values):
    given_values = np.array(values, dtype=np.float64)
    assert ranks(given_values) == pytest.approx(stats.rankdata(-given_values))


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=9))
def test_tau_is_that_of_scipy(pairs):
    first, second = np.array(pairs, dtype=np.float64).T
    expected = stats.kendalltau(first, second).statistic
    assert kendall_tau(first, second) == pytest.approx(expected, nan_ok=True)


def test_candidates_without_a_value_have_no_rank_and_take_no_part_in_tau():
    assert np.isnan(ranks(np.array([1.0, np.nan, 2.0]))).tolist() == [False, True, False]
    first = Candidates(values=np.array([1.0, np.nan, 2.0, 3.0]), jackknifes=[None] * 4, higher=True)
    second = Candidates(values=np.array([3.0, 5.0, 2.0, 1.0]), jackknifes=[None] * 4, higher=False)
    drawn = draw_all({"a": first, "b": second}, 100, seed=0)
    found = agreement(first, second, (drawn["a"], drawn["b"]))
    assert (found.value, found.interval, found.n) == (1.0, None, 3)  # nothing is known of how they vary
    assert rank_interval(first, drawn["a"]) == [None] * 4


def test_one_candidate_or_a_constant_score_has_no_tau():
    constant = Candidates(values=np.array([1.0, 1.0]), jackknifes=[None] * 2, higher=True)
    other = Candidates(values=np.array([1.0, 2.0]), jackknifes=[None] * 2, higher=True)
    drawn = np.ones((100, 2))
    assert agreement(constant, other, (drawn, drawn)).value is None
    lonely = Candidates(values=np.array([1.0]), jackknifes=[None], higher=True)
    assert agreement(lonely, lonely, (drawn[:, :1], drawn[:, :1])).n == 1


def test_shared_samples_make_an_order_surer_than_the_single_intervals():
    """Two means whose difference never varies: intervals overlap, ranks do not."""
    x = generator(0).normal(size=20)
    first, second = (Jackknife(value=shift, replicates=shift + (x - x.mean()) / 19) for shift in (0.0, 0.05))
    assert first.interval()[1] > second.interval()[0]
    both = Candidates(values=np.array([0.0, 0.05]), jackknifes=[first, second], higher=True)
    drawn = draw_all({"a": both}, 2000, seed=0)["a"]
    assert rank_interval(both, drawn) == [(2.0, 2.0), (1.0, 1.0)]


def test_the_interval_of_a_rank_holds_the_order_of_the_truth():
    rng, worlds, hits = generator(1), 300, 0
    truth = np.array([0.0, 0.1, 0.25])
    for _ in range(worlds):
        x = truth + rng.normal(size=(100, 3))
        blocks = np.arange(100) % 20
        columns = [
            Jackknife(value=float(column.mean()), replicates=np.array([column[blocks != b].mean() for b in range(20)]))
            for column in x.T
        ]
        found = Candidates(values=x.mean(axis=0), jackknifes=columns, higher=True)
        drawn = draw_all({"a": found}, 400, seed=0)["a"]
        spans = rank_interval(found, drawn)
        hits += sum(low <= place <= high for (low, high), place in zip(spans, (3, 2, 1), strict=True))
    assert hits / (3 * worlds) > 0.93


def test_values_that_differ_by_rounding_share_a_rank():
    goodness = np.array([2.0, 2.0000000000000004, 1.9999999999999998, 1.0])
    assert ranks(goodness).tolist() == [2.0, 2.0, 2.0, 4.0]
    assert np.isnan(kendall_tau(goodness[:3], np.array([1.0, 2.0, 3.0])))
    assert ranks(1e-300 * np.array([1.0, 2.0])).tolist() == [2.0, 1.0]
    assert ranks(np.array([0.0, 1e-300, np.nan]))[:2].tolist() == [2.0, 1.0]
