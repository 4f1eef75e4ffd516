"""Principal axes and whitened columns against dense decompositions, at any rank, scale and offset."""

from __future__ import annotations

import numpy as np
import pytest

from gapkit.statistics.axes import DenseAxes, ReflectedAxes
from gapkit.statistics.spectrum import find_spectrum
from gapkit.statistics.whitening import find_whitening

SHAPES = [(60, 6), (20, 20), (21, 20), (12, 40), (2, 3), (3, 1)]


def features_of(n, d, rank=None, seed=0):
    """Normal features with a mean, of a given rank once they are centred."""
    rng = np.random.default_rng(seed)
    if rank is None:
        return rng.normal(size=(n, d)) + rng.normal(size=d)
    return rng.normal(size=(n, rank)) @ rng.normal(size=(rank, d)) + rng.normal(size=d)


def assert_spectrum(features, rank):
    """Its coordinates have the centred features' inner products, its axes and mean their lengths."""
    n, d = features.shape
    spectrum = find_spectrum(features)
    centred, mean = features - features.mean(axis=0), features.mean(axis=0)
    size = float(np.square(centred).sum())
    assert (spectrum.n, spectrum.d, len(spectrum.values)) == (n, d, rank)
    expected = np.linalg.svd(centred, compute_uv=False)[:rank] ** 2
    assert spectrum.values == pytest.approx(expected, rel=1e-8)
    points = spectrum.coordinates(rank)
    assert points @ points.T == pytest.approx(centred @ centred.T, abs=1e-11 * size)
    assert points @ spectrum.mean_inside == pytest.approx(
        centred @ mean, abs=1e-10 * np.sqrt(size) * np.abs(mean).max()
    )
    length = np.square(spectrum.mean_inside).sum() + spectrum.mean_outside**2
    assert length == pytest.approx(mean @ mean, rel=1e-9)
    assert spectrum.fourths == pytest.approx((np.square(centred).sum(axis=1) ** 2).sum(), rel=1e-9)
    return spectrum, points


@pytest.mark.parametrize(("n", "d"), SHAPES)
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_full_rank(n, d, scale):
    assert_spectrum(scale * features_of(n, d), min(n - 1, d))


@pytest.mark.parametrize(("n", "d"), [(60, 6), (12, 40)])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("rank", [1, 3])
def test_lower_rank(n, d, scale, rank):
    assert_spectrum(scale * features_of(n, d, rank), rank)


@pytest.mark.parametrize(("n", "d", "rank"), [(60, 6, 6), (60, 6, 2), (60, 6, 1), (9, 2, 2), (5, 1, 1), (200, 90, 90)])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_axes_as_reflections_are_those_of_a_matrix(n, d, rank, scale):
    features, codes = scale * features_of(n, d, None if rank == d else rank), np.arange(n) % 3
    matrix, few = find_spectrum(features), find_spectrum(features, few=True)
    assert isinstance(few.axes, DenseAxes if d == 1 else ReflectedAxes)
    assert few.values == pytest.approx(matrix.values, rel=1e-9)
    assert few.mean_outside == pytest.approx(matrix.mean_outside, rel=1e-9)
    signs = np.sign((few.coordinates(rank) * matrix.coordinates(rank)).sum(axis=0))
    for name, arguments in {"coordinates": (rank,), "class_sums": (codes, 3), "products": (features[:, :1],)}.items():
        found, expected = getattr(few, name)(*arguments), getattr(matrix, name)(*arguments)
        assert signs * found == pytest.approx(expected, abs=1e-8 * np.abs(expected).max()), name
    assert signs * few.mean_inside == pytest.approx(matrix.mean_inside, abs=1e-8 * np.abs(matrix.mean_inside).max())
    assert few.coordinates(1) == pytest.approx(few.coordinates(rank)[:, :1], abs=1e-12 * scale)
    assert few.class_sums(codes, 3) is few.class_sums(codes.copy(), 3)
    other = np.sort(codes)
    expected = np.array([few.coordinates(rank)[other == code].sum(axis=0) for code in range(3)])
    assert few.class_sums(other, 3) == pytest.approx(expected, abs=1e-9 * scale * n)


@pytest.mark.parametrize("few", [False, True])
def test_features_that_are_all_alike_have_no_axes(few):
    spectrum = find_spectrum(np.full((9, 4), 0.3), few=few)
    assert spectrum.coordinates(2).shape == (9, 0)
    assert spectrum.class_sums(np.arange(9) % 2, 2).shape == (2, 0)
    assert spectrum.mean_outside == pytest.approx(0.6)


@pytest.mark.parametrize(("n", "d"), [(60, 6), (12, 40)])
def test_duplicated_rows_and_constant_columns(n, d):
    features = np.repeat(features_of(n // 4, d), 4, axis=0)
    features[:, 0] = 0.1
    assert_spectrum(features, min(n // 4 - 1, d - 1))


@pytest.mark.parametrize(("n", "d"), [(40, 3), (3, 40)])
def test_constant_features_have_no_axes(n, d):
    spectrum = find_spectrum(np.full((n, d), 0.1))
    assert len(spectrum.values) == 0
    assert spectrum.coordinates(5).shape == (n, 0)
    assert spectrum.mean_outside == pytest.approx(0.1 * np.sqrt(d))


def test_the_mean_of_features_with_a_duplicate_column_lies_on_the_axes():
    features = np.repeat(features_of(40, 3), 2, axis=1)
    spectrum, _ = assert_spectrum(features, 3)
    assert spectrum.mean_outside == 0.0
    constant = np.column_stack([features, np.ones(40)])
    assert find_spectrum(constant).mean_outside == pytest.approx(1.0)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_sums_and_products_are_those_of_the_coordinates(n, d):
    features, rng = features_of(n, d), np.random.default_rng(1)
    spectrum = find_spectrum(features)
    points = spectrum.coordinates(d)
    codes, targets = rng.integers(3, size=n), rng.normal(size=(n, 2))
    targets -= targets.mean(axis=0)
    one_hot = (codes == np.arange(4)[:, None]).astype(np.float64)
    assert spectrum.class_sums(codes, 4) == pytest.approx(one_hot @ points, abs=1e-10)
    assert spectrum.products(targets) == pytest.approx(targets.T @ points, abs=1e-10)
    assert spectrum.coordinates(2) == pytest.approx(points[:, :2])


@pytest.mark.parametrize(("n", "d"), [(60, 6), (12, 40)])
def test_a_mean_of_a_million_changes_nothing(n, d):
    features = np.round(1024 * features_of(n, d)) / 1024
    near, far = find_spectrum(features), find_spectrum(features + 2.0**20)
    assert far.values == pytest.approx(near.values, rel=1e-11)
    # The centre is rounded to 2**-33 there.
    assert far.coordinates(3) == pytest.approx(near.coordinates(3), abs=1e-9)


@pytest.mark.parametrize(("n", "d"), SHAPES)
@pytest.mark.parametrize("spread", [1.0, 1e8])
def test_whitened_columns_are_orthonormal_and_span_the_features(n, d, spread):
    """Also where columns differ in scale by 16 orders of magnitude: what is spanned does not depend on it."""
    plain = features_of(n, d)
    features = plain * np.geomspace(1 / spread, spread, d)
    whitening = find_whitening(features)
    q = np.stack([whitening.class_sums((np.arange(n) == i).astype(np.int64), 2)[1] for i in range(n)])
    assert q.shape == (n, min(n - 1, d))
    assert q.T @ q == pytest.approx(np.eye(q.shape[1]), abs=1e-9)
    centred = plain - plain.mean(axis=0)
    assert q @ (q.T @ centred) == pytest.approx(centred, abs=1e-8)


@pytest.mark.parametrize(("n", "d"), [(60, 8), (12, 40)])
def test_whitening_leaves_out_combinations_constants_and_repeats(n, d):
    features = features_of(n, d, 4)
    features[:, 0] = 0.1
    features[:, 1] = 1e8 * features[:, 2]
    features[:, 3] = 1e-8 * (features[:, 4] - 2 * features[:, 5])
    whitening = find_whitening(features)
    assert whitening.class_sums(np.arange(n) % 2, 2).shape == (2, 4)


@pytest.mark.parametrize(("n", "d"), [(20, 3), (3, 20)])
def test_whitening_of_constant_features_is_empty(n, d):
    features = np.full((n, d), 0.1)
    assert find_whitening(features).class_sums(np.arange(n) % 2, 2).shape == (2, 0)
