"""NCE against loops over counts and scikit-learn's mutual information."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from gapkit.errors import DataError, UndefinedError
from gapkit.scores.inputs import ScoreInputs
from gapkit.scores.nce import NCE, nce


def world(seed, n=50, n_source=6, n_target=3):
    rng = np.random.default_rng([seed, 62])
    return rng.integers(n_source, size=n), rng.permutation(
        np.append(np.arange(n_target), rng.integers(n_target, size=n - n_target))
    )


def naive(source, labels):
    """By the definition, on counts."""
    pairs, alone, n = Counter(zip(source, labels, strict=True)), Counter(source), len(labels)
    return sum(count / n * math.log(count / alone[z]) for (z, _), count in pairs.items())


@settings(derandomize=True, deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), n=st.integers(4, 60), n_source=st.integers(1, 12), n_target=st.integers(2, 4))
def test_equals_the_definition_and_the_mutual_information_less_the_entropy(seed, n, n_source, n_target):
    source, labels = world(seed, n, n_source, n_target)
    shares = np.bincount(labels)[np.unique(labels)] / n
    entropy = -shares @ np.log(shares)
    value = nce(source, labels)
    assert value == pytest.approx(naive(source.tolist(), labels.tolist()), rel=1e-11, abs=1e-14)
    assert value == pytest.approx(mutual_info_score(source, labels) - entropy, rel=1e-8, abs=1e-12)
    assert -entropy - 1e-12 <= value <= 0
    names, order = np.array([f"{code:x}" for code in range(12)]), np.random.default_rng(seed).permutation(n)
    assert nce(names[::-1][source][order], 1000 - 7 * labels[order]) == pytest.approx(value, rel=1e-10, abs=1e-14)


def test_the_estimator_takes_the_most_probable_source_class_and_scores_any_labelling():
    rng = np.random.default_rng(0)
    probs, labels = rng.dirichlet(np.ones(5), size=40), rng.integers(3, size=40)
    score = NCE().on(ScoreInputs(features=np.zeros((40, 0)), labels=labels, log_probabilities=np.log(probs)))
    for other in (labels, rng.permutation(labels), 2 * labels):
        assert score(other) == nce(probs.argmax(axis=1), other)


def test_a_source_class_for_every_sample_and_labels_that_determine_the_source():
    assert nce(np.arange(6), np.array([0, 1, 0, 1, 2, 2])) == 0.0
    # H(Y | Z) is not H(Z | Y).
    source, labels = np.array([0, 0, 1, 1]), np.array([0, 1, 2, 3])
    assert nce(source, labels) == pytest.approx(-math.log(2))
    assert nce(labels, source) == 0.0


@pytest.mark.parametrize(
    ("source", "labels", "message"),
    [
        (np.full((3, 2), 0.5), np.arange(3), r"source_labels has shape \(3, 2\).*pass probs.argmax"),
        (np.arange(3), np.full((3, 2), 0.5), r"labels has shape \(3, 2\).*first"),
        (np.arange(3), np.arange(4), r"labels has shape \(4,\) beside 3 samples"),
        (np.array([0.5, 1.0]), np.arange(2), "source_labels has dtype float64"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused_in_words(source, labels, message):
    with pytest.raises(DataError, match=message):
        nce(source, labels)


def test_a_single_class_and_a_source_without_a_head_are_undefined():
    with pytest.raises(UndefinedError, match="same label"):
        nce(np.arange(3), np.zeros(3, dtype=int))
    with pytest.raises(UndefinedError, match="NCE of a source without a head"):
        NCE().on(ScoreInputs(features=np.zeros((3, 2)), labels=np.arange(3)))
