"""Seeds, hashes, softmax and checks of arrays."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import log_softmax as scipy_log_softmax

from gapkit.arrays import (
    blocks,
    check_lengths,
    check_samples,
    digest,
    fingerprints,
    generator,
    log_softmax,
    seeded_torch,
)
from gapkit.errors import DataError


def test_streams_of_one_seed_differ_and_repeat() -> None:
    draws = {stream: generator(2, *stream).random() for stream in [(), (0,), (1,), (0, 1)]}
    assert len(set(draws.values())) == 4
    assert draws[(0, 1)] == generator(2, 0, 1).random()


def test_seeded_torch_repeats_and_restores_the_global_state() -> None:
    before = torch.get_rng_state()
    with seeded_torch(2):
        first = torch.rand(3)
    with seeded_torch(2):
        assert torch.equal(first, torch.rand(3))
    assert torch.equal(before, torch.get_rng_state())


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 6)), elements=st.floats(-1e4, 1e4)))
def test_log_softmax_equals_scipys_and_sums_to_one(logits: np.ndarray) -> None:
    ours = log_softmax(logits)
    np.testing.assert_allclose(ours, scipy_log_softmax(logits, axis=1), atol=1e-12)
    np.testing.assert_allclose(np.exp(ours).sum(axis=1), 1.0, atol=1e-12)


def test_log_softmax_of_float16_is_computed_in_float64() -> None:
    logits = np.array([[0.0, -40.0]], dtype=np.float16)
    assert log_softmax(logits)[0, 1] == pytest.approx(-40.0, abs=1e-12)


def test_digest_tells_dtype_shape_order_and_content_apart() -> None:
    zeros = np.zeros((2, 3))
    variants = [
        digest(zeros),
        digest(zeros.astype(np.float32)),
        digest(zeros.reshape(3, 2)),
        digest(zeros + 1),
        digest(zeros, "a"),
        digest("a", zeros),
    ]
    assert len(set(variants)) == len(variants)


def test_digest_does_not_depend_on_memory_layout() -> None:
    array = np.arange(12.0).reshape(3, 4)
    assert digest(array) == digest(np.asfortranarray(array)) == digest(np.repeat(array, 2, axis=1)[:, ::2])


@given(st.integers(1, 40), st.integers(1, 64))
def test_blocks_put_together_are_the_array(rows: int, nbytes: int) -> None:
    array = np.arange(rows * 3).reshape(rows, 3)
    np.testing.assert_array_equal(np.concatenate(list(blocks(array, nbytes=nbytes))), array)


def test_fingerprints_are_hashes_of_the_bytes_whatever_the_shape() -> None:
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    expected = [hashlib.sha256(bytes(range(start, start + 12))).hexdigest()[:16] for start in (0, 12)]
    assert fingerprints(images) == fingerprints(images.reshape(2, 12, 1)) == expected


def test_check_samples_counts_nan_and_infinite_values_and_says_where() -> None:
    x = np.ones((5, 3))
    x[2, 0], x[2, 1], x[4, 2] = np.nan, np.inf, np.nan
    with pytest.raises(DataError, match="d: x has 2 NaN and 1 infinite values in 2 samples, the first at sample 2"):
        check_samples(x, name="d: x")


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros((0, 3)), "at least one sample"),
        (np.full((4, 2), 7), "is 7 everywhere"),
        (np.ones(3, dtype=complex), "complex numbers"),
        (np.array([object()]), "dtype object"),
    ],
)
def test_check_samples_refuses(x: np.ndarray, words: str) -> None:
    with pytest.raises(DataError, match=words):
        check_samples(x, name="x")


def test_check_lengths_names_array_length_and_n() -> None:
    with pytest.raises(DataError, match="d: y has 2 labels but x has 3 samples"):
        check_lengths(3, {"group": 3, "y": 2}, name="d")
