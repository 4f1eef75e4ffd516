"""What every score and distance declares of itself, proved for all of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group

from gapkit.arrays import generator, log_softmax
from gapkit.errors import UndefinedError
from gapkit.scores import catalogue
from gapkit.scores.inputs import PairInputs, ScoreInputs

SCORES = {score.traits.name: score for score in catalogue.scores()}
DISTANCES = {distance.traits.name: distance for distance in catalogue.distances()}
EVERY = {**SCORES, **DISTANCES}
RELATIVE = 1e-6
LOOP = settings(derandomize=True, deadline=None, max_examples=12)
WORLDS = st.tuples(st.integers(0, 10_000), st.integers(44, 70), st.integers(2, 6), st.integers(2, 4))


def make(seed: int, n: int, d: int, classes: int) -> ScoreInputs:
    """A world in which features and probabilities know something of the labels."""
    rng = generator(seed)
    labels = np.arange(n, dtype=np.int64) % classes
    features = rng.normal(size=(classes, d))[labels] + rng.normal(size=(n, d))
    logits = 2 * rng.normal(size=(classes, 6))[labels] + rng.normal(size=(n, 6))
    order = rng.permutation(n)
    return ScoreInputs(
        features=features[order], labels=labels[order], log_probabilities=log_softmax(logits[order]), seed=seed
    )


def value(score, inputs: ScoreInputs) -> float:
    return score.on(inputs)(inputs.labels)


def pair(seed: int, n: int, d: int, classes: int) -> PairInputs:
    """Two labelled samples of different sizes and places."""
    first, second = make(seed, n, d, classes), make(seed + 1, n + 7, d, classes)
    return PairInputs(
        target=first.features,
        surrogate=second.features + 0.5,
        target_labels=first.labels,
        surrogate_labels=second.labels,
        seed=seed,
    )


def same(found: float, expected: float) -> bool:
    return math.isclose(found, expected, rel_tol=RELATIVE, abs_tol=RELATIVE)


def moved(inputs: ScoreInputs, change: str, rng: np.random.Generator) -> ScoreInputs:
    """The inputs after one of the changes that a measure may be invariant to."""
    features, d = inputs.features, inputs.features.shape[1]
    if change == "sample_order":
        return inputs.take(rng.permutation(len(inputs.labels)).astype(np.int64))
    if change == "class_names":
        names = rng.permutation(int(inputs.labels.max()) + 1)
        return replace(inputs, labels=names[inputs.labels].astype(np.int64))
    if change == "shift":
        return replace(inputs, features=features + 3 * rng.normal(size=d))
    if change == "orthogonal":
        turn = ortho_group.rvs(d, random_state=rng) if d > 1 else np.array([[-1.0]])
        return replace(inputs, features=features @ turn)
    return replace(inputs, features=features * 7.3)


@pytest.mark.parametrize("name", EVERY)
def test_traits_are_whole(name: str) -> None:
    traits = EVERY[name].traits
    assert traits.name == name
    for said in (traits.title, traits.formula, traits.paper, traits.cost, traits.avoids):
        assert said.strip()
        assert "\n" not in said
    assert any(year in traits.paper for year in map(str, range(1950, 2027))), "the paper's year"
    assert set(traits.needs)
    assert ("surrogate" in traits.needs) == (name in DISTANCES)
    if traits.lowest is not None and traits.highest is not None:
        assert traits.lowest < traits.highest
    assert "sample_order" in traits.invariant or traits.cross_fitted


@pytest.mark.parametrize("name", SCORES)
@LOOP
@given(world=WORLDS)
def test_scores_are_invariant_to_what_they_declare(name: str, world: tuple[int, int, int, int]) -> None:
    score, inputs = SCORES[name], make(*world)
    before = value(score, inputs)
    for change in score.traits.invariant:
        after = value(score, moved(inputs, change, generator(world[0], 7)))
        assert same(after, before), change


@pytest.mark.parametrize("name", DISTANCES)
@LOOP
@given(world=WORLDS)
def test_distances_are_invariant_to_what_they_declare(name: str, world: tuple[int, int, int, int]) -> None:
    distance, sides = DISTANCES[name], pair(*world)
    before = distance.between(sides)
    for change in distance.traits.invariant:
        # The same change of both sides; orders and names are each side's own.
        first = moved(ScoreInputs(features=sides.target, labels=sides.target_labels), change, generator(world[0], 7))
        second = moved(
            ScoreInputs(features=sides.surrogate, labels=sides.surrogate_labels), change, generator(world[0], 7)
        )
        after = distance.between(
            replace(
                sides,
                target=first.features,
                target_labels=first.labels,
                surrogate=second.features,
                surrogate_labels=second.labels,
            )
        )
        assert same(after, before), change


@pytest.mark.parametrize("name", [name for name, distance in DISTANCES.items() if distance.traits.symmetric])
@LOOP
@given(world=WORLDS)
def test_symmetric_distances_are(name: str, world: tuple[int, int, int, int]) -> None:
    sides = pair(*world)
    turned = replace(
        sides,
        target=sides.surrogate,
        surrogate=sides.target,
        target_labels=sides.surrogate_labels,
        surrogate_labels=sides.target_labels,
    )
    assert same(DISTANCES[name].between(turned), DISTANCES[name].between(sides))


@pytest.mark.parametrize("name", SCORES)
@LOOP
@given(world=WORLDS)
def test_scores_stay_in_their_range_and_give_the_same_bits_again(name: str, world: tuple[int, int, int, int]) -> None:
    score, inputs = SCORES[name], make(*world)
    found = value(score, inputs)
    assert math.isfinite(found)
    slack = 1e-9 * max(1.0, abs(found))
    assert score.traits.lowest is None or found >= score.traits.lowest - slack
    assert score.traits.highest is None or found <= score.traits.highest + slack
    assert found == value(score, make(*world))


@pytest.mark.parametrize("name", DISTANCES)
@LOOP
@given(world=WORLDS)
def test_distances_stay_in_their_range_and_give_the_same_bits_again(
    name: str, world: tuple[int, int, int, int]
) -> None:
    distance = DISTANCES[name]
    found = distance.between(pair(*world))
    assert math.isfinite(found)
    slack = 1e-9 * max(1.0, abs(found))
    assert distance.traits.lowest is None or found >= distance.traits.lowest - slack
    assert distance.traits.highest is None or found <= distance.traits.highest + slack
    assert found == distance.between(pair(*world))


@pytest.mark.parametrize("name", SCORES)
def test_scores_are_better_where_the_source_knows_the_labels(name: str) -> None:
    score, inputs = SCORES[name], make(3, 240, 6, 4)
    scorer = score.on(inputs)
    sign = 1.0 if score.traits.better == "higher" else -1.0
    shuffled = [scorer(generator(seed).permutation(inputs.labels)) for seed in range(10)]
    assert sign * scorer(inputs.labels) > max(sign * found for found in shuffled)


@pytest.mark.parametrize("name", DISTANCES)
def test_distances_grow_with_the_distance(name: str) -> None:
    sides = pair(5, 120, 4, 3)
    near = replace(sides, surrogate=sides.surrogate - 0.5)
    far = replace(sides, surrogate=sides.surrogate + 2.0)
    assert DISTANCES[name].between(far) > DISTANCES[name].between(sides) > DISTANCES[name].between(near) - 1e-9


def edge_cases() -> dict[str, ScoreInputs]:
    """Inputs on which the original codes give NaN, or a wrong number without a word."""
    rng, base = generator(11), make(11, 40, 5, 4)
    few = make(12, 24, 32, 4)
    zero = np.zeros((40, 6))
    zero[np.arange(40), base.labels % 6] = 1.0
    with np.errstate(divide="ignore"):
        certain = np.log(zero)
    absent = base.labels.copy()
    absent[absent == 2] = 9
    return {
        "constant features": replace(base, features=np.ones((40, 5))),
        "a constant column": replace(base, features=np.hstack([base.features, np.full((40, 1), 3.0)])),
        "n < d": few,
        "rank 1": replace(base, features=np.outer(base.features[:, 0], rng.normal(size=5))),
        "one sample per class": replace(base, labels=np.arange(40, dtype=np.int64)),
        "one class with a single sample": replace(base, labels=np.where(np.arange(40) == 0, 4, base.labels)),
        "absent classes": replace(base, labels=absent),
        "duplicated rows": base.take(np.repeat(np.arange(20), 2)),
        "all rows twice": base.take(np.tile(np.arange(40), 2)),
        "scale 1e-8": replace(base, features=base.features * 1e-8),
        "scale 1e8": replace(base, features=base.features * 1e8),
        "far from zero": replace(base, features=base.features + 1e6),
        "probabilities of 0 and 1": replace(base, log_probabilities=certain),
        "one class": replace(base, labels=np.zeros(40, dtype=np.int64)),
        "two samples": base.take(np.array([0, 1], dtype=np.int64)),
        "one feature": replace(base, features=base.features[:, :1]),
    }


EDGES = edge_cases()
FOLDED = ("knn_accuracy", "linear_probe_accuracy")
MAY_BE_UNDEFINED: dict[str, tuple[str, ...]] = {
    "one class": tuple(SCORES),
    "two samples": tuple(SCORES),
    "constant features": ("lfc", "sfda", "parc", "n_leep", *FOLDED),
    "one sample per class": ("sfda", "parc", "n_leep", *FOLDED),
    "one feature": ("parc",),
    "n < d": ("n_leep",),
    "one class with a single sample": ("n_leep",),
}
"""Which scores may have no value; in every other case every score has one."""


def or_reason(compute: Callable[[], float]) -> float | str:
    """A value, or in words why there is none."""
    try:
        return float(compute())
    except UndefinedError as error:
        return str(error)


@pytest.mark.parametrize("case", EDGES)
@pytest.mark.parametrize("name", SCORES)
def test_scores_of_odd_inputs_are_numbers_or_say_why_not(name: str, case: str) -> None:
    score, inputs = SCORES[name], EDGES[case]
    found = or_reason(lambda: value(score, inputs))
    if not isinstance(found, float):
        assert name in MAY_BE_UNDEFINED.get(case, ()), found
        return
    assert math.isfinite(found)
    slack = 1e-6 * max(1.0, abs(found))
    assert score.traits.lowest is None or found >= score.traits.lowest - slack
    assert score.traits.highest is None or found <= score.traits.highest + slack
    if case.startswith("scale") and "scale" in score.traits.invariant:
        assert math.isclose(found, value(score, make(11, 40, 5, 4)), rel_tol=1e-5)
    if case == "absent classes" and "class_names" in score.traits.invariant:
        assert math.isclose(found, value(score, make(11, 40, 5, 4)), rel_tol=1e-6)


@pytest.mark.parametrize("case", [case for case in EDGES if case != "n < d"])
@pytest.mark.parametrize("name", DISTANCES)
def test_distances_of_odd_inputs_are_numbers_or_say_why_not(name: str, case: str) -> None:
    inputs = EDGES[case]
    width = inputs.features.shape[1]
    other = generator(13).normal(size=(30, width)) * max(1e-12, float(np.abs(inputs.features).mean()))
    sides = PairInputs(
        target=inputs.features,
        surrogate=other,
        target_labels=inputs.labels,
        surrogate_labels=np.arange(30, dtype=np.int64) % 3,
    )
    found = or_reason(lambda: DISTANCES[name].between(sides))
    assert isinstance(found, str) or math.isfinite(found)


@pytest.mark.parametrize("name", EVERY)
def test_inputs_are_left_as_they_were(name: str) -> None:
    inputs, sides = make(21, 40, 4, 3), pair(21, 40, 4, 3)
    for array in (inputs.features, inputs.labels, inputs.log_probabilities, sides.target, sides.surrogate):
        array.flags.writeable = False
    if name in SCORES:
        value(SCORES[name], inputs)
    else:
        DISTANCES[name].between(sides)
