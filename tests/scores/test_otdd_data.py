"""OTDD on labels of any kind, degenerate data and large samples."""

from __future__ import annotations

import numpy as np
import pytest

from gapkit.errors import DataError
from gapkit.scores.otdd import otdd
from gapkit.scores.otdd_labels import pseudo_classes
from gapkit.scores.otdd_options import OTDDOptions

EVERY = [
    OTDDOptions(),
    OTDDOptions(covariance="diagonal"),
    OTDDOptions(covariance="shrunk"),
    OTDDOptions(inner="exact"),
    OTDDOptions(inner="means"),
    OTDDOptions(outer="sinkhorn"),
    OTDDOptions(outer="sliced"),
]
IDS = [f"{options.inner}-{options.covariance}-{options.outer}" for options in EVERY]


def draw(seed, n=30, width=3, n_classes=3):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    return rng.normal(size=(n, width)) + 3 * labels[:, None], labels


@pytest.mark.parametrize("dtype", ["float16", "float32", "int64"])
def test_features_of_any_dtype_are_computed_in_float64(dtype):
    x, y = draw(0)
    x = np.round(8 * x).astype(dtype)
    assert otdd(x, y, x + 1, y).value == pytest.approx(2 * 3, rel=1e-12)


@pytest.mark.parametrize(
    "rename",
    [
        lambda y: y,
        lambda y: 10 * y - 7,
        lambda y: (2 * y).astype(np.float32),
        lambda y: np.array(["cat", "ant", "bee"])[y],
        lambda y: np.array([b"cat", b"ant", b"bee"])[y],
        lambda y: y[:, None],
        lambda y: y.tolist(),
    ],
)
def test_names_of_classes_change_nothing(rename):
    (x1, y1), (x2, y2) = draw(1), draw(2, n=20, n_classes=2)
    expected = otdd(x1, y1, x2, y2)
    found = otdd(x1, rename(y1), x2, rename(y2))
    assert found.value == pytest.approx(expected.value, rel=1e-12)
    assert found.notes == ()
    assert len(found.first_classes) == 3


def test_classes_are_named_as_the_labels_are():
    x, y = draw(3)
    found = otdd(x, np.array(["cat", "ant", "bee"])[y], x, 5 * y)
    assert found.first_classes == ("ant", "bee", "cat")
    assert found.second_classes == ("0", "5", "10")
    assert np.array_equal(found.class_coupling * 3, np.eye(3)[[1, 2, 0]]) or found.class_coupling == pytest.approx(
        np.eye(3)[[1, 2, 0]] / 3
    )


def test_quantities_and_several_labels_become_pseudo_classes():
    x, y = draw(4)
    rng = np.random.default_rng(0)
    quantity, several = y + 0.01 * rng.normal(size=30), np.eye(3, dtype=int)[y]
    found = otdd(x, quantity, x, several, options=OTDDOptions(n_clusters=3))
    assert found.value == pytest.approx(0.0, abs=1e-20)  # both are the three classes again
    assert found.first_classes == ("cluster 0", "cluster 1", "cluster 2")
    assert any("y1: 3 pseudo-classes" in note for note in found.notes)
    assert any("y2: 3 pseudo-classes" in note for note in found.notes)


def test_pseudo_classes_are_seeded_and_separate_what_lies_apart():
    rng = np.random.default_rng(1)
    centres = np.repeat(np.arange(4), 25)
    targets = rng.normal(size=(100, 5, 2)) * 0.1 + 10 * centres[:, None, None]
    codes = pseudo_classes(targets, n_clusters=4, seed=1)
    assert codes.tolist() == centres.tolist()
    assert (
        pseudo_classes(targets, n_clusters=7, seed=1).tolist() == pseudo_classes(targets, n_clusters=7, seed=1).tolist()
    )
    assert len(np.unique(pseudo_classes(rng.normal(size=200)))) == 10
    with pytest.raises(DataError, match="finite numbers"):
        pseudo_classes(np.array([0.5, np.nan]))
    with pytest.raises(DataError, match="NaN"):
        otdd(*draw(5), draw(6)[0], np.full(30, np.nan))


@pytest.mark.parametrize("options", EVERY, ids=IDS)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda x: np.zeros_like(x),
        lambda x: np.full_like(x, 0.1),
        lambda x: np.hstack([x[:, :1]] * 3),
        lambda x: x[np.arange(len(x)) // 10],
        lambda x: np.hstack([x] * 40),
    ],
    ids=["zeros", "constant", "rank one", "duplicates", "n < d"],
)
def test_degenerate_features_have_a_distance(options, spoil):
    x, y = draw(7)
    x = spoil(x)
    same, moved = otdd(x, y, x, y, options=options), otdd(x, y, x + 1, y, options=options)
    assert same.value == pytest.approx(0.0, abs=1e-9)
    assert moved.value == pytest.approx(2 * x.shape[1], rel=1e-6)


@pytest.mark.parametrize("options", EVERY, ids=IDS)
def test_one_sample_and_one_class_have_a_distance(options):
    x, y = draw(8)
    found = otdd(x[:1], y[:1], x[:1] + 2, y[:1], options=options)
    assert found.value == pytest.approx(2 * 3 * 4)
    assert found.single_sample_classes == 2
    alone = otdd(x, np.arange(30), x + 2, np.arange(30), options=options)
    assert alone.value == pytest.approx(2 * 3 * 4, rel=1e-6)
    assert alone.single_sample_classes == 60
    one = otdd(x, np.zeros(30, dtype=int), x + 2, np.ones(30, dtype=int), options=options)
    assert one.value == pytest.approx(2 * 3 * 4, rel=1e-6)
    assert one.single_sample_classes == 0


def test_a_class_of_one_sample_is_a_point():
    x, y = draw(9, n=10, n_classes=1)
    point = x[:1] + 5
    found = otdd(point, np.array(["only"]), x, y)
    expected = np.square(point[0] - x.mean(axis=0)).sum() + np.trace(np.cov(x.T))
    assert found.label_distances[0, 0] == pytest.approx(expected)
    assert found.single_sample_classes == 1


def test_large_samples_are_subsampled_by_class_and_it_is_said():
    (x1, y1), (x2, y2) = draw(10, n=300), draw(11, n=50)
    options = OTDDOptions(limit=60)
    found = otdd(x1, y1, x2, y2, options=options)
    assert (found.n_first, found.n_second) == (60, 50)
    assert found.notes == ("y1: 60 of 300 samples, stratified by class",)
    assert found.class_coupling.sum(axis=1) == pytest.approx(np.full(3, 1 / 3))
    assert otdd(x1, y1, x2, y2, options=OTDDOptions(limit=None)).n_first == 300
    assert otdd(x1, y1, x2, y2, options=OTDDOptions(limit=60, outer="sliced")).n_first == 300


def test_what_is_drawn_does_not_depend_on_order_side_or_shift():
    (x1, y1), (x2, y2) = draw(12, n=200), draw(13, n=150)
    options = OTDDOptions(limit=40)
    expected = otdd(x1, y1, x2, y2, options=options).value
    order = np.random.default_rng(0).permutation(200)
    assert otdd(x1[order], y1[order], x2, y2, options=options).value == pytest.approx(expected, rel=1e-10)
    assert otdd(x2, y2, x1, y1, options=options).value == pytest.approx(expected, rel=1e-10)
    assert otdd(x1 + 1000, 5 - y1, x2 + 1000, y2, options=options).value == pytest.approx(expected, rel=1e-9)
    assert otdd(x1, y1, x1[order], y1[order], options=options).value < 1e-20


def test_a_class_without_a_place_in_the_subsample_is_left_out():
    x, _ = draw(14, n=50)
    found = otdd(x, np.arange(50), x, np.arange(50), options=OTDDOptions(limit=10))
    assert len(found.first_classes) == 10
    assert found.class_coupling.shape == (10, 10)
