"""What every measure of two layers, or of one, declares of itself, proved for all of them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group

from gapkit import reuse
from gapkit.arrays import generator
from gapkit.errors import DataError, UndefinedError
from gapkit.reuse import catalogue
from gapkit.reuse.subspace import SubspaceOverlap

# Two directions instead of ten: the worlds are narrow.
PAIRED = {measure.traits.name: measure for measure in (*catalogue.similarities()[:-1], SubspaceOverlap(rank=2))}
SINGLE = {measure.traits.name: measure for measure in catalogue.geometries()}
EVERY = {**PAIRED, **SINGLE}
CHANGES = ("shift", "orthogonal", "scale")
LOOP = settings(derandomize=True, deadline=None, max_examples=20)
WORLDS = st.tuples(st.integers(0, 10_000), st.integers(30, 50), st.integers(3, 7))
RELATIVE = 1e-8


def make(seed: int, n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Two layers of one width that know something of each other, with directions of different variance."""
    rng = generator(seed)
    x = rng.normal(size=(n, d)) * np.linspace(2, 1, d) + 0.5
    return x, x @ rng.normal(size=(d, d)) + rng.normal(size=(n, d))


def make_labels(n: int) -> np.ndarray:
    return np.arange(n, dtype=np.int64) % 3


def moved(features: np.ndarray, change: str, seed: int) -> np.ndarray:
    rng, d = generator(seed, 7), features.shape[1]
    if change == "shift":
        return features + 3 * rng.normal(size=d)
    if change == "orthogonal":
        return features @ ortho_group.rvs(d, random_state=rng)
    return features * 7.3


def same(found: float, expected: float) -> bool:
    return math.isclose(found, expected, rel_tol=RELATIVE, abs_tol=RELATIVE)


def inside(measure, found: float) -> bool:
    low, high = measure.traits.lowest, measure.traits.highest
    return math.isfinite(found) and (low is None or found >= low) and (high is None or found <= high)


def test_all_functions_of_the_design_are_there() -> None:
    paired = {"cka", "procrustes", "mutual_knn", "cknna", "rsa", "svcca", "pwcca", "subspace_overlap"}
    assert set(PAIRED) == paired
    assert set(SINGLE) == {"alignment", "uniformity", "effective_rank", "davies_bouldin", "nc1"}
    assert all(callable(getattr(reuse, name)) for name in EVERY)


@pytest.mark.parametrize("name", EVERY)
def test_traits_are_whole(name: str) -> None:
    traits = EVERY[name].traits
    assert traits.name == name
    for said in (traits.title, traits.formula, traits.paper, traits.cost, traits.avoids):
        assert said.strip()
        assert "\n" not in said
    assert any(year in traits.paper for year in map(str, range(1950, 2027))), "the paper's year"
    assert ("paired_features" in traits.needs) == (name in PAIRED)
    assert ("labels" in traits.needs) == traits.conditional
    assert "sample_order" in traits.invariant


@pytest.mark.parametrize("name", PAIRED)
@LOOP
@given(world=WORLDS)
def test_a_change_of_either_side_changes_what_is_declared(name: str, world: tuple[int, int, int]) -> None:
    measure, (x, y) = PAIRED[name], make(*world)
    before = measure.between(x, y)
    order = generator(world[0], 8).permutation(len(x))
    assert same(measure.between(x[order], y[order]), before)
    for change in set(CHANGES) & set(measure.traits.invariant):
        assert same(measure.between(moved(x, change, world[0]), y), before), change
        assert same(measure.between(x, moved(y, change, world[0])), before), change


@pytest.mark.parametrize("name", PAIRED)
def test_what_is_not_declared_does_change_the_value(name: str) -> None:
    measure, (x, y) = PAIRED[name], make(3, 40, 5)
    before = measure.between(x, y)
    for change in set(CHANGES) - set(measure.traits.invariant):
        assert abs(measure.between(moved(x, change, 3), y) - before) > 1e-4, change
    turned = measure.between(y, x)
    assert same(turned, before) == measure.traits.symmetric


@pytest.mark.parametrize("name", [name for name, measure in PAIRED.items() if measure.traits.symmetric])
@LOOP
@given(world=WORLDS)
def test_symmetric_measures_are(name: str, world: tuple[int, int, int]) -> None:
    x, y = make(*world)
    assert same(PAIRED[name].between(y, x), PAIRED[name].between(x, y))


@pytest.mark.parametrize("name", PAIRED)
@LOOP
@given(world=WORLDS)
def test_values_are_in_range_and_a_layer_is_most_like_itself(name: str, world: tuple[int, int, int]) -> None:
    measure, (x, y) = PAIRED[name], make(*world)
    found, itself = measure.between(x, y), measure.between(x, x.copy())
    assert inside(measure, found)
    assert found == measure.between(x.copy(), y.copy())
    higher = measure.traits.better == "higher"
    assert abs(itself - float(higher)) <= 1e-12
    assert found < itself if higher else found > itself


@pytest.mark.parametrize("name", PAIRED)
@LOOP
@given(world=WORLDS)
def test_a_layer_that_was_only_turned_is_itself(name: str, world: tuple[int, int, int]) -> None:
    measure, (x, _) = PAIRED[name], make(*world)
    for change in set(CHANGES) & set(measure.traits.invariant):
        found = measure.between(x, moved(x, change, world[0]))
        assert abs(found - float(measure.traits.better == "higher")) <= 1e-12, change


@pytest.mark.parametrize("name", PAIRED)
def test_noise_on_a_layer_takes_it_away(name: str) -> None:
    measure, (x, _) = PAIRED[name], make(5, 200, 6)
    noise = generator(5, 9).normal(size=x.shape)
    values = [measure.between(x, x + size * noise) for size in (0.0, 0.3, 1.0, 10.0)]
    assert values == sorted(values, reverse=measure.traits.better == "higher")


@pytest.mark.parametrize("name", SINGLE)
@LOOP
@given(world=WORLDS)
def test_geometry_is_invariant_to_what_it_declares(name: str, world: tuple[int, int, int]) -> None:
    measure, (x, _), labels = SINGLE[name], make(*world), make_labels(world[1])
    before = measure.of(x, labels)
    assert inside(measure, before)
    assert before == measure.of(x.copy(), labels.copy())
    order = generator(world[0], 8).permutation(len(x))
    assert same(measure.of(x[order], labels[order]), before)
    assert same(measure.of(x, np.array(["b", "c", "a"])[labels]), before)
    for change in set(CHANGES) & set(measure.traits.invariant):
        assert same(measure.of(moved(x, change, world[0]), labels), before), change


@pytest.mark.parametrize("name", SINGLE)
def test_geometry_changes_with_what_it_does_not_declare(name: str) -> None:
    measure, (x, _), labels = SINGLE[name], make(3, 40, 5), make_labels(40)
    before = measure.of(x, labels)
    for change in set(CHANGES) - set(measure.traits.invariant):
        assert abs(measure.of(moved(x, change, 3), labels) - before) > 1e-4, change
    reads_labels = abs(measure.of(x, np.arange(40) // 14) - before) > 1e-6
    assert reads_labels == ("labels" in measure.traits.needs)


@pytest.mark.parametrize("name", [name for name, measure in SINGLE.items() if measure.traits.conditional])
def test_compact_classes_are_better(name: str) -> None:
    labels = make_labels(60)
    means, noise = 3 * generator(6).normal(size=(3, 5))[labels], generator(6, 1).normal(size=(60, 5))
    values = [SINGLE[name].of(means + size * noise, labels) for size in (0.01, 0.3, 1.0, 3.0)]
    assert values == sorted(values)


def edge_cases() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Pairs on which other code gives NaN, stops, or gives a wrong number without a word."""
    x, y = make(11, 40, 5)
    wide, rng = make(12, 20, 64), generator(13)
    return {
        "a constant column": (np.hstack([x, np.full((40, 1), 0.1)]), np.hstack([y, np.full((40, 1), 1e7)])),
        "duplicated rows": (np.repeat(x[:20], 2, axis=0), np.repeat(y[:20], 2, axis=0)),
        "scale 1e-8": (x * 1e-8, y),
        "scale 1e8": (x, y * 1e8),
        "scale 1e-150": (x * 1e-150, y * 1e150),
        "far from zero": (x + 1e6, y - 1e6),
        "integers": (np.rint(10 * x).astype(np.int16), np.rint(10 * y).astype(np.int64)),
        "float32": (x.astype(np.float32), y.astype(np.float32)),
        "n < d": wide,
        "rank 1": (np.outer(x[:, 0], rng.normal(size=5)), np.outer(y[:, 0], rng.normal(size=5))),
        "one side constant": (x, np.full_like(x, 0.1)),
        "both sides constant": (np.full_like(x, 1 / 3), np.zeros_like(x)),
        "one hot": (np.eye(5)[np.arange(40) % 5], y),
        "a sample of zeros": (np.vstack([x[:-1], np.zeros((1, 5))]), y),
        "one sample apart": (np.vstack([np.full((39, 5), 1.0), x[:1]]), y),
        "three samples": (x[:3], y[:3]),
        "one sample": (x[:1], y[:1]),
        "one feature": (x[:, :1], y[:, :1]),
    }


EDGES = edge_cases()
MAY_BE_UNDEFINED: dict[str, tuple[str, ...]] = {
    "a constant column": ("rsa",),  # rows correlate to 1e-12 where a column of 1e7 is all that they are
    "n < d": ("svcca", "pwcca"),
    "rank 1": ("subspace_overlap",),
    "one side constant": tuple(PAIRED),
    "both sides constant": tuple(PAIRED),
    "one hot": ("subspace_overlap",),
    "one sample apart": ("cka", "cknna", "subspace_overlap"),
    "three samples": ("cka", "cknna", "mutual_knn", "svcca", "pwcca"),
    "one sample": tuple(PAIRED),
    "one feature": ("rsa", "subspace_overlap"),
}
"""Which measures have no value; in every other case all have one."""


def or_reason(compute: Callable[[], float]) -> float | str:
    """A value, or in words why there is none."""
    try:
        return float(compute())
    except UndefinedError as error:
        return str(error)


@pytest.mark.parametrize("case", EDGES)
@pytest.mark.parametrize("name", PAIRED)
def test_odd_pairs_have_a_value_or_a_reason(name: str, case: str) -> None:
    measure, (x, y) = PAIRED[name], EDGES[case]
    for array in (x, y):
        array.flags.writeable = False
    found = or_reason(lambda: measure.between(x, y))
    assert isinstance(found, str) == (name in MAY_BE_UNDEFINED.get(case, ())), found
    if isinstance(found, str):
        return
    assert inside(measure, found)
    usual = measure.between(*make(11, 40, 5))
    if case.startswith("scale"):
        assert same(found, usual)
    if case == "far from zero" and "shift" in measure.traits.invariant:
        assert math.isclose(found, usual, abs_tol=1e-7)
    if case == "float32":
        assert math.isclose(found, usual, abs_tol=1e-4)
    itself = or_reason(lambda: measure.between(x, x))
    assert isinstance(itself, str) or abs(itself - float(measure.traits.better == "higher")) <= 1e-12


@pytest.mark.parametrize("case", EDGES)
@pytest.mark.parametrize("name", SINGLE)
def test_odd_layers_have_a_value_or_a_reason(name: str, case: str) -> None:
    measure, (_, x) = SINGLE[name], EDGES[case]
    found = or_reason(lambda: measure.of(x, make_labels(len(x))))
    undefined = {
        "one side constant": ("nc1", "davies_bouldin", "effective_rank"),
        "both sides constant": tuple(SINGLE),
        "three samples": ("alignment", "nc1", "davies_bouldin"),
        "one sample": tuple(SINGLE),
    }
    assert isinstance(found, str) == (name in undefined.get(case, ())), found
    assert isinstance(found, str) or inside(measure, found)


@pytest.mark.parametrize("name", PAIRED)
def test_arrays_that_cannot_be_used_are_refused(name: str) -> None:
    between, (x, y) = PAIRED[name].between, make(1, 30, 4)
    with pytest.raises(DataError, match=r"x has 30 samples and y has 29.*capture both"):
        between(x, y[:-1])
    with pytest.raises(DataError, match="y has shape"):
        between(x, y[:, 0])
    y[4, 1] = np.nan
    with pytest.raises(DataError, match=r"y has NaN .* the first at sample 4"):
        between(x, y)
    with pytest.raises(DataError, match="x has dtype complex128"):
        between(x * 1j, x)


@pytest.mark.parametrize("name", SINGLE)
def test_features_and_labels_that_cannot_be_used_are_refused(name: str) -> None:
    of, (x, _) = SINGLE[name].of, make(1, 30, 4)
    with pytest.raises(DataError, match=r"features has shape \(30,\)"):
        of(x[:, 0], make_labels(30))
    if "labels" in SINGLE[name].traits.needs:
        with pytest.raises(DataError, match="beside 30 samples"):
            of(x, make_labels(29))
    x[4, 1] = np.inf
    with pytest.raises(DataError, match=r"infinite values in 1 samples, the first at sample 4"):
        of(x, make_labels(30))
