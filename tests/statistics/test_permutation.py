"""Permutations within folds: what stays, what moves, and that every way to move is as likely."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapkit.statistics.folds import stratified_folds
from gapkit.statistics.permutation import ENOUGH_GROUPS, SIZE_RATIO, permutation_p, permute_labels


def counts_by_fold(labels, folds):
    return Counter(zip(folds.tolist(), labels.tolist(), strict=True))


def reachable(labels, folds, groups=None, *, draws=3000):
    """Every relabelling that is drawn, with how often."""
    drawn = permute_labels(labels, folds, groups=groups, permutations=draws, seed=1).labels[1:]
    return Counter(map(tuple, drawn.tolist()))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(30, 120), n_classes=st.integers(2, 6))
def test_class_counts_of_folds_stay(seed, n, n_classes):
    rng = np.random.default_rng(seed)
    labels = rng.integers(n_classes, size=n)
    labels[:10] = np.arange(10) % 2
    folds = stratified_folds(labels, 5, seed=seed).ids
    drawn = permute_labels(labels, folds, permutations=5, seed=seed).labels
    assert np.array_equal(drawn[0], labels)
    assert (drawn[:, folds == -1] == labels[folds == -1]).all()
    assert all(counts_by_fold(row, folds) == counts_by_fold(labels, folds) for row in drawn)
    assert len(np.unique(drawn, axis=0)) > 1


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.integers(2, 5))
def test_groups_whose_labels_vary_keep_their_labels(seed, size):
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(30), size))
    labels = rng.integers(3, size=len(groups))
    folds = stratified_folds(labels, 5, groups=groups, seed=seed).ids
    varies = np.array([len(np.unique(labels[groups == g])) > 1 for g in range(30)])
    for row in permute_labels(labels, folds, groups=groups, permutations=5, seed=seed).labels:
        assert counts_by_fold(row, folds) == counts_by_fold(labels, folds)
        for g in range(30):
            held = np.sort(row[groups == g])
            if varies[g]:
                assert np.array_equal(held, np.sort(labels[groups == g]))
            else:
                assert held[0] == held[-1]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), largest=st.integers(1, 40))
def test_groups_of_constant_label_trade_it_with_groups_of_about_their_size(seed, largest):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, largest + 1, size=60)
    own = rng.integers(2, size=60)
    groups = np.repeat(np.arange(60), sizes)
    labels = own[groups]
    folds = stratified_folds(labels, 5, groups=groups, seed=seed).ids
    fold_of = np.array([folds[groups == g][0] for g in range(60)])
    drawn = permute_labels(labels, folds, groups=groups, permutations=200, seed=seed)
    assert not drawn.reason
    after = np.array([[row[groups == g][0] for g in range(60)] for row in drawn.labels])
    assert np.array_equal(after[:, groups], drawn.labels)
    moved = (after != own).any(axis=0)
    assert moved.any()
    for g in np.flatnonzero(moved):
        ratio = sizes / sizes[g]
        near = (fold_of == fold_of[g]) & (ratio <= SIZE_RATIO) & (ratio >= 1 / SIZE_RATIO)
        assert (own[near] != own[g]).any()
    if largest == 1:
        assert all(counts_by_fold(row, folds) == counts_by_fold(labels, folds) for row in drawn.labels)


def test_enough_groups_of_one_size_trade_among_themselves():
    sizes = np.repeat([3, 4, 9], [ENOUGH_GROUPS, 2, 2])
    own = np.arange(len(sizes)) % 2
    groups = np.repeat(np.arange(len(sizes)), sizes)
    labels, folds = own[groups], np.zeros(sizes.sum(), dtype=np.int64)
    drawn = permute_labels(labels, folds, groups=groups).labels
    for size in (3, 4, 9):
        rows = drawn[:, sizes[groups] == size]
        assert (rows.sum(axis=1) == rows[0].sum()).all()
        assert len(np.unique(rows, axis=0)) > 1
    fewer = groups >= 1
    drawn = permute_labels(labels[fewer], folds[fewer], groups=groups[fewer]).labels
    held = drawn[:, sizes[groups[fewer]] == 4].sum(axis=1)
    assert len(np.unique(held)) > 1
    nine = drawn[:, sizes[groups[fewer]] == 9].sum(axis=1)
    assert (nine == 9).all()


@pytest.mark.parametrize("kind", ["samples", "varying", "constant", "mixed"])
def test_every_way_is_drawn_about_equally_often(kind):
    folds = np.repeat([0, 1], 6)
    labels, groups, expected = {
        "samples": (np.tile([0, 0, 1, 0, 1, 2], 2), None, 60 * 60),
        "varying": (np.tile([0, 0, 1, 0, 1, 1], 2), np.arange(12) // 3, 3**4),
        "constant": (np.tile([0, 0, 1, 1, 2, 2], 2), np.arange(12) // 2, 6 * 6),
        # Groups 0 and 3 vary; of the others, those of two samples trade, the single samples trade too.
        "mixed": (
            np.array([0, 1, 0, 0, 1, 1, 0, 1, 1, 0, 0, 1]),
            np.array([0, 0, 1, 1, 2, 2, 3, 3, 3, 4, 5, 6]),
            2 * 2 * 3 * 3,
        ),
    }[kind]
    draws = 100 * expected if expected < 1000 else 40 * expected
    drawn = reachable(labels, folds, groups, draws=draws)
    assert len(drawn) == expected
    mean = draws / expected
    chi_squared = sum((count - mean) ** 2 / mean for count in drawn.values())
    # Mean expected - 1, variance twice that: five standard deviations.
    assert abs(chi_squared - (expected - 1)) < 5 * np.sqrt(2 * (expected - 1))


def test_from_any_relabelling_the_same_ones_can_be_reached():
    groups = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 6, 6, 6])
    labels = np.array([0, 1, 0, 0, 1, 1, 0, 0, 1, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0])
    folds = np.zeros(len(labels), dtype=np.int64)
    ways = reachable(labels, folds, groups)
    for other in itertools.islice(ways, 5):
        shuffled = np.array(other)
        assert set(reachable(shuffled, folds, groups)) == set(ways)


def test_without_enough_ways_there_is_no_test():
    labels = np.repeat([0, 1], 10)
    groups = np.repeat([0, 1, 2, 3], 5)
    folds = np.tile(np.repeat([0, 1], 5), 2)
    one_group_of_each = permute_labels(labels, folds, groups=groups)
    # Fold 0 holds a group of class 0 and one of class 1, and so does fold 1: 2 x 2 ways.
    assert "4 ways" in one_group_of_each.reason
    single = permute_labels(labels, np.repeat([0, 1, 2, 3], 5), groups=groups)
    assert "1 way " in single.reason
    assert np.array_equal(single.labels, labels[None])
    assert not permute_labels(labels, folds).reason


def test_seed_decides():
    labels, folds = np.tile([0, 1], 30), np.repeat([0, 1], 30)
    first, second, third = (permute_labels(labels, folds, seed=seed).labels for seed in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, third)


def test_p_counts_the_observed_one_and_ties():
    null = np.array([0.1, 0.5, 0.5, 0.9])
    assert permutation_p(0.5, null) == pytest.approx(4 / 5)
    assert permutation_p(0.5 * (1 - 1e-7), null) == pytest.approx(4 / 5)
    assert permutation_p(0.05, null) == pytest.approx(1 / 5)
    assert permutation_p(1.0, null) == 1.0
