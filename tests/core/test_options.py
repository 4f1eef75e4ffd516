"""Names, choices and whole numbers: what options accept, and what they say where they do not."""

from __future__ import annotations

import numpy as np
import pytest

from gapkit.arrays import generator, seeded_torch
from gapkit.errors import OptionError
from gapkit.gap import GapOptions
from gapkit.options import as_names, check_choice, check_least, check_number
from gapkit.scores import otdd

WRONG_SEEDS = (-1, 1.5, "3", None, True, np.float64(2.0))


def test_one_string_is_one_name() -> None:
    assert as_names("blocks", option="layers") == ("blocks",)
    assert as_names((name for name in ("b", "a", "b")), option="layers") == ("b", "a")
    assert as_names((), option="layers") == ()


@pytest.mark.parametrize("given", [3, None, ("a", 3), b"a"])
def test_what_is_no_name_is_refused(given: object) -> None:
    with pytest.raises(OptionError, match="layers is .*; expected a name, or several; use layers='NAME'"):
        as_names(given, option="layers")


def test_the_misalignment_takes_one_name_too() -> None:
    options = GapOptions(families="channel", discrepancies="kl", ceiling="knn")
    assert (options.families, options.discrepancies, options.ceiling) == (("channel",), ("kl",), ("knn",))


def test_choices_are_named() -> None:
    check_choice("split", "train", ("train", "test"))
    with pytest.raises(OptionError, match="split 'tset'; expected one of train, test; did you mean 'test'"):
        check_choice("split", "tset", ("train", "test"))


@pytest.mark.parametrize("number", [2, np.int32(2), np.uint8(200)])
def test_whole_numbers_of_any_kind_are_taken(number: object) -> None:
    check_least("folds", number, 2)


@pytest.mark.parametrize("value", [0, -1.0, np.nan, np.inf, "1", None, True, [1.0]])
def test_what_is_no_positive_number_is_refused(value: object) -> None:
    with pytest.raises(OptionError, match="tolerance .*; expected a positive finite number; give tolerance another"):
        check_number("tolerance", value)


def test_a_number_may_have_another_least_value() -> None:
    check_number("strength", 0, least=0)
    check_number("p", np.float32(1.5), least=1)
    with pytest.raises(OptionError, match="p 0.5; expected a finite number, 1 or more"):
        check_number("p", 0.5, least=1)


@pytest.mark.parametrize("seed", WRONG_SEEDS)
def test_a_seed_is_a_whole_number_that_is_not_negative(seed: object) -> None:
    with pytest.raises(OptionError, match="seed .*; expected .*at least 0; use seed 0 or more"):
        generator(seed)
    with pytest.raises(OptionError, match="seed .*; expected .*at least 0"), seeded_torch(seed):
        pass


def test_seeds_of_numpy_draw_what_those_of_python_do() -> None:
    assert generator(np.int64(7), 1).random() == generator(7, 1).random()


def test_options_of_another_kind_are_refused_where_they_are_given() -> None:
    rows, labels = np.arange(8.0)[:, None], np.arange(8) % 2
    for wrong in ({"outer": "sinkhorn"}, {}, "sinkhorn"):
        with pytest.raises(OptionError, match=r"options is a value of type (dict|str); expected OTDDOptions, or None"):
            otdd(rows, labels, rows + 1, labels, options=wrong)
