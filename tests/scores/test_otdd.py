"""OTDD against a naive derivation, linear programming, closed forms and its declared invariances."""

from __future__ import annotations

import numpy as np
import ot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from scipy.optimize import linprog

from gapkit.errors import DataError, OptionError, UndefinedError
from gapkit.scores.inputs import PairInputs
from gapkit.scores.otdd import OTDD, otdd
from gapkit.scores.otdd_options import OTDDOptions

EXACT = [
    OTDDOptions(inner=inner, covariance=covariance)
    for inner, covariance in (
        ("gaussian", "full"),
        ("gaussian", "diagonal"),
        ("gaussian", "shrunk"),
        ("exact", "full"),
        ("means", "full"),
        ("upper", "full"),
    )
]
ALL = [
    *EXACT,
    OTDDOptions(outer="sinkhorn"),
    OTDDOptions(outer="sinkhorn", debiased=False),
    OTDDOptions(outer="sliced"),
]
IDS = [f"{options.inner}-{options.covariance}-{options.outer}-{options.debiased}" for options in ALL]


def draw(rng, n, width, n_classes, *, shift=0.0):
    """Classes of different means, spreads and sizes."""
    labels = rng.integers(n_classes, size=n)
    labels[:n_classes] = np.arange(n_classes)
    means = 2 * rng.normal(size=(n_classes, width))
    return rng.normal(size=(n, width)) * (1 + labels[:, None]) + means[labels] + shift, labels


def pair(seed=0, *, sizes=(40, 30), classes=(3, 2), width=4, shift=0.5):
    rng = np.random.default_rng(seed)
    return *draw(rng, sizes[0], width, classes[0]), *draw(rng, sizes[1], width, classes[1], shift=shift)


def gaussian(x, y, correction=1):
    """W2^2 of the Gaussians of two samples, by matrix roots."""
    first, second = (np.atleast_2d(np.cov(z.T, ddof=correction)) for z in (x, y))
    root = np.real(sqrtm(first))
    cross = np.real(np.trace(sqrtm(root @ second @ root)))
    return np.square(x.mean(axis=0) - y.mean(axis=0)).sum() + np.trace(first) + np.trace(second) - 2 * cross


def samples(x, y):
    """W2^2 of two samples."""
    return ot.emd2([], [], ot.dist(x, y))


def means(x, y):
    return np.square(x.mean(axis=0) - y.mean(axis=0)).sum()


INNER = {"gaussian": gaussian, "exact": samples, "means": means}


def naive_costs(x1, y1, x2, y2, inner="gaussian", weights=(1.0, 1.0)):
    """Feature costs (n, m), class costs (n, m), in loops over samples and classes."""
    distances = {(a, b): INNER[inner](x1[y1 == a], x2[y2 == b]) for a in set(y1) for b in set(y2)}
    features = np.array([[weights[0] * np.square(a - b).sum() for b in x2] for a in x1])
    labels = np.array([[weights[1] * distances[a, b] for b in y2] for a in y1])
    return features, labels


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.5, 2.0), (0.0, 1.0), (1.0, 0.0)])
def test_equals_the_definition_in_loops(inner, weights):
    data = pair()
    features, labels = naive_costs(*data, inner, weights)
    plan = ot.emd([], [], features + labels)
    found = otdd(*data, options=OTDDOptions(inner=inner, lambda_x=weights[0], lambda_y=weights[1]))
    assert found.value == pytest.approx((plan * (features + labels)).sum(), rel=1e-10)
    assert found.feature_part + found.label_part == pytest.approx(found.value, rel=1e-14)
    if min(weights) > 0:  # else there are many optimal couplings
        assert found.feature_part == pytest.approx((plan * features).sum(), rel=1e-10)
        coupling = [[plan[np.ix_(data[1] == a, data[3] == b)].sum() for b in range(2)] for a in range(3)]
        assert found.class_coupling == pytest.approx(np.array(coupling), abs=1e-12)
    distances = [[INNER[inner](data[0][data[1] == a], data[2][data[3] == b]) for b in range(2)] for a in range(3)]
    assert found.label_distances == pytest.approx(np.array(distances), rel=1e-9)


@pytest.mark.parametrize("sizes", [(2, 3), (5, 4), (7, 7)])
def test_equals_linear_programming_on_tiny_cases(sizes):
    data = pair(1, sizes=sizes, classes=(2, 1))
    n, m = sizes
    cost = sum(naive_costs(*data, "means"))
    constraints = np.vstack([np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))])
    weights = np.concatenate([np.full(n, 1 / n), np.full(m, 1 / m)])
    optimum = linprog(cost.ravel(), A_eq=constraints, b_eq=weights).fun
    assert otdd(*data, options=OTDDOptions(inner="means")).value == pytest.approx(optimum, rel=1e-9)


def test_shifted_classes_have_a_closed_form():
    """All of A moved by v: features and classes are each |v|^2 apart, whatever they look like."""
    x, y, _, _ = pair(2)
    v = np.array([1.0, -2.0, 0.5, 3.0])
    for options in EXACT[:-1]:
        found = otdd(x, y, x + v, y, options=options)
        assert found.value == pytest.approx(2 * v @ v, rel=1e-12)
        assert found.feature_part == pytest.approx(v @ v, rel=1e-12)


def test_scaled_gaussian_samples_have_a_closed_form():
    """One class, A against s A about its mean: (1 - s)^2 times the mean squared radius, plus (1 - s)^2 tr C."""
    x = np.random.default_rng(3).normal(size=(50, 3))
    x -= x.mean(axis=0)
    labels = np.zeros(50, dtype=int)
    found = otdd(x, labels, 2.5 * x, labels)
    assert found.feature_part == pytest.approx(2.25 * np.square(x).sum(axis=1).mean(), rel=1e-10)
    assert found.label_part == pytest.approx(2.25 * np.trace(np.cov(x.T)), rel=1e-10)


def test_one_dimension_is_solved_by_sorting_where_classes_add_nothing():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(60, 1)), rng.normal(size=(60, 1)) * 2 + 1
    found = otdd(x, np.arange(60) % 2, y, np.arange(60) % 3, options=OTDDOptions(lambda_y=0.0))
    assert found.value == pytest.approx(np.square(np.sort(x, axis=0) - np.sort(y, axis=0)).mean(), rel=1e-12)


def test_units():
    data = pair(5)
    squared, paper, half = (otdd(*data, options=OTDDOptions(unit=unit)) for unit in ("squared", "paper", "half"))
    assert paper.value == pytest.approx(np.sqrt(squared.value))
    assert half.value == pytest.approx(squared.value / 2)
    for found in (paper, half):
        assert found.feature_part == squared.feature_part
        assert found.label_part == squared.label_part


def test_the_paper_unit_is_a_metric():
    rng = np.random.default_rng(6)
    sets = [draw(rng, 20, 2, 2, shift=shift) for shift in (0.0, 1.0, 3.0)]
    a, b, c = (otdd(*sets[i], *sets[j], options=OTDDOptions(unit="paper")).value for i, j in ((0, 1), (1, 2), (0, 2)))
    assert a + b >= c


@pytest.mark.parametrize("options", ALL, ids=IDS)
def test_equal_datasets_are_zero_apart(options):
    x, y, _, _ = pair(7)
    order = np.random.default_rng(0).permutation(len(x))
    for other in (x, y), (x[order], y[order]):
        found = otdd(x, y, *other, options=options)
        if options.inner == "upper" or not options.debiased:
            assert found.value > 0.1
        else:
            assert abs(found.value) < (1e-6 if options.outer == "sinkhorn" else 1e-25)


@pytest.mark.parametrize("options", ALL, ids=IDS)
@pytest.mark.parametrize("far", [1e3, 1e6])
def test_a_shift_of_both_changes_nothing(options, far):
    x1, y1, x2, y2 = pair(8)
    moved = otdd(x1 + far, y1, x2 + far, y2, options=options).value
    assert moved == pytest.approx(otdd(x1, y1, x2, y2, options=options).value, rel=1e-9)


@pytest.mark.parametrize("options", ALL, ids=IDS)
@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_grows_with_the_square_of_a_scale(options, scale):
    x1, y1, x2, y2 = pair(9)
    scaled = otdd(scale * x1, y1, scale * x2, y2, options=options)
    plain = otdd(x1, y1, x2, y2, options=options)
    assert scaled.value / scale**2 == pytest.approx(plain.value, rel=1e-8)
    assert scaled.label_part / scale**2 == pytest.approx(plain.label_part, rel=1e-6)


def test_datasets_that_lie_far_apart_keep_the_digits_of_their_shapes():
    x1, y1, x2, y2 = pair(10)
    near, far = otdd(x1, y1, x2, y2), otdd(x1, y1, x2 + 1e8, y2)
    assert far.class_coupling == pytest.approx(near.class_coupling, abs=1e-12)
    assert far.value == pytest.approx(2 * 4e16, rel=1e-6)


@given(seed=st.integers(0, 10**6))
@settings(derandomize=True, deadline=None, max_examples=20)
def test_declared_invariances(seed):
    rng = np.random.default_rng(seed)
    classes = rng.integers(1, 5, size=2)
    data = pair(seed, sizes=tuple(rng.integers(5, 25, size=2)), classes=tuple(classes), width=int(rng.integers(1, 7)))
    x1, y1, x2, y2 = data
    inner, covariance = [("gaussian", "full"), ("gaussian", "shrunk"), ("exact", "full"), ("means", "full")][seed % 4]
    options = OTDDOptions(inner=inner, covariance=covariance)
    value = otdd(*data, options=options).value
    assert value >= 0
    turn = np.linalg.qr(rng.normal(size=(x1.shape[1],) * 2))[0]
    order = rng.permutation(len(x1))
    names = np.array(["d", "b", "c", "a"])
    for other in (
        (x2, y2, x1, y1),
        (x1 @ turn + 7, y1, x2 @ turn + 7, y2),
        (x1[order], y1[order], x2, y2),
        (x1, names[y1], x2, 10 - 3 * y2),
    ):
        assert otdd(*other, options=options).value == pytest.approx(value, rel=1e-8)


def test_gaussians_never_exceed_samples_with_covariances_of_the_empirical_distribution():
    """Gelbrich's bound; the covariance divided by n - 1 breaks it."""
    for seed in range(5):
        data = pair(seed, sizes=(12, 10), classes=(3, 3), width=2)
        bound = otdd(*data, options=OTDDOptions(correction=0))
        exact = otdd(*data, options=OTDDOptions(inner="exact"))
        assert (bound.label_distances <= exact.label_distances + 1e-12).all()
        assert bound.value <= exact.value + 1e-12
        upper = otdd(*data, options=OTDDOptions(inner="upper", correction=0))
        assert (exact.label_distances <= upper.label_distances + 1e-12).all()


@pytest.mark.parametrize("options", ALL, ids=IDS)
def test_the_marginals_of_the_class_coupling_are_the_shares_of_the_classes(options):
    data = pair(11)
    coupling = otdd(*data, options=options).class_coupling
    assert coupling.sum(axis=1) == pytest.approx(np.bincount(data[1]) / 40, rel=1e-10)
    assert coupling.sum(axis=0) == pytest.approx(np.bincount(data[3]) / 30, rel=1e-10)
    assert (coupling >= 0).all()


def test_results_are_bit_identical():
    data = pair(12)
    for options in ALL:
        one, two = otdd(*data, options=options), otdd(*data, options=options)
        assert one.value == two.value
        assert (one.class_coupling == two.class_coupling).all()


def test_the_estimator_is_the_function_with_the_seed_of_the_pair():
    x1, y1, x2, y2 = pair(13)
    given_pair = PairInputs(target=x1, surrogate=x2, target_labels=y1, surrogate_labels=y2, seed=3)
    options = OTDDOptions(limit=15)
    estimator = OTDD(options=options)
    assert estimator.between(given_pair) == otdd(x1, y1, x2, y2, options=OTDDOptions(limit=15, seed=3)).value
    assert estimator.between(given_pair) != otdd(x1, y1, x2, y2, options=OTDDOptions(limit=15, seed=4)).value
    assert OTDD.traits.subsample == OTDDOptions().limit
    with pytest.raises(UndefinedError, match="the surrogate has no class labels"):
        OTDD().between(PairInputs(target=x1, surrogate=x2, target_labels=y1))


def test_features_that_cannot_be_compared_are_refused():
    x1, y1, x2, y2 = pair(14)
    with pytest.raises(DataError, match="x1 has 4 features and x2 has 3"):
        otdd(x1, y1, x2[:, :3], y2)
    with pytest.raises(DataError, match=r"x1, y1 and x2 have the shapes .* and \(\d+,\); expected features, labels"):
        otdd(x1, x2, y1, y2)
    with pytest.raises(DataError, match="y2 has shape"):
        otdd(x1, y1, x2, y2[:-1])
    with pytest.raises(DataError, match="NaN"):
        otdd(np.where(x1 > 1, np.nan, x1), y1, x2, y2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"inner": "gausian"}, "did you mean 'gaussian'"),
        ({"outer": "emd"}, "outer is 'emd'"),
        ({"unit": "root"}, "unit is 'root'"),
        ({"correction": 2}, "correction is 2"),
        ({"lambda_x": -1.0}, "lambda_x -1.0; expected a finite number, 0 or more"),
        ({"lambda_x": 0.0, "lambda_y": 0.0}, "one of them positive"),
        ({"regularisation": 0.0}, "regularisation 0.0; expected a positive"),
        ({"limit": 0}, "limit 0; expected at least 1"),
        ({"limit": 2.5}, "limit 2.5; expected a whole number"),
        ({"n_clusters": 1.5}, "n_clusters 1.5; expected a whole number"),
        ({"regularisation": "a"}, "regularisation 'a'; expected a positive finite number"),
        ({"inner": "exact", "outer": "sliced"}, "use inner='gaussian'"),
    ],
)
def test_options_out_of_range_are_refused(wrong, message):
    with pytest.raises(OptionError, match=message):
        OTDDOptions(**wrong)
