"""Scores of the same inputs share what does not depend on labels, keep their hands off them, and repeat themselves."""

from __future__ import annotations

import numpy as np
import pytest

from gapkit.scores.gbc import GBC
from gapkit.scores.h_score import HScore, ShrunkHScore
from gapkit.scores.inputs import ScoreInputs
from gapkit.scores.leep import LEEP
from gapkit.scores.logme import LogME
from gapkit.scores.nce import NCE
from gapkit.scores.transrate import TransRate
from gapkit.statistics import centred
from gapkit.statistics.centred import CentredRows
from gapkit.statistics.class_sums import several_class_sums

OF_FEATURES = [LogME(), HScore(), ShrunkHScore(), TransRate(), GBC()]
ALL = [*OF_FEATURES, LEEP(), NCE()]


def inputs_of(n, d, seed=0):
    rng = np.random.default_rng([seed, 67])
    labels = np.arange(n) % 3
    features = rng.normal(size=(n, d)) + rng.normal(size=(3, d))[labels]
    return ScoreInputs(features=features, labels=labels, log_probabilities=np.log(rng.dirichlet(np.ones(4), size=n)))


@pytest.mark.parametrize(("n", "d", "eigh", "svd"), [(50, 6, 1, 0), (10, 30, 0, 2)])
def test_axes_are_found_once_for_all_scores_and_labellings(monkeypatch, n, d, eigh, svd):
    calls = {"eigh": 0, "svd": 0}

    def counted(name):
        original = getattr(np.linalg, name)

        def call(*arguments, **options):
            calls[name] += 1
            return original(*arguments, **options)

        return call

    for name in calls:
        monkeypatch.setattr(np.linalg, name, counted(name))
    inputs = inputs_of(n, d)
    for estimator in OF_FEATURES:
        score = estimator.on(inputs)
        for seed in range(3):
            score(np.random.default_rng(seed).permutation(inputs.labels))
    # Where n <= d, the H-score has a decomposition of its own, of columns of unit length.
    assert calls == {"eigh": eigh, "svd": svd}


@pytest.mark.parametrize(("n", "d"), [(50, 6), (10, 30)])
@pytest.mark.parametrize("estimator", ALL, ids=lambda estimator: estimator.traits.name)
def test_the_same_inputs_give_the_same_bits_in_any_company(estimator, n, d):
    alone = estimator.on(inputs_of(n, d))
    inputs = inputs_of(n, d)
    together = [other.on(inputs) for other in ALL]
    labellings = [np.random.default_rng(seed).permutation(inputs.labels) for seed in range(3)]
    for labels in labellings:
        for score in together:
            score(labels)
    for labels in labellings:
        assert alone(labels) == together[ALL.index(estimator)](labels)


@pytest.mark.parametrize("estimator", ALL, ids=lambda estimator: estimator.traits.name)
def test_nothing_that_was_given_is_changed(estimator):
    inputs, same = inputs_of(50, 6), inputs_of(50, 6)
    score = estimator.on(inputs)
    score(inputs.labels)
    for name in ("features", "labels", "log_probabilities"):
        assert getattr(inputs, name).tobytes() == getattr(same, name).tobytes()
        getattr(inputs, name).flags.writeable = False
    assert estimator.on(inputs)(inputs.labels) == score(same.labels)


def test_class_sums_are_kept_for_the_same_codes_only():
    rng = np.random.default_rng(0)
    rows = CentredRows(rows=rng.normal(size=(20, 3)), centre=rng.normal(size=3))
    codes = rng.integers(3, size=20)
    first = rows.class_sums(codes, 3)
    assert rows.class_sums(codes.copy(), 3) is first
    assert rows.class_sums(codes, 4).shape == (4, 3)
    before = rows.class_sums(codes, 3).copy()
    codes[:] = (codes + 1) % 3
    assert rows.class_sums(codes, 3) == pytest.approx(np.roll(before, 1, axis=0))
    with pytest.raises(ValueError, match="read-only"):
        rows.class_sums(codes, 3)[0, 0] = 1.0


@pytest.mark.parametrize("together", [1, 7, 128])
def test_class_sums_that_are_expected_are_found_some_at_a_time(monkeypatch, together):
    monkeypatch.setattr(centred, "TOGETHER", together)
    passes = []

    def counted(rows, codes, *others):
        passes.append(codes.shape[1])
        return several_class_sums(rows, codes, *others)

    monkeypatch.setattr(centred, "several_class_sums", counted)
    rng = np.random.default_rng(0)
    features, centre = rng.normal(size=(20, 3)), rng.normal(size=3)
    labellings = [rng.permutation(np.arange(20) % 3) for _ in range(10)]
    rows, alone = (CentredRows(rows=features, centre=centre) for _ in range(2))
    rows.expected[:] = [*labellings, np.arange(20) % 4]
    for codes in labellings:
        for _ in range(2):
            assert rows.class_sums(codes, 3).tobytes() == alone.class_sums(codes, 3).tobytes()
    # The last has a class too many.
    assert passes == {1: [1] * 10, 7: [2] * 5, 128: [10]}[together]
    unexpected = np.arange(20) % 2
    assert rows.class_sums(unexpected, 2).tobytes() == alone.class_sums(unexpected, 2).tobytes()


def test_every_trait_is_filled_in():
    for estimator in ALL:
        traits = estimator.traits
        assert all((traits.name, traits.title, traits.formula, traits.paper, traits.cost, traits.avoids))
        assert ("probabilities" in traits.needs) == (estimator in (LEEP(), NCE()))
    assert len({estimator.traits.name for estimator in ALL}) == len(ALL)
