"""No NaN, infinity or warning for whatever a source or target may bring; bad arguments are explained."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from gapkit.errors import DataError, OptionError
from gapkit.gap import ConditionalInputs, GapOptions, fit_channel, measure_misalignment


def zeros_and_ones(rng, n=60):
    labels = np.arange(n) % 3
    probs = np.eye(5)[np.where(rng.random(n) < 0.8, labels, rng.integers(5, size=n))]
    return probs, labels


def never_predicted(rng, n=60):
    probs = rng.dirichlet(np.ones(4), size=n)
    probs[:, 2] = 0
    return probs / probs.sum(axis=1, keepdims=True), np.arange(n) % 3


def as_many_classes(rng, n=60):
    return rng.dirichlet(np.ones(3), size=n), np.arange(n) % 3


def two_classes(rng, n=60):
    return rng.dirichlet(np.ones(6) * 0.1, size=n), np.arange(n) % 2


def more_target_classes(rng, n=60):
    return rng.dirichlet(np.ones(2), size=n), np.arange(n) % 5


def one_source_class(rng, n=60):
    return np.ones((n, 1)), np.arange(n) % 2


def tiny(rng):
    return rng.dirichlet(np.ones(10) * 0.2, size=20), np.arange(20) % 2


def tiny_with_rare_classes(rng):
    return rng.dirichlet(np.ones(30) * 0.2, size=20), np.array([0] * 8 + [1] * 6 + [2] * 3 + [3] * 2 + [4])


def duplicated(rng):
    probs, labels = two_classes(rng, 12)
    return np.repeat(probs, 5, axis=0), np.repeat(labels, 5)


def same_everywhere(rng, n=40):
    return np.tile([0.1, 0.2, 0.7], (n, 1)), np.arange(n) % 2


def wrong_and_certain(rng, n=60):
    labels = np.arange(n) % 3
    return np.eye(3)[(labels + rng.integers(1, 3, size=n)) % 3], labels


CASES = (
    zeros_and_ones,
    never_predicted,
    as_many_classes,
    two_classes,
    more_target_classes,
    one_source_class,
    tiny,
    tiny_with_rare_classes,
    duplicated,
    same_everywhere,
    wrong_and_certain,
)


def measure(probs, labels, rng, **more):
    with np.errstate(divide="ignore"):
        log_p = np.log(probs)
    features = more.pop("features", rng.normal(size=(len(labels), 30)))
    inputs = ConditionalInputs(
        log_probabilities=log_p, features=features, labels=labels, n_classes=int(labels.max()) + 1, **more
    )
    return measure_misalignment(inputs, GapOptions(bootstrap=100))


def check(result):
    for row in result.rows:
        if row.status == "undefined":
            assert row.reason
            continue
        numbers = [row.value, row.normalised, *row.interval, *row.value_interval, row.in_sample or 0.0]
        assert np.isfinite(numbers).all()
        assert row.interval[0] <= row.normalised <= row.interval[1]
        assert row.value_interval[0] <= row.value <= row.value_interval[1]
    for shown in result.label_maps.values():
        assert np.isfinite([shown.temperature, shown.eps]).all()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_finite_and_silent(case):
    rng = np.random.default_rng(0)
    probs, labels = case(rng)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(measure(probs, labels, rng))


@pytest.mark.parametrize("width", [0, 1, 3])
def test_features_without_content(width):
    rng = np.random.default_rng(1)
    probs, labels = two_classes(rng)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(measure(probs, labels, rng, features=np.ones((60, width))))


def test_few_groups():
    rng = np.random.default_rng(2)
    probs, labels = two_classes(rng)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(measure(probs, labels, rng, groups=np.arange(60) // 12))
    with pytest.raises(DataError, match="--group none"):
        measure(probs, labels, rng, groups=np.arange(60) // 20)


def arrays(n=30, n_source=4):
    rng = np.random.default_rng(3)
    return {
        "log_probabilities": np.log(rng.dirichlet(np.ones(n_source), size=n)),
        "features": rng.normal(size=(n, 5)),
        "labels": np.arange(n) % 2,
        "n_classes": 2,
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"log_probabilities": np.zeros((30, 0))}, "give the source a head"),
        ({"log_probabilities": np.zeros((30, 4))}, "not logits"),
        ({"log_probabilities": np.full((30, 4), np.nan)}, "not logits"),
        ({"labels": np.arange(29) % 2}, "one for each row"),
        ({"labels": np.arange(30)}, "from 0 to 1"),
        ({"features": np.zeros((29, 5))}, "one row for each row"),
        ({"features": np.full((30, 5), np.inf)}, "finite"),
        ({"groups": np.zeros(29, dtype=int)}, "give one per sample"),
    ],
)
def test_unusable_inputs_are_explained(change, words):
    with pytest.raises(DataError, match=words):
        ConditionalInputs(**(arrays() | change))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"families": ("injections",)}, "did you mean 'injection'"),
        ({"families": ()}, "at least one"),
        ({"discrepancies": ("briers",)}, "did you mean 'brier'"),
        ({"folds": 1}, "at least 2"),
        ({"bootstrap": 10}, "at least 100"),
        ({"seed": -1}, "at least 0"),
    ],
)
def test_unusable_options_are_explained(options, words):
    with pytest.raises(OptionError, match=words):
        GapOptions(**options)


def test_one_class_is_an_error():
    with pytest.raises(DataError, match="fewer than two"):
        measure_misalignment(ConditionalInputs(**(arrays() | {"labels": np.zeros(30, dtype=int)})))


def test_channel_takes_float32_rows():
    rng = np.random.default_rng(4)
    probs = rng.dirichlet(np.ones(5), size=50).astype(np.float32)
    assert np.isfinite(fit_channel(probs, np.arange(50) % 2).matrix).all()


def test_groups_may_be_a_list_of_names():
    rng = np.random.default_rng(3)
    probs, labels = two_classes(rng)
    names = [f"subject {k}" for k in rng.integers(12, size=len(labels))]
    codes = np.unique(names, return_inverse=True)[1]
    features = rng.normal(size=(len(labels), 3))
    named, coded = (measure(probs, labels, rng, features=features, groups=groups) for groups in (names, codes))
    assert named == coded
