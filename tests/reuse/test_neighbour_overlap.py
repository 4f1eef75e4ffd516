"""Mutual kNN and CKNNA against loops over samples, ties, duplicates, and their limits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group

from gapkit.errors import OptionError, UndefinedError
from gapkit.reuse import cka, cknna, mutual_knn


def layers(seed, n, d, e):
    rng = np.random.default_rng([seed, 75])
    x = rng.normal(size=(n, d)) + 0.3
    return x, x @ rng.normal(size=(d, e)) + rng.normal(size=(n, e))


def neighbours(rows, k):
    """A set for each sample, by sorting cosines one by one."""
    found = []
    for i, u in enumerate(rows):
        cosines = [(-(u @ v) / np.linalg.norm(u) / np.linalg.norm(v), j) for j, v in enumerate(rows) if j != i]
        found.append({j for _, j in sorted(cosines)[:k]})
    return found


def u_centred(rows):
    """By the definition, of L2-normalised rows that are not centred."""
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    n, gram = len(units), units @ units.T
    np.fill_diagonal(gram, 0)
    sums = gram.sum(axis=1)
    found = gram - np.add.outer(sums, sums) / (n - 2) + sums.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(found, 0)
    return found


@pytest.mark.parametrize("k", [1, 3, 10])
@pytest.mark.parametrize(("n", "d", "e"), [(40, 6, 4), (12, 30, 2), (13, 2, 2)])
def test_both_equal_loops_over_samples(n, d, e, k):
    x, y = layers(n, n, d, e)
    first, second = neighbours(x, k), neighbours(y, k)
    shared = [a & b for a, b in zip(first, second, strict=True)]
    assert mutual_knn(x, y, k=k) == pytest.approx(np.mean([len(both) / k for both in shared]), abs=1e-12)
    inner, beside = u_centred(x), u_centred(y)
    cross = sum(inner[i, j] * beside[i, j] for i, both in enumerate(shared) for j in both)
    own = [
        sum(side[i, j] ** 2 for i, near in enumerate(sets) for j in near)
        for side, sets in ((inner, first), (beside, second))
    ]
    assert cknna(x, y, k=k) == pytest.approx(cross / np.sqrt(own[0] * own[1]), abs=1e-10)


def test_with_all_neighbours_cknna_is_debiased_cka():
    x, y = layers(1, 25, 5, 7)
    units = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (x, y)]
    assert cknna(x, y, k=24) == pytest.approx(cka(*units), abs=1e-10)


def test_blocks_give_what_one_block_gives(monkeypatch):
    x, y = layers(2, 50, 5, 4)
    whole = mutual_knn(x, y), cknna(x, y)
    monkeypatch.setattr("gapkit.reuse.u_centring.BLOCK_ENTRIES", 350)
    assert (mutual_knn(x, y), cknna(x, y)) == pytest.approx(whole, abs=1e-12)


@pytest.mark.parametrize(("n", "k"), [(30, 1), (30, 10), (60, 5)])
def test_independent_features_share_by_chance(n, k):
    rng = np.random.default_rng([n, k])
    found = np.array([mutual_knn(rng.normal(size=(n, 4)), rng.normal(size=(n, 9)), k=k) for _ in range(200)])
    assert found.mean() == pytest.approx(k / (n - 1), abs=4 * found.std() / np.sqrt(200))


def test_independent_features_have_a_small_cknna():
    rng = np.random.default_rng(3)
    found = np.mean([cknna(rng.normal(size=(200, 8)), rng.normal(size=(200, 8))) for _ in range(20)])
    assert 0.5 * 10 / 199 < found < 1.1 * 10 / 199


def test_ties_on_one_side_are_the_mean_over_all_ways_to_break_them():
    """Four samples in one direction and three in others; brute force over orders of the tied ones."""
    x = np.array([[1.0, 0.0], [1.0, 0.0], [2.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.1, 1.0], [-1.0, 0.3]])
    y = layers(4, 7, 3, 3)[0]
    second = neighbours(y, 2)
    cosines = (x @ x.T) / np.outer(np.linalg.norm(x, axis=1), np.linalg.norm(x, axis=1))
    found = []
    for order in itertools.permutations(range(7)):
        share = [
            len(set(sorted((j for j in order if j != i), key=lambda j, i=i: -round(cosines[i, j], 12))[:2]) & second[i])
            for i in range(7)
        ]
        found.append(np.mean(share) / 2)
    assert mutual_knn(x, y, k=2) == pytest.approx(np.mean(found), abs=1e-12)
    assert mutual_knn(y, x, k=2) == pytest.approx(np.mean(found), abs=1e-12)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), n=st.integers(6, 20), k=st.integers(1, 4), levels=st.integers(2, 4))
def test_ties_and_duplicates_keep_the_contract(seed, n, k, levels):
    """Integer features: nearly every sample has ties, many are duplicates, some are zero."""
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, levels, size=(n, 3)), rng.integers(0, levels, size=(n, 2))
    x[:2], y[:2] = [[1, 0, 0], [0, 1, 0]], [[1, 0], [0, 1]]
    order = rng.permutation(n)
    value = mutual_knn(x, y, k=k)
    assert 0 <= value <= 1
    assert mutual_knn(x[order], y[order], k=k) == pytest.approx(value, abs=1e-12)
    assert mutual_knn(y, x, k=k) == pytest.approx(value, abs=1e-12)
    assert mutual_knn(x, 2 * x, k=k) == pytest.approx(1, abs=1e-12)
    turned = x @ ortho_group.rvs(3, random_state=rng) / 3  # ties but for rounding
    assert mutual_knn(x, turned, k=k) == pytest.approx(1, abs=1e-12)
    assert -1 <= cknna(x, y, k=k) <= 1
    assert cknna(x[order], y[order], k=k) == pytest.approx(cknna(x, y, k=k), abs=1e-10)
    assert cknna(x, 2 * x, k=k) == pytest.approx(1, abs=1e-12)


def test_a_duplicate_is_a_neighbour_and_the_sample_itself_is_not():
    x, y = layers(5, 20, 4, 4)
    twice, beside = np.repeat(x, 2, axis=0), np.vstack([y, y])
    assert mutual_knn(twice, np.repeat(y, 2, axis=0), k=1) == pytest.approx(1)
    # In the other order only the duplicates that are so on both sides agree: none.
    assert mutual_knn(twice, beside, k=1) == pytest.approx(0)


def test_a_shift_and_a_factor_of_a_sample():
    x, y = layers(6, 30, 4, 4)
    factors = 10.0 ** np.linspace(-200, 200, 30)[:, None]
    assert mutual_knn(x * factors, y) == mutual_knn(x, y)
    assert cknna(x * factors, y) == pytest.approx(cknna(x, y), abs=1e-10)
    assert mutual_knn(x + 5, y, k=3) != mutual_knn(x, y, k=3)


def test_what_cannot_be_said_is_said():
    x, y = layers(7, 12, 4, 4)
    for measure in (mutual_knn, cknna):
        with pytest.raises(OptionError, match="k is 0"):
            measure(x, y, k=0)
        with pytest.raises(UndefinedError, match="y has all samples equally near"):
            measure(x, np.eye(12))
        with pytest.raises(UndefinedError, match="x has all samples equally near"):
            measure(np.outer(np.arange(1.0, 13.0), [1, 2]), y)
        with pytest.raises(UndefinedError, match="x has all samples equally near"):
            measure(np.full((12, 3), 0.1), y)
    with pytest.raises(UndefinedError, match="at least 12 for 10 neighbours"):
        mutual_knn(x[:11], y[:11])
    with pytest.raises(UndefinedError, match="at least 13 for 12 neighbours"):
        cknna(x, y, k=12)
    with pytest.raises(UndefinedError, match="x has nothing left"):
        cknna(np.vstack([np.tile([1.0, 0.0], (11, 1)), [[0.0, 1.0]]]), y, k=2)
