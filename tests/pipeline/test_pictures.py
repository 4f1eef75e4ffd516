"""Examples to look at: the right samples, the right way up, as they are and as the source sees them."""

from __future__ import annotations

import numpy as np
import pytest

import gapkit as gk
from gapkit.embedders import choose, fit
from gapkit.pipeline.pictures import EXAMPLES, MOST_CLASSES, class_examples, example_pictures
from gapkit.sources.source import Source


@pytest.fixture(scope="module")
def source() -> Source:
    return gk.load_source("vit", device="cpu")


def pictures_of(source: Source, target: gk.Target) -> object:
    """What a measurement would show."""
    return example_pictures(source, target, fit(choose(target, source.input, source.token), target, source.input, None))


def test_images_are_shown_as_they_are_and_as_the_source_sees_them(source: Source) -> None:
    target = gk.load_target("sample:digits")
    found = pictures_of(source, target)
    assert list(found.target) == list(found.seen) == [str(digit) for digit in range(10)]
    for digit in range(10):
        rows = np.flatnonzero(target.y == digit)[:EXAMPLES]
        for picture, row in zip(found.target[str(digit)], rows, strict=True):
            np.testing.assert_array_equal(picture, target.x[row])
        for picture in found.seen[str(digit)]:
            assert picture.shape == (32, 32, 3)
            assert picture.dtype == np.uint8
    small = found.seen["0"][0][..., 0].reshape(8, 4, 8, 4).mean(axis=(1, 3))
    assert np.corrcoef(small.ravel(), found.target["0"][0].ravel())[0, 1] > 0.95


def test_the_surrogate_shows_every_class_that_it_has(source: Source) -> None:
    found = pictures_of(source, gk.load_target("sample:digits"))
    assert len(found.source) == len(np.unique(source.surrogate.y)) > MOST_CLASSES
    assert set(found.source) <= set(source.class_names)
    assert {len(own) for own in found.source.values()} <= set(range(1, EXAMPLES + 1))


def test_what_is_no_image_is_shown_as_the_source_sees_it(source: Source) -> None:
    target = gk.Target(np.random.default_rng(3).normal(size=(40, 50)), np.arange(40) % 2)
    found = pictures_of(source, target)
    assert found.target == {}
    assert {name: len(own) for name, own in found.seen.items()} == {"0": EXAMPLES, "1": EXAMPLES}
    assert all(picture.shape == (32, 32, 3) for own in found.seen.values() for picture in own)


def test_colours_and_layouts_are_kept(source: Source) -> None:
    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)
    last, first = (pictures_of(source, gk.Target(x, np.arange(20) % 2)) for x in (images, images.transpose(0, 3, 1, 2)))
    for name in ("0", "1"):
        for left, right in zip(last.target[name], first.target[name], strict=True):
            np.testing.assert_array_equal(left, right)
    np.testing.assert_array_equal(last.target["0"][0], images[0])


def test_there_are_none_for_several_labels_and_few_for_many_classes(source: Source) -> None:
    x = np.random.default_rng(3).normal(size=(120, 8))
    several = gk.Target(x, np.random.default_rng(4).integers(0, 2, (120, 3)), task="multilabel")
    assert pictures_of(source, several) is None
    many = gk.Target(x, np.arange(120) % 60)
    assert len(class_examples(many)) == MOST_CLASSES


def test_classes_without_samples_are_left_out() -> None:
    target = gk.Target(
        np.ones((6, 2)) * np.arange(6)[:, None], np.array([0, 2, 2, 0, 2, 0]), class_names=("a", "b", "c")
    )
    assert {name: rows.tolist() for name, rows in class_examples(target).items()} == {"a": [0, 3, 5], "c": [1, 2, 4]}
