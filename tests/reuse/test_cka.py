"""Linear CKA against U-centred matrices by loops, HSIC_1 by sums over samples, and its bias."""

from __future__ import annotations

import importlib
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapkit.errors import DataError, UndefinedError
from gapkit.reuse import cka, cka_matrix
from gapkit.reuse.paired import centre
from gapkit.reuse.u_centring import row_blocks, u_centred

MODULE = importlib.import_module("gapkit.reuse.cka")  # as an attribute, it is the function


def layers(seed, n, d, e):
    rng = np.random.default_rng([seed, 70])
    x = rng.normal(size=(n, d)) + 1
    return x, np.tanh(x @ rng.normal(size=(d, e))) + 0.5 * rng.normal(size=(n, e))


def hsic_1(gram, other):
    """Song et al., JMLR 2012, equation 5, from Gram matrices that are neither centred nor without diagonal."""
    n = len(gram)
    k, l = gram - np.diag(np.diag(gram)), other - np.diag(np.diag(other))  # noqa: E741
    one = np.ones(n)
    inside = np.trace(k @ l) + (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * one @ k @ l @ one
    return inside / (n * (n - 3))


def expected(x, y, *, debiased=True):
    if not debiased:
        k, l = np.cov(x, y, rowvar=False), x.shape[1]  # noqa: E741
        cross, first, second = k[:l, l:], k[:l, :l], k[l:, l:]
        return np.square(cross).sum() / np.linalg.norm(first) / np.linalg.norm(second)
    k, l = x @ x.T, y @ y.T  # noqa: E741
    return hsic_1(k, l) / np.sqrt(hsic_1(k, k) * hsic_1(l, l))


def test_hsic_1_is_a_mean_over_quadruples_of_different_samples():
    """Its definition as a U-statistic, which shows that it has no bias: brute force over all quadruples."""
    x, y = layers(1, 7, 3, 2)
    k, l = x @ x.T, y @ y.T  # noqa: E741
    terms = [k[i, j] * (l[i, j] + l[q, r] - 2 * l[i, q]) for i, j, q, r in itertools.permutations(range(7), 4)]
    assert hsic_1(k, l) == pytest.approx(np.mean(terms), rel=1e-12)
    z, w = centre(x, "x"), centre(y, "y")
    scale = np.linalg.norm(x - x.mean(axis=0)) ** 2 * np.linalg.norm(y - y.mean(axis=0)) ** 2
    product = np.vdot(u_centred(z, slice(0, 7)), u_centred(w, slice(0, 7))) / (7 * 4)
    assert product * scale == pytest.approx(np.mean(terms), rel=1e-10)


def test_u_centring_takes_row_means_out_by_loops():
    z = centre(layers(2, 9, 4, 1)[0], "x")
    k = z @ z.T
    total = sum(k[i, j] for i in range(9) for j in range(9) if i != j)
    rows = [sum(k[i, j] for j in range(9) if i != j) for i in range(9)]
    naive = [[0.0 if i == j else k[i, j] - rows[i] / 7 - rows[j] / 7 + total / 56 for j in range(9)] for i in range(9)]
    assert u_centred(z, slice(0, 9)) == pytest.approx(np.array(naive), abs=1e-15)
    assert u_centred(z, slice(3, 5)) == pytest.approx(np.array(naive)[3:5], abs=1e-15)


@pytest.mark.parametrize("debiased", [True, False])
@pytest.mark.parametrize(
    ("n", "d", "e"), [(40, 6, 3), (300, 5, 40), (12, 30, 50), (9, 1, 1), (30, 30, 2), (4, 3, 9), (60, 2, 400)]
)
def test_equals_its_definition_by_either_route(n, d, e, debiased, monkeypatch):
    x, y = layers(n, n, d, e)
    value = expected(x, y, debiased=debiased)
    assert cka(x, y, debiased=debiased) == pytest.approx(value, abs=1e-11)
    found = []
    for cheaper in (True, False):
        monkeypatch.setattr(MODULE, "_grams_are_cheaper", lambda xs, ys, cheaper=cheaper: cheaper)
        found.append(cka(x, y, debiased=debiased))
    assert found == pytest.approx([value, value], abs=1e-10)
    assert abs(found[0] - found[1]) < 1e-10


def test_the_route_is_the_cheaper_one(monkeypatch):
    used = []
    for route in ("_by_grams", "_by_features"):
        monkeypatch.setattr(MODULE, route, lambda *_, debiased, route=route: used.append(route) or np.ones((1, 1)))
    for n, d in ((200, 20), (20, 200)):
        cka(*layers(3, n, d, d))
    assert used == ["_by_features", "_by_grams"]


@pytest.mark.parametrize("shapes", [(30, (2, 5, 40), (3, 60)), (200, (2, 5), (3, 4, 6))])
def test_the_matrix_holds_every_pair(shapes):
    n, first, second = shapes
    rng = np.random.default_rng(4)
    xs, ys = ([rng.normal(size=(n, d)) ** 2 for d in side] for side in (first, second))
    for debiased in (True, False):
        table = cka_matrix(xs, ys, debiased=debiased)
        naive = [[expected(x, y, debiased=debiased) for y in ys] for x in xs]
        assert table == pytest.approx(np.array(naive), abs=1e-10)
    assert np.diag(cka_matrix(xs, xs)) == pytest.approx(np.ones(len(xs)), abs=1e-12)


def test_self_terms_are_computed_once(monkeypatch):
    calls = []
    original = vars(MODULE)["_own"]
    monkeypatch.setattr(MODULE, "_own", lambda *a, **k: calls.append(a[0]) or original(*a, **k))
    xs = list(np.random.default_rng(5).normal(size=(3, 100, 4)))
    cka_matrix(xs, xs)
    assert calls == ["xs[0]", "xs[1]", "xs[2]", "ys[0]", "ys[1]", "ys[2]"]


@pytest.mark.parametrize(("n", "d"), [(60, 40), (30, 200), (400, 10)])
def test_independent_features_have_mean_zero_when_debiased(n, d):
    rng = np.random.default_rng([n, d])
    pairs = rng.normal(size=(60, 2, n, d))
    values = np.array([cka(x, y) for x, y in pairs])
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(len(values))
    biased = np.array([cka(x, y, debiased=False) for x, y in pairs[:10]])
    assert biased.mean() == pytest.approx(d / (d + n), abs=0.03)  # the docstring's rule
    assert biased.mean() > 3 * values.std()


def test_it_can_be_negative_and_is_never_nan():
    values = [cka(*np.random.default_rng(seed).normal(size=(2, 5, 3))) for seed in range(200)]
    assert min(values) < -0.3
    assert np.isfinite(values).all()
    assert np.abs(values).max() <= 1


def test_two_clusters_by_hand():
    """K of +-1 in two halves of 2 m: K~ is a where alike and b where not, with row sums 0."""
    signs = np.repeat([1.0, -1.0], 4)[:, None]
    crossed = np.tile([1.0, -1.0], 4)[:, None]
    # (m - 1) a + m b = 0: alike in 3, apart in 4. The two partitions agree on 1 and 2 of these.
    a, b = 4.0, -3.0
    own = 3 * a * a + 4 * b * b
    product = 1 * a * a + 2 * a * b + 2 * b * a + 2 * b * b
    assert cka(signs, crossed) == pytest.approx(product / own, abs=1e-12)
    assert cka(signs, crossed, debiased=False) == pytest.approx(0.0, abs=1e-12)


def test_an_outlier_leaves_digits():
    """One sample at 1e6: the terms in feature space cancel, and blocks of pairs are taken."""
    x, y = layers(6, 60, 3, 3)
    x[7] *= 1e6
    shifted = x - x[0]
    assert cka(x, y) == pytest.approx(expected(shifted, y - y.mean(axis=0)), abs=1e-7)
    y[7] *= 1e6
    assert cka(x, y) == pytest.approx(expected(shifted, y - y[0]), abs=1e-7)


def test_blocks_cover_all_samples(monkeypatch):
    monkeypatch.setattr("gapkit.reuse.u_centring.BLOCK_ENTRIES", 100)
    assert [(block.start, block.stop) for block in row_blocks(35)][-2:] == [(32, 34), (34, 35)]
    x, y = layers(7, 35, 2, 2)
    x[3] *= 1e5
    assert cka(x, y) == pytest.approx(expected(x - x[0], y - y[0]), abs=1e-8)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(
    seed=st.integers(0, 10**6), n=st.integers(4, 30), d=st.integers(1, 40), power=st.sampled_from([-150, -8, 8, 150])
)
def test_scale_and_duplicated_columns_change_nothing(seed, n, d, power):
    x, y = layers(seed, n, d, 3)
    value = cka(x, y)
    assert cka(x * 10.0**power, y) == pytest.approx(value, abs=1e-9)
    assert cka(np.hstack([x, x]), np.hstack([y, np.ones((n, 1))])) == pytest.approx(value, abs=1e-9)


def test_what_cannot_be_said_is_said():
    with pytest.raises(UndefinedError, match="at least 4 for debiased CKA"):
        cka(np.eye(3), np.eye(3))
    with pytest.raises(UndefinedError, match="x has samples that are all equally far"):
        cka(np.eye(6), np.arange(6.0)[:, None])
    with pytest.raises(UndefinedError, match="y has samples that are all equally far"):
        cka(np.arange(60.0)[:, None], np.eye(60)[:, :1])  # in feature space
    assert cka(np.eye(6), np.arange(6.0)[:, None], debiased=False) > 0.4
    x = np.random.default_rng(8).normal(size=(20, 3))
    with pytest.raises(UndefinedError, match=r"ys\[1\] has the same features"):
        cka_matrix([x], [x, np.ones((20, 2))])
    with pytest.raises(DataError, match=r"xs\[0\] has 20 samples and ys\[1\] has 19"):
        cka_matrix([x], [x, x[1:]])
    with pytest.raises(DataError, match="1 layers beside 0"):
        cka_matrix([x], [])
