"""SVCCA and PWCCA against the generalised eigenproblem of CCA, closed forms, and what n <= d forces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import eigh

from gapkit.errors import OptionError, UndefinedError
from gapkit.reuse import pwcca, svcca
from gapkit.reuse.principal import find_principal


def layers(seed, n, d, e):
    rng = np.random.default_rng([seed, 72])
    x = rng.normal(size=(n, d)) * np.linspace(3, 1, d) + 1
    return x, x @ rng.normal(size=(d, e)) + 2 * rng.normal(size=(n, e))


def principal_scores(x, energy):
    """PCA by the covariance, (n, p): other code than the decomposition that is tested."""
    centred = x - x.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(x, rowvar=False, ddof=0).reshape(x.shape[1], -1))
    values, vectors = values[::-1], vectors[:, ::-1]
    count = next(p for p in range(1, len(values) + 1) if values[:p].sum() >= (energy - 1e-12) * values.sum())
    return centred @ vectors[:, :count]


def canonical(x, y):
    """Correlations and variates of x by the eigenproblem ``Sxy Syy^-1 Syx a = rho^2 Sxx a``, Hotelling 1936."""
    sxx, syy, sxy = x.T @ x, y.T @ y, x.T @ y
    squares, vectors = eigh(sxy @ np.linalg.solve(syy, sxy.T), sxx)
    count = min(x.shape[1], y.shape[1])
    variates = x @ vectors[:, ::-1][:, :count]
    return np.sqrt(np.clip(squares[::-1][:count], 0, 1)), variates / np.linalg.norm(variates, axis=0)


@pytest.mark.parametrize("energy", [0.6, 0.9, 0.99, 1.0])
@pytest.mark.parametrize(("n", "d", "e"), [(60, 4, 4), (60, 2, 6), (60, 6, 2), (200, 1, 5)])
def test_both_equal_hotellings_problem_on_principal_components(n, d, e, energy):
    x, y = layers(n, n, d, e)
    correlations, variates = canonical(principal_scores(x, energy), principal_scores(y, energy))
    assert svcca(x, y, energy=energy) == pytest.approx(correlations.mean(), abs=1e-8)
    centred = x - x.mean(axis=0)
    weights = [sum(abs(h @ feature) for feature in centred.T) for h in variates.T]
    assert pwcca(x, y, energy=energy) == pytest.approx(np.average(correlations, weights=weights), abs=1e-8)


def test_one_feature_has_pearsons_correlation():
    x, y = layers(1, 50, 1, 1)
    expected = abs(np.corrcoef(x[:, 0], y[:, 0])[0, 1])
    assert svcca(x, y) == pytest.approx(expected, rel=1e-12)
    assert pwcca(x, y) == pytest.approx(expected, rel=1e-12)


def test_energy_is_a_share_of_the_variance():
    """Variances 90, 9, 0.9 and 0.1: 99 % are two directions, whatever the scale (other code keeps one)."""
    base = np.linalg.qr(np.random.default_rng(2).normal(size=(50, 5)) - 0.0)[0]
    base = np.linalg.qr(base - base.mean(axis=0))[0][:, :4]
    x = base * np.sqrt([90, 9, 0.9, 0.1])
    for factor in (1e-4, 1, 1e4):
        assert len(find_principal(factor * x, "x").holding(0.99).lengths) == 2
        assert len(find_principal(factor * x, "x").holding(0.991).lengths) == 3
    swapped = base[:, [0, 2, 1, 3]] * np.sqrt([90, 9, 0.9, 0.1])
    assert svcca(x, swapped) == pytest.approx(0.5, abs=1e-10)
    # The first variate alone correlates; by weight it is sqrt(90) / (sqrt(90) + sqrt(9)).
    assert pwcca(x, swapped) == pytest.approx(1 / (1 + np.sqrt(0.1)), abs=1e-10)


def test_at_full_energy_svcca_ignores_invertible_maps_and_pwcca_those_of_y():
    x, y = layers(3, 80, 4, 4)
    mix = np.random.default_rng(3).normal(size=(4, 4))
    assert svcca(x @ mix, y, energy=1) == pytest.approx(svcca(x, y, energy=1), abs=1e-10)
    assert pwcca(x, y @ mix, energy=1) == pytest.approx(pwcca(x, y, energy=1), abs=1e-10)
    assert abs(pwcca(x @ mix, y, energy=1) - pwcca(x, y, energy=1)) > 1e-4


@pytest.mark.parametrize(("n", "p", "q"), [(300, 5, 20), (300, 20, 5), (100, 10, 10)])
def test_chance_is_as_documented(n, p, q):
    rng = np.random.default_rng([n, p])
    squares = [
        np.square(
            canonical(*(side - side.mean(axis=0) for side in (rng.normal(size=(n, p)), rng.normal(size=(n, q)))))[0]
        )
        for _ in range(60)
    ]
    assert np.mean(squares) == pytest.approx(max(p, q) / (n - 1), rel=0.1)
    found = np.mean([svcca(rng.normal(size=(n, p)), rng.normal(size=(n, q)), energy=1) for _ in range(60)])
    assert found == pytest.approx(np.mean(np.sqrt(squares)), rel=0.05)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), d=st.integers(1, 9), e=st.integers(1, 9))
def test_any_widths_give_values_in_range(seed, d, e):
    x, y = layers(seed, 25, d, e)
    for measure in (svcca, pwcca):
        assert 0 <= measure(x, y) <= 1
        assert 0 <= measure(y, x) <= 1
        assert measure(x, np.hstack([x, np.zeros((25, 3))])) == pytest.approx(1, abs=1e-12)


def test_more_features_than_samples_need_few_directions():
    rng = np.random.default_rng(4)
    hidden = rng.normal(size=(30, 3))
    x, y = (hidden @ rng.normal(size=(3, 100)) + 1e-3 * rng.normal(size=(30, 100)) for _ in range(2))
    assert svcca(x, y) > 0.99
    assert pwcca(x, y) > 0.99
    for measure in (svcca, pwcca):
        with pytest.raises(UndefinedError, match=r"at most n - 1 = 29 in all.*smaller energy"):
            measure(rng.normal(size=(30, 100)), y)


def test_as_many_directions_as_correlations_are_free():
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(9, 4)), rng.normal(size=(9, 5))
    for measure in (svcca, pwcca):
        assert measure(x, y[:, :4], energy=1) < 1 - 1e-3
        with pytest.raises(UndefinedError, match="4 and 5 directions"):
            measure(x, y, energy=1)
    # What is refused: a correlation of 1 between independent features.
    assert canonical(x - x.mean(axis=0), y - y.mean(axis=0))[0].max() == pytest.approx(1, abs=1e-8)


def test_what_cannot_be_said_is_said():
    x, y = layers(5, 30, 2, 2)
    with pytest.raises(UndefinedError, match="x has the same features"):
        svcca(np.ones((30, 2)), y)
    with pytest.raises(UndefinedError, match="at least 3 for canonical correlations"):
        pwcca(x[:2], y[:2])
    for energy in (0, -1, 1.01, float("nan")):
        with pytest.raises(OptionError, match="energy is"):
            svcca(x, y, energy=energy)
