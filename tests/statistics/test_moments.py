"""Moments against loops in extended precision, merged in any split and order, and far from the origin."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import ledoit_wolf as sklearn_ledoit_wolf

from gapkit.errors import DataError
from gapkit.statistics.class_sums import by_class, class_counts, class_sums
from gapkit.statistics.moments import accumulate, measure_moments, merge_moments
from gapkit.statistics.totals import measure_totals, merge_totals

N_CLASSES = 4


def naive(features, codes, targets):
    """Every moment, one sample at a time, in extended precision."""
    x, t = features.astype(np.longdouble), targets.astype(np.longdouble)
    n, mean, target_mean = len(x), sum(x) / len(x), sum(t) / len(t)
    found = {
        "mean": mean,
        "scatter": sum(np.outer(row - mean, row - mean) for row in x),
        "cubes": sum(((row - mean) ** 2).sum() * (row - mean) for row in x),
        "fourths": sum(((row - mean) ** 2).sum() ** 2 for row in x),
        "products": sum(np.outer(x[i] - mean, t[i] - target_mean) for i in range(n)),
        "target_means": target_mean,
        "target_squares": sum((row - target_mean) ** 2 for row in t),
    }
    rows = [x[codes == code] for code in range(N_CLASSES)]
    means = [sum(part) / len(part) if len(part) else 0 * mean for part in rows]
    found["counts"] = np.array([len(part) for part in rows])
    found["means"] = np.array(means)
    found["squares"] = np.array(
        [sum(((row - m) ** 2 for row in part), 0 * mean) for part, m in zip(rows, means, strict=True)]
    )
    found["between"] = sum(len(part) * np.outer(m - mean, m - mean) for part, m in zip(rows, means, strict=True))
    found["within"] = sum(np.outer(row - m, row - m) for part, m in zip(rows, means, strict=True) for row in part)
    return found


def as_dict(moments):
    """The same names."""
    return {
        "mean": moments.totals.mean,
        "scatter": moments.totals.scatter,
        "cubes": moments.totals.cubes,
        "fourths": moments.totals.fourths,
        "products": moments.targets.products,
        "target_means": moments.targets.means,
        "target_squares": moments.targets.squares,
        "counts": moments.classes.counts,
        "means": moments.classes.means,
        "squares": moments.classes.squares,
        "between": moments.between,
        "within": moments.within,
    }


def data(seed, n, d, offset=0.0):
    """Features on a grid of 1/1024, so that a whole offset changes no digit; classes differ and one may be absent."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(N_CLASSES - seed % 2, size=n)
    features = np.round(1024 * (rng.gamma(1.0, size=(n, d)) + rng.normal(size=(N_CLASSES, d))[codes])) / 1024
    return features + offset, codes, np.round(1024 * rng.normal(size=(n, 2))) / 1024 + offset


def assert_alike(found, expected, rtol=1e-11):
    """To a share of the largest entry of each moment."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        scale = float(np.abs(np.asarray(value, dtype=np.float64)).max())
        assert np.allclose(found[name], np.asarray(value, dtype=np.float64), rtol=0, atol=rtol * scale), name


@pytest.mark.parametrize(("n", "d"), [(1, 3), (2, 1), (60, 5), (7, 9)])
def test_one_batch_equals_the_loop(n, d):
    for seed in range(4):
        features, codes, targets = data(seed, n, d)
        found = measure_moments(features, codes, n_classes=N_CLASSES, targets=targets)
        assert_alike(as_dict(found), naive(features, codes, targets))
        assert found.totals.n == n


@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(2, 50),
    d=st.integers(1, 5),
    cuts=st.lists(st.integers(1, 49), max_size=6),
    offset=st.sampled_from([0.0, 1e6, -3e7]),
)
def test_any_split_merged_in_any_order_and_nesting_equals_one_batch(seed, n, d, cuts, offset):
    features, codes, targets = data(seed, n, d, offset)
    rng = np.random.default_rng(seed)
    order = rng.permutation(n)
    parts = [part for part in np.split(order, sorted({cut for cut in cuts if cut < n})) if len(part)]
    batches = [measure_moments(features[i], codes[i], n_classes=N_CLASSES, targets=targets[i]) for i in parts]
    expected = naive(features, codes, targets)
    assert_alike(as_dict(accumulate(batches)), expected)
    assert_alike(as_dict(reduce(lambda a, b: merge_moments(b, a), batches)), expected)
    while len(batches) > 1:
        i = int(rng.integers(len(batches) - 1))
        batches[i : i + 2] = [merge_moments(batches[i], batches[i + 1])]
    assert_alike(as_dict(batches[0]), expected)


@pytest.mark.parametrize("offset", [1e6, -1e6, 2.0**33])
def test_features_far_from_the_origin_lose_no_digit(offset):
    features, codes, targets = data(0, 5000, 6)
    near = as_dict(measure_moments(features, codes, n_classes=N_CLASSES, targets=targets))
    far = as_dict(measure_moments(features + offset, codes, n_classes=N_CLASSES, targets=targets + offset))
    halves = [slice(0, 2000), slice(2000, 5000)]
    merged = as_dict(
        accumulate(
            measure_moments(features[i] + offset, codes[i], n_classes=N_CLASSES, targets=targets[i] + offset)
            for i in halves
        )
    )
    for name in ("scatter", "cubes", "fourths", "products", "target_squares", "squares", "between", "within"):
        for found in (far, merged):
            # The means themselves are rounded to 2**-52 of the offset.
            assert np.allclose(found[name], near[name], rtol=1e-11, atol=1e-11 * np.abs(near[name]).max()), name


def test_a_constant_column_has_sums_of_exactly_zero():
    features = np.random.default_rng(0).normal(size=(1000, 3))
    features[:, 1] = 0.1
    totals = merge_totals(measure_totals(features[:300]), measure_totals(features[300:]))
    for found in (totals, measure_totals(features)):
        assert not found.scatter[1].any()
        assert not found.scatter[:, 1].any()
        assert found.cubes[1] == 0.0
        assert found.mean[1] == 0.1
        assert found.varying.tolist() == [True, False, True]


@pytest.mark.parametrize(("n", "d"), [(40, 6), (12, 30), (500, 3), (2, 4), (50, 1)])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_shrinkage_equals_scikit_learns(n, d, scale):
    features = scale * np.random.default_rng(n).gamma(0.5, size=(n, d)) * np.arange(1, d + 1)
    totals = accumulate(measure_moments(features[i]) for i in np.array_split(np.arange(n), 2)).totals
    assert totals.shrinkage == pytest.approx(sklearn_ledoit_wolf(features)[1], rel=1e-8, abs=1e-12)


def test_constant_features_are_not_shrunk():
    assert measure_totals(np.full((5, 3), 0.3)).shrinkage == 0.0


def test_blocks_do_not_matter(monkeypatch):
    features, codes, targets = data(3, 400, 5)
    whole = as_dict(measure_moments(features, codes, n_classes=N_CLASSES, targets=targets))
    for module in ("totals", "mapped"):
        monkeypatch.setattr(f"gapkit.statistics.{module}.CACHED", 5 * 8 * 7)
    monkeypatch.setattr("gapkit.statistics.class_sums.SUMMED", 5 * 8 * 7)
    monkeypatch.setattr("gapkit.statistics.totals.MULTIPLIED", 5 * 8 * 45)
    assert_alike(as_dict(measure_moments(features, codes, n_classes=N_CLASSES, targets=targets)), whole, rtol=1e-13)


def test_class_sums_equal_the_loop():
    rng = np.random.default_rng(4)
    features, codes, centre = rng.normal(size=(30, 4)), rng.integers(3, size=30), rng.normal(size=4)
    for middle in (None, centre):
        taken = features if middle is None else features - middle
        expected = [
            sum((row for row, code in zip(taken, codes, strict=True) if code == c), np.zeros(4)) for c in range(5)
        ]
        assert class_sums(features, codes, 5, middle) == pytest.approx(np.array(expected), abs=1e-12)
    assert class_counts(codes, 5).tolist() == [int((codes == c).sum()) for c in range(5)]
    assert [index.tolist() for index in by_class(codes, 5)] == [np.flatnonzero(codes == c).tolist() for c in range(5)]


def test_moments_of_different_things_are_refused():
    features, codes, targets = data(1, 20, 3)
    with_classes = measure_moments(features, codes)
    with pytest.raises(DataError, match="classes on one side only"):
        merge_moments(with_classes, measure_moments(features))
    with pytest.raises(DataError, match="beside"):
        merge_moments(with_classes, measure_moments(features, codes, n_classes=9))
    with pytest.raises(DataError, match="targets on one side only"):
        merge_moments(measure_moments(features, targets=targets), measure_moments(features))
    with pytest.raises(DataError, match="beside"):
        merge_moments(measure_moments(features, targets=targets), measure_moments(features, targets=targets[:, :1]))
    with pytest.raises(DataError, match="without classes"):
        _ = measure_moments(features).within
