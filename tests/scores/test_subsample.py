"""Subsamples: their sizes, the classes in them, and what they do not depend on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapkit.scores.subsample import canonical_order, subsample, subsample_pair, swaps_sides


def sorted_rows(array):
    return array[np.lexsort(array.T)]


def rotation(rng, d):
    return np.linalg.qr(rng.normal(size=(d, d)))[0]


@settings(derandomize=True, deadline=None, max_examples=20)
@given(n=st.integers(1, 60), limit=st.integers(1, 70), seed=st.integers(0, 99))
def test_positions_are_sorted_distinct_and_as_many_as_asked_for(n, limit, seed):
    drawn = subsample(n, limit, seed=seed, stream=3)
    assert len(drawn) == min(n, limit)
    assert (np.diff(drawn) > 0).all()
    assert drawn[0] >= 0
    assert drawn[-1] < n


def test_every_position_is_as_likely_and_pairs_are_too():
    drawn = np.zeros((4000, 6))
    for seed, row in enumerate(drawn):
        row[subsample(6, 3, seed=seed, stream=0)] = 1
    assert np.abs(drawn.mean(axis=0) - 1 / 2).max() < 5 * np.sqrt(0.25 / 4000)
    together = (drawn.T @ drawn / 4000)[np.triu_indices(6, 1)]
    assert np.abs(together - 1 / 5).max() < 5 * np.sqrt(0.16 / 4000)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(
    counts=st.lists(st.integers(1, 60), min_size=1, max_size=30), share=st.floats(0.05, 0.95), seed=st.integers(0, 99)
)
def test_classes_keep_their_shares_to_one_place(counts, share, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    limit = max(1, int(share * len(labels)))
    held = np.bincount(labels[subsample(len(labels), limit, seed=seed, stream=0, labels=labels)], minlength=len(counts))
    assert held.sum() == limit
    assert (np.abs(held - np.array(counts) * limit / len(labels)) < 1 + 1e-9).all()


def test_many_small_classes_do_not_push_out_the_large_ones():
    labels = np.concatenate([np.repeat(np.arange(10), 400), 10 + np.arange(1000)])
    large = [np.mean(labels[subsample(5000, 300, seed=seed, stream=0, labels=labels)] < 10) for seed in range(20)]
    assert np.allclose(large, 0.8, atol=0.01)


def test_renamed_classes_give_the_same_positions():
    labels = np.random.default_rng(0).integers(4, size=90)
    drawn = subsample(90, 20, seed=1, stream=0, labels=labels)
    assert drawn.tolist() == subsample(90, 20, seed=1, stream=0, labels=np.array([7, 0, 3, 1])[labels]).tolist()


def test_members_of_a_class_are_all_as_likely():
    labels = np.repeat([0, 1], [4, 8])
    drawn = np.zeros(12)
    for seed in range(3000):
        drawn[subsample(12, 6, seed=seed, stream=0, labels=labels)] += 1 / 3000
    assert np.abs(drawn - 1 / 2).max() < 5 * np.sqrt(0.25 / 3000)


def test_other_seeds_and_streams_draw_other_samples():
    drawn = {tuple(subsample(50, 25, seed=seed, stream=stream)) for seed in range(3) for stream in range(3)}
    assert len(drawn) == 9


@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6))
def test_the_canonical_order_does_not_depend_on_the_order_nor_on_the_axes(seed):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(40, 3))
    features[7] = features[30]
    expected = features[canonical_order(features)]
    shuffled = rng.permutation(features)
    assert np.array_equal(shuffled[canonical_order(shuffled)], expected)
    moved = 1e3 * (features @ rotation(rng, 3)) + 50.0
    assert np.array_equal(features[canonical_order(moved)], expected)


def test_samples_at_one_distance_from_the_mean_are_still_told_apart():
    corners = np.array(np.meshgrid([-1.0, 1.0], [-1.0, 1.0], [-1.0, 1.0])).reshape(3, -1).T
    expected = corners[canonical_order(corners)]
    for seed in range(20):
        shuffled = np.random.default_rng(seed).permutation(corners)
        assert np.array_equal(shuffled[canonical_order(shuffled)], expected)


def test_constant_features_have_an_order_too():
    assert sorted(canonical_order(np.full((4, 2), 3.0))) == [0, 1, 2, 3]


@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), m=st.sampled_from([20, 30, 45]))
def test_a_pair_is_drawn_alike_whatever_its_order_its_sides_and_its_axes(seed, m):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(30, 3)), 2 + 1.5 * rng.normal(size=(m, 3))
    drawn = subsample_pair(x, y, 25, seed=seed)
    assert [len(side) for side in drawn] == [25, min(m, 25)]
    assert all(set(map(tuple, side)) <= set(map(tuple, whole)) for side, whole in zip(drawn, (x, y), strict=True))
    shuffled = subsample_pair(rng.permutation(x), rng.permutation(y), 25, seed=seed)
    changed = subsample_pair(y, x, 25, seed=seed)[::-1]
    turn = rotation(rng, 3)
    turned = subsample_pair(x @ turn + 5, y @ turn + 5, 25, seed=seed)
    for side in range(2):
        expected = sorted_rows(drawn[side])
        assert np.array_equal(sorted_rows(shuffled[side]), expected)
        assert np.array_equal(sorted_rows(changed[side]), expected)
        assert sorted_rows((turned[side] - 5) @ turn.T) == pytest.approx(expected)


def test_two_sides_are_drawn_independently():
    x = np.arange(2000.0)[:, None]
    together = []
    for seed in range(400):
        first, second = subsample_pair(x, x + 0.5, 1000, seed=seed)
        together.append(len(np.intersect1d(first, second - 0.5)))
    # Of 1000 places, half are shared by chance: hypergeometric, with a standard deviation of 11.2.
    assert abs(np.mean(together) - 500) < 5 * 11.2 / 20


def test_a_pair_within_the_limit_is_not_copied():
    x, y = np.zeros((3, 1)), np.zeros((4, 1))
    drawn = subsample_pair(x, y, 4, seed=0)
    assert drawn[0] is x
    assert drawn[1] is y


def test_the_larger_side_is_first_and_of_equals_the_wider_one():
    narrow, wide = np.array([[0.0], [1.0]]), np.array([[0.0], [2.0]])
    assert (swaps_sides(narrow, wide), swaps_sides(wide, narrow)) == (True, False)
    assert (swaps_sides(wide, np.zeros((3, 1))), swaps_sides(np.zeros((3, 1)), wide)) == (True, False)
