"""Labels of every kind become codes, or an error that says what is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gapkit.errors import DataError
from gapkit.labels import encode_labels


@given(st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=30))
def test_any_integers_become_codes_that_name_them(values: list[int]) -> None:
    encoded = encode_labels(np.array(values))
    assert [int(encoded.class_names[code]) for code in encoded.values] == values
    assert sorted(set(encoded.values.tolist())) == list(range(len(set(values))))
    assert [int(name) for name in encoded.class_names] == sorted(set(values))


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4), min_size=1, max_size=20))
def test_any_strings_become_codes_that_name_them(values: list[str]) -> None:
    encoded = encode_labels(np.array(values))
    assert [encoded.class_names[code] for code in encoded.values] == values


@pytest.mark.parametrize(
    ("labels", "codes", "names"),
    [
        (np.array([True, False]), [1, 0], ("False", "True")),
        (np.array([2.0, 5.0, 2.0]), [0, 1, 0], ("2", "5")),
        (np.array([[3], [1]]), [1, 0], ("1", "3")),
        (np.array([b"up", b"down"]), [1, 0], ("down", "up")),
        (np.array([255, 0], dtype=np.uint8), [1, 0], ("0", "255")),
    ],
)
def test_other_kinds(labels: np.ndarray, codes: list[int], names: tuple[str, ...]) -> None:
    encoded = encode_labels(labels)
    assert (encoded.values.tolist(), encoded.class_names) == (codes, names)
    assert encoded.values.dtype == np.int64


def test_names_without_a_sample_keep_their_code() -> None:
    encoded = encode_labels(np.array([0, 2]), class_names=["a", "b", "c"])
    assert (encoded.values.tolist(), encoded.class_names) == ([0, 2], ("a", "b", "c"))


def test_strings_are_looked_up_in_the_given_order() -> None:
    assert encode_labels(np.array(["b", "a"]), class_names=["b", "a"]).values.tolist() == [0, 1]


def test_zeros_and_ones_in_columns_are_several_labels() -> None:
    encoded = encode_labels(np.array([[1, 0, 1], [0, 0, 0]]))
    assert (encoded.task, encoded.class_names, encoded.values.shape) == ("multilabel", ("0", "1", "2"), (2, 3))


def test_regression_keeps_the_numbers() -> None:
    encoded = encode_labels(np.array([0.5, 2.0], dtype=np.float32), task="regression")
    assert encoded.values.dtype == np.float64
    assert encoded.values.tolist() == [0.5, 2.0]


@pytest.mark.parametrize(
    ("labels", "options", "words"),
    [
        (np.array([0.5, 1.0]), {}, r"no integers, such as 0\.5.*--task regression"),
        (np.array([0.0, np.nan, np.inf]), {}, "2 labels that are NaN or infinite, the first at sample 1"),
        (np.array([1j, 2]), {}, "dtype complex128"),
        (np.zeros((2, 2, 2)), {"task": "multilabel"}, "zeros and ones"),
        (np.zeros((2, 2, 2)), {"task": "classification"}, "one label per sample"),
        (np.full((2, 2, 2), "a"), {}, "a field of numbers for each sample"),
        (np.array([0.5, 1.0]), {"task": "dense"}, "a field of numbers for each sample"),
        (np.array([[2, 0], [0, 1]]), {}, "zeros and ones"),
        (np.array([0, 3]), {"class_names": ["a", "b"]}, "labels from 0 to 3 but there are 2 class names"),
        (np.array([-1, 0]), {"class_names": ["a", "b"]}, "labels from -1 to 0"),
        (np.array(["a", "z"]), {"class_names": ["a", "b"]}, "'z', which is not in class_names"),
        (np.array([0, 1]), {"class_names": ["a", "a"]}, "'a' more than once"),
        (np.array(["a", "b"]), {"task": "regression"}, "numbers for a regression target"),
        (np.array([[1, 0]]), {"class_names": ["a"]}, "2 columns but there are 1 class names"),
    ],
)
def test_bad_labels_are_refused_with_a_remedy(labels: np.ndarray, options: dict[str, object], words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        encode_labels(labels, name="d.npz: y", **options)
    assert str(caught.value).startswith("d.npz: y")
