"""Effective rank against its definitions, closed forms, and RankMe."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy

from gapkit.errors import DataError, OptionError, UndefinedError
from gapkit.statistics.effective_rank import effective_rank


def rank_me(features, epsilon=1e-7):
    """Garrido et al., ICML 2023, equation 1 and 2."""
    values = np.linalg.svd(features, compute_uv=False)
    p = values / np.abs(values).sum() + epsilon
    return np.exp(-(p * np.log(p)).sum())


@pytest.mark.parametrize(("n", "d"), [(40, 6), (6, 40), (12, 12), (9, 1)])
def test_equals_its_definitions_from_eigenvalues_of_the_covariance(n, d):
    features = np.random.default_rng([n, d]).normal(size=(n, d)) * np.linspace(3, 1, d) + 2
    for centred in (True, False):
        rows = features - features.mean(axis=0) if centred else features
        variances = np.clip(np.linalg.eigvalsh(rows @ rows.T if n < d else rows.T @ rows), 0, None)
        variances[variances < 1e-10 * variances.max()] = 0
        expected = np.exp(entropy(np.sqrt(variances)))
        assert effective_rank(features, centred=centred) == pytest.approx(expected, rel=1e-8)
        ratio = variances.sum() ** 2 / (variances**2).sum()
        assert effective_rank(features, kind="participation", centred=centred) == pytest.approx(ratio, rel=1e-8)


def test_without_centring_it_is_rank_me():
    features = np.random.default_rng(1).normal(size=(50, 8)) + 3
    assert effective_rank(features, centred=False) == pytest.approx(rank_me(features), rel=1e-5)
    assert abs(effective_rank(features) - rank_me(features)) > 0.5
    # The mean is one large direction.
    assert effective_rank(features + 1e4, centred=False) == pytest.approx(1, abs=0.02)
    assert effective_rank(features + 1e4) == pytest.approx(effective_rank(features), rel=1e-8)


@pytest.mark.parametrize("rank", [1, 2, 7])
@pytest.mark.parametrize("kind", ["entropy", "participation"])
def test_equal_directions_are_counted(rank, kind):
    rows = np.linalg.qr(np.random.default_rng(2).normal(size=(30, rank)))[0]
    assert effective_rank(rows, kind=kind, centred=False) == pytest.approx(rank, rel=1e-12)
    corners = np.eye(rank + 1)[np.arange(30 * (rank + 1)) % (rank + 1)]
    assert effective_rank(corners, kind=kind) == pytest.approx(rank, rel=1e-10)


def test_rounding_is_no_direction():
    for kind in ("entropy", "participation"):
        assert effective_rank(np.diag([2.0, 0.0, 0.0]), kind=kind, centred=False) == 1
    line = np.outer(np.random.default_rng(3).normal(size=40), [1 / 3, 0.1, 7.0]) + [1e5, 0.3, 0.0]
    for kind in ("entropy", "participation"):
        assert effective_rank(line, kind=kind) == pytest.approx(1, abs=1e-9)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(
    seed=st.integers(0, 10**6), n=st.integers(3, 20), d=st.integers(1, 20), power=st.sampled_from([-300, -8, 8, 300])
)
def test_order_of_the_kinds_range_and_scale(seed, n, d, power):
    features = np.random.default_rng(seed).normal(size=(n, d)) ** 3
    for centred in (True, False):
        first, second = (effective_rank(features, kind=k, centred=centred) for k in ("entropy", "participation"))
        assert 1 - 1e-12 <= second <= first + 1e-12
        assert first <= min(n - centred, d) + 1e-9
        assert effective_rank(features * 10.0**power, centred=centred) == pytest.approx(first, rel=1e-9)


def test_what_cannot_be_said_is_said():
    with pytest.raises(UndefinedError, match="the features are all zero"):
        effective_rank(np.zeros((5, 3)), centred=False)
    with pytest.raises(UndefinedError, match="the features of all samples are the same"):
        effective_rank(np.full((5, 3), 0.1))
    assert effective_rank(np.full((5, 3), 0.1), centred=False) == pytest.approx(1)
    with pytest.raises(OptionError, match="kind is 'variance'"):
        effective_rank(np.eye(3), kind="variance")
    with pytest.raises(DataError, match="dtype object"):
        effective_rank(np.array([[None]]))
    integers = np.array([[1, 2], [3, 4], [5, 7]])
    before = integers.copy()
    assert effective_rank(integers) == effective_rank(integers + 0.0)
    assert (integers == before).all()
