"""Six discrepancies against their definitions as sums over classes, and what "proper" means."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.special import rel_entr

from gapkit.gap.discrepancy import ALL, find_discrepancy

NAMES = ("kl", "brier", "total_variation", "zero_one", "squared_hellinger", "jensen_shannon")


def by_definition(name, q, t):
    """One sample: q and t as distributions over classes."""
    if name == "zero_one":
        best = np.flatnonzero(np.isclose(q, q.max(), rtol=1e-12, atol=0))
        return 1 - t[best].mean()
    return {
        "kl": rel_entr(t, q).sum(),
        "brier": ((q - t) ** 2).sum(),
        "total_variation": np.abs(q - t).sum() / 2,
        "squared_hellinger": ((np.sqrt(q) - np.sqrt(t)) ** 2).sum() / 2,
        "jensen_shannon": jensenshannon(q, t) ** 2,
    }[name]


def test_all_six_are_there():
    assert tuple(measure.name for measure in ALL) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_distances_and_losses_equal_the_definition(name):
    rng = np.random.default_rng(1)
    q, t = rng.dirichlet(np.full(5, 0.4), size=40), rng.dirichlet(np.full(5, 0.4), size=40)
    labels = rng.integers(5, size=40)
    measure, one_hot = find_discrepancy(name), np.eye(5)[labels]
    expected = [by_definition(name, *pair) for pair in zip(q, t, strict=True)]
    assert measure.distances(q, t) == pytest.approx(expected, abs=1e-12)
    expected = [by_definition(name, *pair) for pair in zip(q, one_hot, strict=True)]
    assert measure.losses(q, labels) == pytest.approx(expected, abs=1e-12)
    assert measure.distances(q, one_hot) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_between_equal_conditionals_and_never_negative(name):
    rng = np.random.default_rng(2)
    t = np.vstack([rng.dirichlet(np.full(4, 0.3), size=200), np.eye(4)])
    measure = find_discrepancy(name)
    if name != "zero_one":
        assert measure.distances(t, t) == pytest.approx(np.zeros(len(t)), abs=1e-12)
    for q in (t, rng.dirichlet(np.full(4, 0.3), size=len(t))):
        for values in (measure.distances(q, t), measure.losses(q, np.arange(len(q)) % 4)):
            assert np.isfinite(values).all()
            assert values.min() >= 0


@pytest.mark.parametrize("name", NAMES)
def test_proper_where_the_expected_loss_is_least_at_the_true_conditional(name):
    """Labels follow t; q runs over a grid on the simplex and t itself."""
    measure, rng = find_discrepancy(name), np.random.default_rng(3)
    steps = np.arange(0, 41) / 40
    grid = np.array([(a, b, 1 - a - b) for a in steps for b in steps if a + b <= 1 + 1e-12]).clip(0, 1)
    truth = rng.dirichlet(np.ones(3), size=20)
    beaten = 0
    for t in truth:
        expected = sum(t[y] * measure.losses(grid, np.full(len(grid), y)) for y in range(3))
        at_truth = sum(t[y] * measure.losses(t[None], np.array([y]))[0] for y in range(3))
        beaten += expected.min() < at_truth - 1e-9
    assert (beaten == 0) == measure.proper


def test_certain_and_wrong_is_finite():
    q, labels = np.array([[0.0, 1.0]]), np.array([0])
    assert all(np.isfinite(measure.losses(q, labels)).all() for measure in ALL)
    assert find_discrepancy("jensen_shannon").losses(q, labels)[0] == pytest.approx(np.log(2))
