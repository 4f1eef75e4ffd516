"""What users may hand in, and what they are told where they may not."""

from __future__ import annotations

import numpy as np
import pytest

from gapkit.errors import DataError, UndefinedError
from gapkit.scores.checks import check_features, check_pair, encode, present_classes


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "bool"])
def test_features_of_any_real_dtype_become_float64(dtype):
    given = np.array([[0, 1], [1, 0]], dtype=dtype)
    checked = check_features(given)
    assert checked.dtype == np.float64
    assert checked.tolist() == [[0.0, 1.0], [1.0, 0.0]]


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
        ([0, 1], r"labels has shape \(2,\) beside 3 samples"),
        ([0.5, 1.0, 2.0], "labels has dtype float64"),
        (np.zeros((3, 2)), r"labels has shape \(3, 2\)"),
    ],
)
def test_labels_that_are_no_classes_of_the_samples_are_refused_in_words(labels, message):
    with pytest.raises(DataError, match=message):
        encode(labels, 3)


def test_whole_numbers_that_floats_do_not_tell_apart_are_refused():
    with pytest.raises(DataError, match=r"labels has dtype float64; expected integers \(as floats, up to 2\^53\)"):
        encode([2**63 + 1, 2**63 + 2, -1], 3)
    assert encode(np.array([2**62 + 1, 2**62 + 2, -1]), 3).tolist() == [1, 2, 0]


def test_a_pair_of_samples_has_the_same_features():
    first, second = check_pair(np.zeros((2, 3), dtype=np.float32), np.ones((4, 3), dtype=np.int64))
    assert (first.shape, second.shape, first.dtype, second.dtype) == ((2, 3), (4, 3), np.float64, np.float64)
    with pytest.raises(DataError, match="x has 3 features and y has 2"):
        check_pair(np.zeros((2, 3)), np.zeros((2, 2)))


def test_absent_classes_leave_no_gap_and_one_class_is_none():
    codes, count = present_classes(np.array([5, 2, 5]))
    assert (codes.tolist(), count) == ([1, 0, 1], 2)
    with pytest.raises(UndefinedError, match="all samples have the same label"):
        present_classes(np.array([5, 5]))
