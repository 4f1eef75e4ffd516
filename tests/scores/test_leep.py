"""LEEP against loops over its definition, at zeros and empty source classes, and whose arguments are told apart."""

from __future__ import annotations

import math
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapkit.errors import DataError, UndefinedError
from gapkit.scores.inputs import ScoreInputs
from gapkit.scores.leep import LEEP, leep
from gapkit.scores.nce import NCE, nce
from gapkit.statistics import mapped
from gapkit.statistics.jackknife import Blocks, deal_classes, kept

MODULE = sys.modules[leep.__module__]
"""Behind the function that has its name."""


def world(seed, n=40, n_source=6, n_target=3, concentration=0.3):
    rng = np.random.default_rng([seed, 61])
    labels = rng.permutation(np.append(np.arange(n_target), rng.integers(n_target, size=n - n_target)))
    return rng.dirichlet(np.full(n_source, concentration), size=n), labels


def naive(probs, labels):
    """By the definition, one source and target class at a time; source classes without mass are passed over."""
    n, n_source = probs.shape
    total = 0.0
    for i in range(n):
        inside = 0.0
        for z in range(n_source):
            marginal = sum(probs[j, z] for j in range(n)) / n
            if marginal > 0:
                joint = sum(probs[j, z] for j in range(n) if labels[j] == labels[i]) / n
                inside += joint / marginal * probs[i, z]
        total += math.log(inside)
    return total / n


@pytest.mark.parametrize(("n", "n_source", "n_target"), [(40, 6, 3), (12, 30, 2), (25, 2, 9), (5, 4, 5)])
def test_equals_the_definition(n, n_source, n_target):
    for seed in range(3):
        probs, labels = world(seed, n, n_source, n_target)
        assert leep(probs, labels) == pytest.approx(naive(probs, labels), rel=1e-11)


def test_one_estimator_scores_any_labelling():
    probs, labels = world(1)
    score = LEEP().on(ScoreInputs(features=np.zeros((40, 0)), labels=labels, log_probabilities=np.log(probs)))
    for seed in range(4):
        other = np.random.default_rng(seed).permutation(labels)
        assert score(other) == pytest.approx(naive(probs, other), rel=1e-11)


@pytest.mark.parametrize("few", [0, 32])
@pytest.mark.parametrize("held", [0, mapped.HELD])
@pytest.mark.parametrize(("n_source", "n_target"), [(6, 3), (1, 2), (30, 20)])
def test_several_labellings_score_as_each_alone(monkeypatch, few, held, n_source, n_target):
    monkeypatch.setattr(MODULE, "FEW", few)
    monkeypatch.setattr(MODULE, "MULTIPLIED", 900)
    monkeypatch.setattr(mapped, "HELD", held)
    probs, labels = world(7, 50, n_source, n_target)
    labellings = [np.random.default_rng(seed).permutation(labels) for seed in range(70)]
    labellings[3] = labels % 2  # of fewer classes
    score = LEEP().on(ScoreInputs(features=np.zeros((50, 0)), labels=labels, log_probabilities=np.log(probs)))
    assert score.several(labellings) == pytest.approx([score(other) for other in labellings], rel=1e-12)
    assert score.several(labellings[:1]) == pytest.approx([naive(probs, labellings[0])], rel=1e-11)
    with pytest.raises(UndefinedError, match="same label"):
        score.several([labels, 0 * labels])


@pytest.mark.parametrize("estimator", [LEEP(), NCE()], ids=["leep", "nce"])
@pytest.mark.parametrize("few", [0, 32])
def test_the_score_without_a_block_is_that_of_what_is_left(monkeypatch, estimator, few):
    monkeypatch.setattr(MODULE, "FEW", few)
    for seed in range(3):
        probs, labels = world(seed, 60, 8, 4)
        with np.errstate(divide="ignore"):  # a source class that one block alone has any of
            probs[np.flatnonzero(labels == 0)[1:], 7], probs[labels != 0, 7] = 0.0, 0.0
            inputs = ScoreInputs(features=np.zeros((60, 1)), labels=labels, log_probabilities=np.log(probs))
        blocks = deal_classes(labels, 5)
        short = estimator.on(inputs).without(blocks)
        for block in range(len(blocks.layers)):
            part = inputs.take(kept(blocks.ids, block))
            assert short(block, part) == pytest.approx(estimator.on(part)(part.labels), rel=1e-12)


def test_a_block_whose_loss_leaves_one_class_is_named():
    probs, labels = world(1, 12, 3, 2)
    inputs = ScoreInputs(features=np.zeros((12, 1)), labels=labels, log_probabilities=np.log(probs))
    short = LEEP().on(inputs).without(Blocks(ids=labels, layers=np.zeros(2, dtype=np.int64)))
    with pytest.raises(UndefinedError, match="same label"):
        short(0, inputs.take(np.flatnonzero(labels == 1)))


def test_exact_zeros_and_source_classes_without_mass_carry_nothing():
    probs, labels = world(2)
    probs[probs < 0.1] = 0.0
    probs /= probs.sum(axis=1, keepdims=True)
    with_empty = np.insert(probs, [0, 3, 6], 0.0, axis=1)
    assert leep(with_empty, labels) == pytest.approx(naive(probs, labels), rel=1e-11)
    assert leep(with_empty, labels) == pytest.approx(naive(with_empty, labels), rel=1e-11)


def test_probabilities_that_underflow_in_single_precision_are_kept():
    log_p = np.log(np.array([[0.5, 0.5], [0.5, 0.5]]))
    inputs = ScoreInputs(
        features=np.zeros((2, 0)), labels=np.arange(2), log_probabilities=np.column_stack([log_p, [-500.0, -900.0]])
    )
    # A source class of vanishing mass predicts as little as its mass.
    assert LEEP().on(inputs)(np.arange(2)) == pytest.approx(-math.log(2), rel=1e-12)


def test_certain_predictions_make_it_nce():
    source = np.random.default_rng(3).integers(5, size=60)
    labels = np.random.default_rng(4).integers(3, size=60)
    assert leep(np.eye(5)[source], labels) == pytest.approx(nce(source, labels), rel=1e-12)


def test_one_source_class_leaves_the_entropy_of_the_labels():
    labels = np.array([0, 0, 0, 1])
    assert leep(np.ones((4, 1)), labels) == pytest.approx(0.75 * math.log(0.75) + 0.25 * math.log(0.25))


def test_labels_that_the_source_determines_lose_nothing():
    labels = np.repeat([4, 7, 9], 5)
    assert leep(np.repeat(np.eye(3), 5, axis=0), labels) == 0.0


def test_rounding_leaves_no_perfect_prediction_above_zero():
    labels = np.arange(30) % 2
    for seed in range(20):
        shares = np.random.default_rng(seed).dirichlet(np.ones(7), size=30)
        probs = np.where(labels[:, None] == np.repeat([0, 1], 7), np.tile(shares, 2), 0.0)
        assert -1e-15 <= leep(probs, labels) <= 0.0


def test_rows_are_divided_by_their_sums():
    probs, labels = world(7)
    off = probs * np.random.default_rng(0).uniform(0.9995, 1.0005, size=(40, 1))
    assert leep(off, labels) == pytest.approx(leep(probs, labels), rel=1e-12)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), n=st.integers(4, 40), n_source=st.integers(1, 8))
def test_lies_between_the_entropy_and_zero_whatever_the_order_and_names(seed, n, n_source):
    probs, labels = world(seed, n, n_source, 3)
    value, rng = leep(probs, labels), np.random.default_rng(seed)
    shares = np.bincount(labels) / n
    assert shares @ np.log(shares) - 1e-12 <= value <= 0.0
    order = rng.permutation(n)
    assert leep(probs[order], labels[order]) == pytest.approx(value, rel=1e-10, abs=1e-14)
    names = np.array(["zebra", "ape", "lion"])
    assert leep(probs[:, rng.permutation(n_source)], names[labels]) == pytest.approx(value, rel=1e-10, abs=1e-14)


@pytest.mark.parametrize(("dtype", "rel"), [("float32", 1e-6), ("float16", 2e-3)])
def test_softmax_rows_of_lower_precision_are_taken(dtype, rel):
    probs, labels = world(5)
    assert leep(probs.astype(dtype), labels) == pytest.approx(leep(probs, labels), rel=rel)


def test_memory_is_a_few_copies_of_the_probabilities_and_no_product_with_target_classes():
    probs, labels = world(6, n=4000, n_source=200, n_target=50)
    tracemalloc.start()
    leep(probs, labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * probs.nbytes


@pytest.mark.parametrize(
    ("probs", "labels", "message"),
    [
        (np.zeros(4, dtype=int), np.full((4, 2), 0.5), "probs has shape .* they have changed places"),
        (np.array([[0], [1]]), np.array([0, 1]), "rows that sum to 0 to 1"),
        (np.array([[2.0, -1.0], [0.5, 0.5]]), np.array([0, 1]), "probs has entries from -1"),
        (np.array([[3.0, 1.0], [0.5, 0.5]]), np.array([0, 1]), "rows that sum to 1 to 4.*not logits"),
        (np.full((3, 2), 0.5), np.array([0, 1]), r"labels has shape \(2,\) beside 3 samples"),
        (np.full((3, 2), np.nan), np.array([0, 1, 1]), "probs has NaN"),
        (np.full((3, 2), 0.5), np.full((3, 2), 0.5), r"labels has shape \(3, 2\).*the source's softmax \(n, S\) first"),
        (np.eye(3), np.full((3, 2), 0.5), "they have changed places"),
        (np.full((3, 2), 0.5), np.eye(3)[[0, 1, 1]], r"labels\.argmax\(axis=1\) in the place of one-hot labels"),
        (np.arange(3), np.arange(3), r"probs has shape \(3,\).*the source's softmax \(n, S\) first"),
        (np.full((2, 4), 0.5), np.array([0, 1, 0, 1]), r"rows that sum to 2 to 2.*pass probs\.T"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused_in_words(probs, labels, message):
    with pytest.raises(DataError, match=message):
        leep(probs, labels)


def test_a_single_class_and_a_source_without_a_head_are_undefined():
    with pytest.raises(UndefinedError, match="same label"):
        leep(np.full((3, 2), 0.5), np.zeros(3, dtype=int))
    with pytest.raises(UndefinedError, match="LEEP of a source without a head"):
        LEEP().on(ScoreInputs(features=np.zeros((3, 2)), labels=np.arange(3)))
