"""What a world refuses: options that cannot be, and arrays that do not fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gapkit.data.worlds import World, WorldOptions, make_world, separation_for
from gapkit.errors import OptionError

IMBALANCED = (0.85, 0.05, 0.05, 0.05)


@pytest.fixture
def world() -> World:
    """Nine source classes, four of them target classes."""
    return make_world(WorldOptions(n_source=9, n_target=4, dimension=2))


@pytest.mark.parametrize(
    ("options", "got", "remedy"),
    [
        ({"relation": "injektion"}, "relation 'injektion'", "did you mean 'injection'"),
        ({"signal": "all"}, "signal 'all'", "choose one of"),
        ({"n_source": 1}, "n_source 1", "n_source=2"),
        ({"n_target": 2.0}, "n_target 2.0", "n_target=2"),
        ({"seed": -1}, "seed -1", "seed=0"),
        ({"group_size": True}, "group_size True", "group_size=1"),
        ({"separation": -1.0}, "separation -1.0", "separation=0"),
        ({"separation": float("inf")}, "separation inf", "separation=0"),
        ({"overconfidence": 0.0}, "overconfidence 0.0", "overconfidence=1"),
        ({"label_noise": 1.5}, "label_noise 1.5", "label_noise=0"),
        ({"label_noise": "much"}, "label_noise 'much'", "label_noise=0"),
        ({"group_shift": float("nan"), "group_size": 2}, "group_shift nan", "group_shift=0"),
        ({"shares": (0.5, 0.5)}, "shares (0.5, 0.5)", "leave shares out"),
        ({"shares": (0.5, 0.5, 0.0, 0.0)}, "shares", "divide"),
        ({"shares": (1.0, 1.0, 1.0, float("nan"))}, "shares", "divide"),
        ({"noise": "gaussian"}, "noise 'gaussian'", "choose one of"),
        ({"noise": (0.5, 0.6, 0.0, 0.0)}, "noise (0.5, 0.6, 0.0, 0.0)", "divide"),
        ({"noise": 3}, "noise 3", "divide"),
        ({"n_source": 3}, "n_target 4 with n_source 3", "raise n_source"),
        ({"relation": "partition", "n_ignored": 17}, "n_ignored 17", "raise n_source"),
        ({"n_ignored": 1}, "n_ignored 1 with an injection", "leave n_ignored out"),
        ({"label_shift": True}, "label_shift without shares", "give shares"),
        ({"label_shift": True, "relation": "channel", "shares": IMBALANCED}, "with a channel", "leave label_shift out"),
        ({"group_label": True}, "group_size 1", "group_size=5"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], got: str, remedy: str) -> None:
    with pytest.raises(OptionError) as caught:
        WorldOptions(**options)
    assert got in caught.value.got
    assert remedy in caught.value.remedy


@pytest.mark.parametrize("arguments", [{"n": 0}, {"n": 10, "seed": -1}, {"n": 2.5}])
def test_draws_that_cannot_be_are_refused(world: World, arguments: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        world.draw(**arguments)


@pytest.mark.parametrize("arguments", [{"discrepancy": "js"}, {"n": 1}, {"seed": -1}])
def test_truths_that_cannot_be_are_refused(world: World, arguments: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        world.truth(**arguments)
    with pytest.raises(OptionError):
        world.expected_loss(lambda log_p, features: np.full((len(features), 4), 0.25), **arguments)


def test_what_is_given_is_the_source_or_all(world: World) -> None:
    with pytest.raises(OptionError, match="given 'features'"):
        world.truth(given="features")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("wanted", [0.0, 1.0, -0.5, float("nan")])
def test_a_gap_beyond_nothing_and_all_is_refused(wanted: float) -> None:
    with pytest.raises(OptionError, match="between 0 and 1"):
        separation_for(WorldOptions(), wanted)


def test_a_world_without_signal_has_no_gap_to_choose() -> None:
    with pytest.raises(OptionError, match="signal='both'"):
        separation_for(WorldOptions(signal="neither"), 0.5)


def test_a_gap_below_the_label_noise_is_refused_with_the_least_there_is() -> None:
    floor = -(0.7 + 0.3 / 4) * np.log(0.7 + 0.3 / 4) - 3 * (0.3 / 4) * np.log(0.3 / 4)
    with pytest.raises(OptionError, match=f"more than {floor / np.log(4):.4f}"):
        separation_for(WorldOptions(label_noise=0.3), 0.4, n=200)


def test_arrays_put_into_a_world_are_checked(world: World) -> None:
    assert replace(world, means=np.zeros((9, 1))).draw(5).features.shape == (5, 1)
    for name, array in [
        ("means", np.zeros((8, 2))),
        ("relation", np.eye(9)),
        ("drawn", world.drawn / 2),
        ("source_prior", np.eye(9)[0]),
        ("relation", np.eye(9)[:, :4]),
    ]:
        with pytest.raises(OptionError):
            replace(world, **{name: array})
