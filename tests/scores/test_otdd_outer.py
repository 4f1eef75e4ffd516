"""Sinkhorn and sliced OTDD against POT, and their bounds."""

from __future__ import annotations

import numpy as np
import ot
import pytest

from gapkit.scores.otdd import otdd, prepare_side
from gapkit.scores.otdd_options import OTDDOptions
from gapkit.scores.otdd_sliced import _coordinates, _directions


def draw(seed, n=40, width=4, n_classes=3, *, shift=0.0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    return rng.normal(size=(n, width)) * (1 + labels[:, None]) + 2 * labels[:, None] + shift, labels


def costs(first, second):
    """Costs (n, m) with means as classes."""
    (x, a), (y, b) = first, second
    means = [np.stack([z[c == k].mean(axis=0) for k in range(c.max() + 1)]) for z, c in (first, second)]
    return ot.dist(x, y), ot.dist(means[0], means[1])[np.ix_(a, b)]


def objective(first, second, epsilon):
    """Entropic objective and plan, by POT."""
    cost = sum(costs(first, second))
    n, m = cost.shape
    plan = ot.sinkhorn([], [], cost, epsilon, method="sinkhorn_log", stopThr=1e-12, numItermax=100_000)
    return float((plan * cost).sum() + epsilon * (plan * np.log(plan * n * m)).sum()), plan


def centred_mean_cost(first, second):
    """The mean cost about each side's own mean, which epsilon is a share of."""
    return sum(part.mean() for part in costs(*((x - x.mean(axis=0), y) for x, y in (first, second))))


def test_sinkhorn_equals_pot():
    first, second = draw(0), draw(1, n=30, n_classes=2, shift=1.0)
    options = OTDDOptions(inner="means", outer="sinkhorn", debiased=False, tolerance=1e-10)
    epsilon = options.regularisation * centred_mean_cost(first, second)
    expected, plan = objective(first, second, epsilon)
    found = otdd(*first, *second, options=options)
    assert found.value == pytest.approx(expected, rel=1e-8)
    features, labels = costs(first, second)
    assert found.feature_part == pytest.approx((plan * features).sum(), rel=1e-6)
    assert found.label_part == pytest.approx((plan * labels).sum(), rel=1e-6)
    assert found.feature_part + found.label_part + found.entropy_part == pytest.approx(found.value, rel=1e-12)
    assert found.evidence.converged
    assert found.evidence.residual <= 1e-10
    assert 0 <= found.evidence.gap < 1e-6


def test_the_debiased_value_is_the_sinkhorn_divergence():
    first, second = draw(2), draw(3, n=30, n_classes=2, shift=1.0)
    # A regularisation that POT's alternating steps converge at for a sample with itself.
    options = OTDDOptions(inner="means", outer="sinkhorn", tolerance=1e-10, regularisation=0.3)
    epsilon = options.regularisation * centred_mean_cost(first, second)
    across, own, other = (objective(*sides, epsilon)[0] for sides in ((first, second), (first,) * 2, (second,) * 2))
    found = otdd(*first, *second, options=options)
    assert found.value == pytest.approx(across - own / 2 - other / 2, rel=1e-6)
    assert found.feature_part + found.label_part + found.entropy_part == pytest.approx(found.value, rel=1e-10)


def test_sinkhorn_approaches_the_exact_value_from_above():
    """By at most epsilon times the entropy of a permutation, log n."""
    first, second = draw(4), draw(5, shift=1.0)
    exact = otdd(*first, *second, options=OTDDOptions(inner="means")).value
    shares = (0.3, 0.1, 0.03, 0.01)
    options = {"inner": "means", "outer": "sinkhorn", "debiased": False}
    found = [otdd(*first, *second, options=OTDDOptions(regularisation=share, **options)) for share in shares]
    values = [result.value for result in found]
    assert values == sorted(values, reverse=True)
    for share, result in zip(shares, found, strict=True):
        epsilon = share * centred_mean_cost(first, second)
        assert exact < result.feature_part + result.label_part < result.value <= exact + epsilon * np.log(40)


def test_sinkhorn_that_is_stopped_says_so_and_how_far_it_may_be_off():
    first, second = draw(6), draw(7, shift=1.0)
    options = {"outer": "sinkhorn", "debiased": False, "regularisation": 0.01}
    stopped = otdd(*first, *second, options=OTDDOptions(max_iterations=20, **options))
    solved = otdd(*first, *second, options=OTDDOptions(tolerance=1e-11, **options))
    assert not stopped.evidence.converged
    assert stopped.evidence.gap >= stopped.value - solved.value > 0


def test_sliced_with_means_is_below_the_exact_value_along_whole_bases():
    """Sums of squared one-dimensional distances along an orthonormal basis never exceed the squared distance."""
    for seed in range(4):
        first, second = draw(seed), draw(seed + 50, n=30, n_classes=2, shift=1.0)
        width = 4 + 4  # four features; five classes have four coordinates
        exact = otdd(*first, *second, options=OTDDOptions(inner="means")).value
        options = OTDDOptions(inner="means", outer="sliced", projections=3 * width, seed=seed)
        assert 0 < otdd(*first, *second, options=options).value <= exact


def test_sliced_of_one_feature_and_no_class_weight_is_exact():
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(50, 1)), 2 * rng.normal(size=(35, 1)) + 1
    zeros = np.zeros(50, dtype=int), np.zeros(35, dtype=int)
    one, other = (
        otdd(x, zeros[0], y, zeros[1], options=OTDDOptions(outer=outer, inner="means", lambda_y=0.0, projections=4000))
        for outer in ("exact", "sliced")
    )
    assert other.value == pytest.approx(one.value, rel=0.05)
    assert abs(other.value - one.value) < 4 * other.evidence.standard_error + 1e-12


def test_sliced_of_a_shift_is_exact():
    """The offset is added as it is, and the centred datasets are equal."""
    x, y = draw(9)
    found = otdd(x, y, x + 3, y, options=OTDDOptions(outer="sliced", projections=5))
    assert found.value == pytest.approx(2 * 4 * 9, rel=1e-12)
    assert found.feature_part == pytest.approx(4 * 9, rel=1e-12)


def test_sliced_equals_the_definition_direction_by_direction():
    """One class a side, whose coordinate is the distance of the shapes: projections of (features, coordinate)."""
    first, second = draw(10, n_classes=1), draw(11, n=25, n_classes=1, shift=1.0)
    options = OTDDOptions(outer="sliced", projections=3000)
    found = otdd(*first, *second, options=options)
    exact = otdd(*first, *second)
    shape = exact.label_distances[0, 0] - np.square(first[0].mean(axis=0) - second[0].mean(axis=0)).sum()
    points = [
        np.hstack([x - x.mean(axis=0), np.full((len(x), 1), z)])
        for (x, _), z in zip((first, second), (0.0, np.sqrt(shape)), strict=True)
    ]
    directions = np.random.default_rng(12).normal(size=(3000, 5))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    each = [5 * ot.wasserstein_1d(points[0] @ along, points[1] @ along, p=2) for along in directions]
    expected = np.mean(each) + 2 * np.square(first[0].mean(axis=0) - second[0].mean(axis=0)).sum()
    error = np.hypot(np.std(each) / np.sqrt(3000), found.evidence.standard_error)
    assert abs(found.value - expected) < 4 * error
    assert error < 0.05 * expected
    assert found.evidence.gap is None
    assert found.evidence.iterations == 3000


def test_sliced_is_the_sum_of_one_dimensional_distances_along_its_directions():
    """Of features and class coordinates about each side's mean sample; the squared offset of means is added."""
    first, second = draw(15, width=2, n_classes=3), draw(16, n=25, width=2, n_classes=2, shift=1.0)
    options = OTDDOptions(outer="sliced", inner="means", projections=7, lambda_x=0.5, lambda_y=2.0)
    left, right = (prepare_side(*side, name="y", options=options)[0] for side in (first, second))
    coordinates = _coordinates(left, right, np.zeros((3, 2)), options)
    points = [
        np.hstack([np.sqrt(0.5) * side.features, own[side.labels]])
        for side, own in zip((left, right), coordinates, strict=True)
    ]
    between = np.square(coordinates[0][:, None] - coordinates[1]).sum(axis=-1)
    about = [side.gaussians.means for side in (left, right)]
    assert between == pytest.approx(2.0 * np.square(about[0][:, None] - about[1]).sum(axis=-1), rel=1e-10)
    width = points[0].shape[1]
    each = [ot.wasserstein_1d(points[0] @ along, points[1] @ along, p=2) for along in _directions(width, options)]
    offset = np.square(first[0].mean(axis=0) - second[0].mean(axis=0)).sum()
    found = otdd(*first, *second, options=options)
    assert found.value == pytest.approx(width * np.mean(each) + 2.5 * offset, rel=1e-10)
    assert found.feature_part + found.label_part == pytest.approx(found.value, rel=1e-14)


def test_sliced_takes_large_samples_whole():
    first, second = draw(13, n=20_000), draw(14, n=15_001, shift=1.0)
    found = otdd(*first, *second, options=OTDDOptions(outer="sliced", projections=16))
    assert (found.n_first, found.n_second) == (20_000, 15_001)
    assert found.class_coupling.sum(axis=1) == pytest.approx(np.bincount(first[1]) / 20_000, rel=1e-9)
