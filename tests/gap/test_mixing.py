"""Mixing with the prior, temperatures and discrepancies, against closed forms and grids."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapkit.gap.discrepancy import kl_losses, zero_one_losses
from gapkit.gap.label_maps.mixing import class_prior, fit_eps
from gapkit.gap.label_maps.tempering import FLOOR, TEMPERATURES, choose_temperatures, temper


def penalised(own, prior, eps, pseudo):
    return -np.log((1 - eps) * own + eps * prior).sum() - (pseudo * np.log(eps) if pseudo else 0.0)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 30), pseudo=st.sampled_from([0.0, 1.0]))
def test_eps_is_the_minimum_on_a_fine_grid(seed, n, pseudo):
    rng = np.random.default_rng(seed)
    own, prior = rng.beta(0.5, 0.5, size=(n, 2)), rng.uniform(0.05, 0.9, size=n)
    eps, loss = fit_eps(own, prior, pseudo=pseudo)
    grid = np.linspace(1e-6, 1, 2001)
    for m in range(2):
        best = min(penalised(own[:, m], prior, value, pseudo) for value in grid)
        found = penalised(own[:, m], prior, max(eps[m], 1e-300), pseudo)
        assert found <= best + 1e-6
        assert loss[m] == pytest.approx(penalised(own[:, m], prior, eps[m], 0.0) / n, abs=1e-9)
    if pseudo:
        assert (eps >= 1 / (n + 1) - 1e-9).all()


@pytest.mark.filterwarnings("error")
def test_eps_at_its_ends():
    prior = np.full(5, 0.5)
    own = np.stack([np.full(5, 0.9), np.full(5, 0.1), np.full(5, 0.5), np.zeros(5), np.full(5, 1e-200)], axis=1)
    eps, _ = fit_eps(own, prior, pseudo=0.0)
    assert eps[[0, 1, 3, 4]].tolist() == [0.0, 1.0, 1.0, 1.0]
    eps, _ = fit_eps(np.ones((9, 1)), np.full(9, 1e-12), pseudo=1.0)
    assert eps[0] == pytest.approx(0.1)


@pytest.mark.parametrize("pseudo", [0.0, 1.0])
def test_maps_at_an_end_and_maps_between_do_not_touch_each_other(pseudo):
    rng = np.random.default_rng(0)
    prior = rng.uniform(0.2, 0.3, size=40)
    own = np.stack([np.full(40, 0.9), rng.beta(0.5, 1, size=40), np.full(40, 0.1), rng.beta(1, 1, size=40)], axis=1)
    eps, loss = fit_eps(own, prior, pseudo=pseudo)
    assert ((eps > 0.0) & (eps < 1.0)).tolist() == [pseudo > 0, True, False, True]
    for m in range(4):
        alone = fit_eps(own[:, [m]], prior, pseudo=pseudo)
        assert eps[m] == pytest.approx(alone[0][0], abs=1e-11)
        assert loss[m] == pytest.approx(alone[1][0], abs=1e-12)


def test_class_prior_by_hand():
    assert class_prior(np.array([3.0, 1.0, 0.0])).tolist() == [3.5 / 5.5, 1.5 / 5.5, 0.5 / 5.5]


def test_temperature_grid():
    assert TEMPERATURES[0] == 0.25
    assert TEMPERATURES[-1] == 64
    assert 1.0 in TEMPERATURES


def test_tempering_is_a_power_and_floored():
    p = np.array([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0]])
    log_p = np.log(np.maximum(p, FLOOR))
    for temperature in (0.25, 1.0, 4.0):
        expected = p ** (1 / temperature)
        expected /= expected.sum(axis=1, keepdims=True)
        assert temper(log_p, temperature)[0] == pytest.approx(expected[0])
    assert temper(log_p, 0.25).min() == FLOOR


@pytest.mark.parametrize("best", range(13))
def test_coarse_to_fine_finds_a_single_dip(best):
    chosen = choose_temperatures(lambda value, which: np.abs(np.log(value / TEMPERATURES[best])) + 0.0 * which, 2)
    assert chosen.tolist() == [TEMPERATURES[best]] * 2


def test_equal_losses_choose_one():
    assert choose_temperatures(lambda value, which: np.zeros(len(which)), 1).tolist() == [1.0]


def test_losses_by_hand():
    q = np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2], [0.4, 0.4, 0.2], [1.0, 0.0, 0.0]])
    labels = np.array([1, 0, 2, 0])
    assert kl_losses(q, labels) == pytest.approx([-np.log(0.5), -np.log(0.4), -np.log(0.2), 0.0])
    assert zero_one_losses(q, labels).tolist() == [0.0, 0.5, 1.0, 0.0]


def test_rounding_does_not_break_ties():
    q = np.array([[0.1 + 0.2, 0.3, 0.4 - 1e-17]])
    tied = np.array([[1 / 3, (1 / 3) * (1 + 1e-15), 1 / 3]])
    assert zero_one_losses(q, np.array([2])).tolist() == [0.0]
    assert zero_one_losses(tied, np.array([0])) == pytest.approx([2 / 3])
