"""What users hold as arrays, handed to every public function on arrays: understood, or refused in words."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from gapkit import gap, reuse, scores
from gapkit.arrays import generator
from gapkit.coercion import as_array
from gapkit.errors import DataError, GapkitError, OptionError
from gapkit.gap import ConditionalInputs
from gapkit.scores import OTDDOptions

FUNCTIONS = {
    name: getattr(module, name)
    for module in (scores, reuse, gap)
    for name in module.__all__
    if inspect.isfunction(getattr(module, name)) and not name.startswith("measure_")
}
N = 60
LABELS = np.arange(N, dtype=np.int64) % 3
# Numbers that bfloat16 holds exactly, so that a function of the tensor is one of the same numbers.
FEATURES = np.rint(8 * (generator(0).normal(size=(N, 4)) + 2 * np.eye(3, 4)[LABELS])) / 8
PROBABILITIES = np.array([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.25, 0.25, 0.5]])[LABELS]
LABELLED = [name for name, one in FUNCTIONS.items() if "labels" in inspect.signature(one).parameters]
SEEDED = [name for name, one in FUNCTIONS.items() if "seed" in inspect.signature(one).parameters]
WRONG_SEEDS = (-1, 0.5, "x", None)


def arguments(function: Callable[..., Any]) -> dict[str, np.ndarray]:
    """Arrays for the positional parameters of a function."""
    known = {
        "probs": PROBABILITIES,
        "labels": LABELS,
        "source_labels": (LABELS + (np.arange(N) % 5 == 0)) % 3,
        "y1": LABELS,
        "y2": LABELS,
        "y": 2 * FEATURES[:, ::-1] + 0.5,
        "x2": FEATURES + 1,
        "ys": 2 * FEATURES[None, :, ::-1] + 0.5,
        "xs": FEATURES[None],
    }
    parameters = inspect.signature(function).parameters.values()
    names = [one.name for one in parameters if one.default is one.empty]
    return {name: known.get(name, FEATURES) for name in names}


def plain(found: Any) -> Any:
    """A result as something that can be compared."""
    return found if isinstance(found, float | np.ndarray) else repr(found)


def options(name: str) -> dict[str, Any]:
    """What a function needs to work on so few features."""
    return {"rank": 2} if name == "subspace_overlap" else {}


@dataclass
class Elsewhere:
    """An array on a device that numpy does not reach."""

    dtype: str = "float32"

    def __array__(self, *given: Any, **more: Any) -> np.ndarray:
        """As torch has it."""
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


def changed(given: dict[str, np.ndarray], change: Callable[[np.ndarray], Any]) -> dict[str, Any]:
    """Every array changed; of a sequence of layers each layer."""
    return {
        name: [change(layer) for layer in array] if name in ("xs", "ys") else change(array)
        for name, array in given.items()
    }


def as_bfloat16(array: np.ndarray) -> torch.Tensor:
    """A tensor of features in bfloat16; one of labels as it is."""
    held = torch.from_numpy(array.copy())
    return held.to(torch.bfloat16) if array.dtype.kind == "f" else held


def with_gradient(array: np.ndarray) -> torch.Tensor:
    """A tensor of features that requires a gradient."""
    held = torch.from_numpy(array.copy())
    return held.requires_grad_() if array.dtype.kind == "f" else held


UNDERSTOOD: dict[str, Callable[[np.ndarray], Any]] = {
    "lists": lambda array: array.tolist(),
    "objects": lambda array: array.astype(object),
    "nothing masked": lambda array: np.ma.MaskedArray(array, mask=False),
    "bfloat16": as_bfloat16,
    "requires a gradient": with_gradient,
    "a list of tensors": lambda array: list(with_gradient(array)),
    "a table": lambda array: pd.DataFrame(array) if array.ndim == 2 else pd.Series(array),
    "read only": lambda array: np.broadcast_to(array, array.shape),
}


@pytest.mark.parametrize("kind", UNDERSTOOD)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_same_numbers_give_the_same_value_however_they_are_held(name: str, kind: str) -> None:
    function = FUNCTIONS[name]
    given = arguments(function)
    expected = function(**given, **options(name))
    found = function(**changed(given, UNDERSTOOD[kind]), **options(name))
    if kind == "a table" and isinstance(found, float | np.ndarray):
        # Held column by column: sums are added in another order.
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)
    else:
        assert np.array_equal(plain(found), plain(expected))


def some_masked(array: np.ndarray) -> np.ma.MaskedArray:
    """The first entry masked."""
    held = np.ma.MaskedArray(array, mask=np.zeros(array.shape, dtype=bool))
    held[(0,) * array.ndim] = np.ma.masked
    return held


def ragged(array: np.ndarray) -> list[Any]:
    """Rows of different lengths."""
    return [row[: 1 + (k > 0)] if array.ndim > 1 else [row] * (1 + (k > 0)) for k, row in enumerate(array.tolist())]


def objects(array: np.ndarray) -> np.ndarray:
    """Objects of which one is no number."""
    held = array.astype(object)
    held[(0,) * array.ndim] = None
    return held


REFUSED: dict[str, tuple[Callable[[np.ndarray], Any], str]] = {
    "masked": (some_masked, "has 1 masked entries of"),
    "ragged": (ragged, "cannot be read as an array"),
    "elsewhere": (lambda array: Elsewhere(), "cuda:0"),
    "objects": (objects, "has dtype object|1 labels that are missing"),
    "sparse": (lambda array: sparse.csr_matrix(np.atleast_2d(array)), "sparse csr_matrix.*toarray"),
    "nothing": (lambda array: None, "is None; expected an array"),
    "complex": (lambda array: array + 1j, "has dtype complex128|complex"),
    "infinite": (lambda array: np.full(array.shape, np.nan), "NaN|no distribution|finite"),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_has_no_plain_meaning_is_refused_in_words_argument_by_argument(name: str, kind: str) -> None:
    function = FUNCTIONS[name]
    change, said = REFUSED[kind]
    given = arguments(function)
    for argument in given:
        with pytest.raises(GapkitError, match=said) as error:
            function(**given | changed({argument: given[argument]}, change), **options(name))
        assert error.value.expected, argument
        assert error.value.remedy, argument


@pytest.mark.parametrize("seed", WRONG_SEEDS)
@pytest.mark.parametrize("name", SEEDED)
def test_a_seed_that_is_none_is_refused_whether_or_not_it_is_drawn_by(name: str, seed: object) -> None:
    function = FUNCTIONS[name]
    with pytest.raises(OptionError, match="seed .*expected .*at least 0"):
        function(**arguments(function), **options(name), seed=seed)


@pytest.mark.parametrize("seed", WRONG_SEEDS)
def test_the_seed_of_otdd_is_an_option(seed: object) -> None:
    with pytest.raises(OptionError, match="seed"):
        OTDDOptions(seed=seed)


@pytest.mark.parametrize("name", LABELLED)
def test_labels_that_are_missing_are_counted(name: str) -> None:
    function = FUNCTIONS[name]
    missing = LABELS.astype(np.float64)
    missing[[3, 7, 20]] = np.nan
    with pytest.raises(DataError, match="labels has 3 labels that are NaN or infinite, the first at sample 3"):
        function(**arguments(function) | {"labels": missing})
    named = np.array(["a", "b", "c"], dtype=object)[LABELS]
    named[[5, 9]] = np.nan, None
    if not name.startswith("fit_"):
        with pytest.raises(DataError, match=r"2 labels that are missing \(None or NaN\), the first at sample 5"):
            function(**arguments(function) | {"labels": named})


def test_columns_of_tables_are_labels_too() -> None:
    nullable = pd.Series(LABELS).astype("Int64")
    assert as_array(nullable, "labels").tolist() == LABELS.tolist()
    assert as_array(pd.Series(["b", "a"]).astype("category"), "labels").dtype.kind == "U"
    nullable[4] = pd.NA
    with pytest.raises(DataError, match="1 labels that are .*NaN.*, the first at sample 4"):
        scores.lfc(FEATURES, nullable)


def test_what_numpy_holds_is_not_copied() -> None:
    assert as_array(FEATURES, "x") is FEATURES
    big = np.array([2**70, 1], dtype=object)
    assert as_array(big, "x").dtype == object


def test_inputs_of_the_misalignment_are_read_the_same_way() -> None:
    log_p = np.log(PROBABILITIES)
    inputs = ConditionalInputs(
        log_probabilities=torch.from_numpy(log_p).requires_grad_(),
        features=as_bfloat16(FEATURES),
        labels=LABELS.tolist(),
        n_classes=3,
        groups=[f"g{k // 2}" for k in range(N)],
    )
    assert np.array_equal(inputs.features, FEATURES)
    assert np.array_equal(inputs.log_probabilities, log_p)
    with pytest.raises(DataError, match="groups has 60 groups that are NaN"):
        ConditionalInputs(
            log_probabilities=log_p, features=FEATURES, labels=LABELS, n_classes=3, groups=np.full(N, np.nan)
        )
