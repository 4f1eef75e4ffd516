"""Subspace overlap against scipy's principal angles, closed forms and its chance level."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import subspace_angles
from scipy.stats import ortho_group

from gapkit.errors import OptionError, UndefinedError
from gapkit.reuse import subspace_overlap


def layers(seed, n, d, e):
    rng = np.random.default_rng([seed, 73])
    x = rng.normal(size=(n, d)) * np.linspace(3, 1, d) + 1
    return x, x @ rng.normal(size=(d, e)) + rng.normal(size=(n, e))


def principal_axes(x, rank, *, of_samples):
    """By the eigenvectors of the covariance, or of the Gram matrix of centred samples."""
    centred = x - x.mean(axis=0)
    return np.linalg.eigh(centred @ centred.T if of_samples else centred.T @ centred)[1][:, ::-1][:, :rank]


@pytest.mark.parametrize("rank", [1, 2, 4])
@pytest.mark.parametrize(("n", "d"), [(40, 6), (8, 30), (30, 30)])
def test_equals_scipys_angles(n, d, rank):
    x, y = layers(n, n, d, d)
    for space in ("features", "samples"):
        axes = [principal_axes(side, rank, of_samples=space == "samples") for side in (x, y)]
        expected = np.mean(np.square(np.cos(subspace_angles(*axes))))
        assert subspace_overlap(x, y, rank=rank, space=space) == pytest.approx(expected, abs=1e-8)


def test_the_space_of_samples_takes_any_widths_and_maps():
    x, y = layers(1, 40, 5, 9)
    value = subspace_overlap(x, y, rank=3, space="samples")
    turned = x @ ortho_group.rvs(5, random_state=np.random.default_rng(0))
    assert subspace_overlap(turned, y, rank=3, space="samples") == pytest.approx(value, abs=1e-10)
    with pytest.raises(UndefinedError, match=r"x has 5 features and y has 9.*space='samples'"):
        subspace_overlap(x, y, rank=3)


def test_the_space_of_features_needs_no_pairing_and_one_map_for_both():
    x, y = layers(2, 40, 5, 5)
    value = subspace_overlap(x, y, rank=2)
    assert subspace_overlap(x, np.random.default_rng(1).permutation(y), rank=2) == pytest.approx(value, abs=1e-10)
    turn = ortho_group.rvs(5, random_state=np.random.default_rng(2))
    assert subspace_overlap(x @ turn, y @ turn, rank=2) == pytest.approx(value, abs=1e-10)
    assert abs(subspace_overlap(x @ turn, y, rank=2) - value) > 1e-3


def test_a_shared_direction_counts_as_its_part():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2000, 6)) * [9, 5, 3, 0.01, 0.01, 0.01]
    y = rng.normal(size=(2000, 6)) * [5, 0.01, 0.01, 9, 3, 0.01]
    assert subspace_overlap(x, y, rank=3) == pytest.approx(1 / 3, abs=1e-3)


def test_chance_is_as_documented():
    rng = np.random.default_rng(4)
    pairs = [(rng.normal(size=(50, 12)), rng.normal(size=(50, 12))) for _ in range(300)]
    found = np.array([subspace_overlap(x, y, rank=3) for x, y in pairs])
    assert found.mean() == pytest.approx(3 / 12, abs=4 * found.std() / np.sqrt(300))
    found = np.array([subspace_overlap(x, y, rank=3, space="samples") for x, y in pairs])
    assert found.mean() == pytest.approx(3 / 49, abs=4 * found.std() / np.sqrt(300))


def test_subspaces_that_are_one_of_many_are_refused():
    x = np.vstack([np.diag([3.0, 2.0, 2.0, 1.0]), -np.diag([3.0, 2.0, 2.0, 1.0])])
    y = np.vstack([np.diag([4.0, 3.0, 2.0, 1.0]), -np.diag([4.0, 3.0, 2.0, 1.0])])
    assert subspace_overlap(x, y, rank=1) == pytest.approx(1)
    assert subspace_overlap(x, y, rank=3) == pytest.approx(1)
    for first, second, name in ((x, y, "x"), (y, x, "y")):
        with pytest.raises(UndefinedError, match=f"{name} has the same variance in direction 2 and the next"):
            subspace_overlap(first, second, rank=2)
    with pytest.raises(UndefinedError, match=r"x varies in 4 directions; expected at least rank = 10"):
        subspace_overlap(x, y)
    with pytest.raises(UndefinedError, match=r"y varies in 1 directions"):
        subspace_overlap(x, np.outer(np.arange(8.0), np.ones(4)) / 3, rank=3)


@pytest.mark.parametrize("options", [{"rank": 0}, {"space": "both"}])
def test_options_that_are_none_are_refused(options):
    with pytest.raises(OptionError, match="rank is"):
        subspace_overlap(*layers(5, 30, 12, 12), **options)
