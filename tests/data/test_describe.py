"""What inspect says of a target."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gapkit.data.describe import Modality, describe, guess_modality, smoothness
from gapkit.types import Target

RNG_SEED = 4


def uniform(*shape: int) -> np.ndarray:
    """Seeded numbers in [0, 1)."""
    return np.random.default_rng(RNG_SEED).random(shape)


def smooth(n: int, d: int) -> np.ndarray:
    """Random sine waves (n, d)."""
    phase = np.random.default_rng(RNG_SEED).random((n, 1)) * 6
    return np.sin(np.linspace(0, 12, d)[None] + phase)


@pytest.mark.parametrize(
    ("x", "extra", "expected"),
    [
        (np.array(list("abcdef")), {}, "text"),
        ((uniform(6, 8) * 4).astype(np.uint8), {"alphabet": tuple("ACGT")}, "sequence of codes"),
        ((uniform(6, 8) * 4).astype(np.uint8), {}, "vectors"),
        (uniform(6, 400), {"sample_rate": 8000.0}, "audio series"),
        (uniform(6, 2, 400), {"sample_rate": 8000.0}, "audio series"),
        (uniform(6, 400), {"sample_rate": 200.0}, "series"),
        (uniform(6, 400), {}, "vectors"),
        (smooth(6, 400), {}, "series"),
        (smooth(6, 20), {}, "vectors"),
        (uniform(6, 9, 128), {}, "series"),
        ((uniform(6, 12, 12) * 255).astype(np.uint8), {}, "image"),
        ((uniform(6, 12, 20) * 255).astype(np.uint8), {}, "image"),
        ((uniform(6, 3, 20) * 255).astype(np.uint8), {}, "series"),
        (uniform(6, 12, 12), {}, "image"),
        (uniform(6, 12, 12) - 0.5, {}, "field"),
        (uniform(6, 12, 12, 3), {}, "image"),
        (uniform(6, 3, 12, 12), {}, "image"),
        (uniform(6, 3, 12, 12) - 0.5, {}, "field"),
        (uniform(6, 7, 12, 12), {}, "field"),
    ],
)
def test_modality(x: np.ndarray, extra: dict[str, object], expected: Modality) -> None:
    assert guess_modality(Target(x, np.arange(6) % 2, **extra)) == expected


def test_smoothness_is_the_naive_autocorrelation() -> None:
    x = uniform(5, 9)
    naive = []
    for row in x:
        centred = row - row.mean()
        naive.append(sum(a * b for a, b in zip(centred, centred[1:], strict=False)) / sum(a * a for a in centred))
    assert smoothness(x) == pytest.approx(np.median(naive), rel=1e-12)
    assert smoothness(np.ones((3, 4))) == 0.0


def test_numbers_agree_with_the_arrays() -> None:
    x = np.arange(24.0).reshape(8, 3) - 4
    target = Target(
        x,
        np.array([0, 0, 1, 3, 3, 3, 0, 1]),
        class_names=("a", "b", "c", "d", "e"),
        groups=np.array(list("uuvvwwuu")),
        group_key="subject",
        split=np.array([0, 0, 0, 1, 1, 0, 0, 0]),
        notes=("said by the reader",),
    )
    found = describe(target)
    assert found.class_counts == {"a": 3, "b": 2, "c": 0, "d": 3, "e": 0}
    assert (found.n, found.shape, found.dtype, found.value_range) == (8, (8, 3), "float64", (-4.0, 19.0))
    assert (found.groups, found.group_key) == (3, "subject")
    assert found.split_counts == {"train": 6, "test": 2}
    assert found.notes == ("said by the reader", "2 of 5 classes have no sample")
    assert json.loads(json.dumps(found.to_dict()))["class_counts"] == found.class_counts


def test_regression_text_and_several_labels() -> None:
    x = np.array(["a", "four", "as"])
    quantity = describe(Target(x, [1.5, -2.0, 7.0], task="regression"))
    assert (quantity.label_range, quantity.class_counts) == ((-2.0, 7.0), {})
    assert (quantity.value_range, quantity.dtype) == ((1.0, 4.0), "string")
    one_hot = describe(Target(x, np.eye(3)))
    assert one_hot.class_counts == {"0": 1, "1": 1, "2": 1}
    assert "exactly one label" in one_hot.notes[0]
    assert describe(Target(x, np.tri(3))).notes == ()


def test_a_target_of_one_grey_level_per_sample_has_no_smoothness() -> None:
    assert guess_modality(Target(np.repeat(uniform(4, 1), 40, axis=1), [0, 1, 0, 1])) == "vectors"
