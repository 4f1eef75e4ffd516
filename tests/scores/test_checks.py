"""What users may hand in, and what they are told where they may not."""

from __future__ import annotations

import numpy as np
import pytest

from gapkit.errors import DataError, UndefinedError
from gapkit.scores.checks import check_features, check_length, encode, present_classes


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "bool"])
def test_features_of_any_real_dtype_become_float64(dtype):
    given = np.array([[0, 1], [1, 0]], dtype=dtype)
    checked = check_features(given)
    assert checked.dtype == np.float64
    assert checked.tolist() == [[0.0, 1.0], [1.0, 0.0]]


def test_checked_features_are_a_copy():
    given = np.ones((2, 2))
    check_features(given)[:] = 0
    assert (given == 1).all()


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.zeros(3), r"features has shape \(3,\)"),
        (np.zeros((0, 3)), r"features has shape \(0, 3\)"),
        (np.zeros((3, 0)), r"features has shape \(3, 0\)"),
        (np.array([["a"]]), "features has dtype <U1"),
        (np.array([[1j]]), "features has dtype complex128"),
        (np.array([[0.0], [np.nan], [np.inf]]), "NaN or infinite values in 2 samples, the first at sample 1"),
    ],
)
def test_features_that_cannot_be_used_are_refused_in_words(features, message):
    with pytest.raises(DataError, match=message):
        check_features(features)


@pytest.mark.parametrize("labels", [[3, 1, 3], ["b", "a", "b"], [2.0, 1.0, 2.0], [True, False, True]])
def test_labels_of_any_kind_become_codes(labels):
    codes = encode(labels, 3)
    assert codes.dtype == np.int64
    assert codes.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1], "labels has 2 entries but there are 3 samples"),
        ([0.5, 1.0, 2.0], "labels holds numbers that are no integers"),
        (np.zeros((3, 2)), r"labels has shape \(3, 2\)"),
    ],
)
def test_labels_that_are_no_classes_of_the_samples_are_refused_in_words(labels, message):
    with pytest.raises(DataError, match=message):
        encode(labels, 3)


def test_lengths_that_agree_are_let_through():
    assert check_length(3, 3, "labels") is None


def test_absent_classes_leave_no_gap_and_one_class_is_none():
    codes, count = present_classes(np.array([5, 2, 5]))
    assert (codes.tolist(), count) == ([1, 0, 1], 2)
    with pytest.raises(UndefinedError, match="all samples have the same label"):
        present_classes(np.array([5, 5]))
