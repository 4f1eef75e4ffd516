"""LogME where the evidence has two maxima: the greater one is found, however close they are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from gapkit.scores.logme import logme


def two_scales(seed, small):
    """Two features of scale 1000 and 18 of scale 1: the evidence may take the latter for noise or for signal."""
    rng = np.random.default_rng(seed)
    q = np.linalg.qr(rng.normal(size=(40, 40)))[0]
    target = q[:, :2].sum(axis=1) + small * q[:, 2:20] @ rng.normal(size=18) + 0.1 * q[:, 20:] @ rng.normal(size=20)
    return np.column_stack([1e3 * q[:, :2], q[:, 2:20]]), target


def maxima(features, target):
    """Both maxima of the dense profile in log g: on a grid, then by scipy."""

    def profile(log_g):
        kernel = np.eye(40) + features @ features.T / math.exp(log_g)
        fit = target @ np.linalg.solve(kernel, target)
        return -(np.linalg.slogdet(kernel)[1] / 40 + math.log(fit / 40) + 1 + math.log(2 * math.pi)) / 2

    logs = np.linspace(-6, 20, 200)
    curve = np.array([profile(x) for x in logs])
    peaks = np.flatnonzero((curve[1:-1] > curve[:-2]) & (curve[1:-1] > curve[2:])) + 1
    assert len(peaks) == 2
    bounds = [(logs[peak - 1], logs[peak + 1]) for peak in peaks]
    found = [
        minimize_scalar(lambda x: -profile(x), bounds=b, method="bounded", options={"xatol": 1e-9}) for b in bounds
    ]
    return [-result.fun for result in found]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("small", [0.3, 0.5, 0.7])
def test_the_greater_of_two_maxima_is_found(seed, small):
    features, target = two_scales(seed, small)
    found = maxima(features, target)
    assert logme(features, target, task="regression") == pytest.approx(max(found), abs=1e-9)
    assert abs(found[0] - found[1]) > 1e-3


@pytest.mark.parametrize("seed", range(1, 4))
def test_the_greater_of_two_almost_equal_maxima_is_found(seed):
    """Nearer to each other than they are to the points of the grid."""
    low, high = 0.1, 0.7
    for _ in range(12):
        middle = (low + high) / 2
        left, right = maxima(*two_scales(seed, middle))
        low, high = (middle, high) if right > left else (low, middle)
    for small in (low, high):
        left, right = maxima(*two_scales(seed, small))
        assert abs(left - right) < 1e-3
        value = logme(*two_scales(seed, small), task="regression")
        assert value == pytest.approx(max(left, right), abs=1e-9)
