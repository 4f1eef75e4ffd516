"""Rows from conditionals, and the parts that maps are fitted on."""

from __future__ import annotations

import numpy as np
import pytest

from gapkit.gap.families import FamilyFit
from gapkit.gap.label_maps.parts import fold_parts
from gapkit.gap.scoring import Scoring, score_families
from gapkit.statistics.folds import stratified_folds


def score(q, labels, groups, scored=None):
    scoring = Scoring(
        labels=labels,
        scored=np.ones(len(labels), dtype=bool) if scored is None else scored,
        groups=groups,
        prior=np.tile([0.6, 0.4], (len(labels), 1)),
        resamples=300,
        seed=0,
        reason="",
    )
    fits = {"channel": FamilyFit(held_out=q), "injection": "no room"}
    return score_families(scoring, fits, ("kl", "zero_one")).rows


def example(n=60):
    rng = np.random.default_rng(0)
    return rng.dirichlet(np.ones(2), size=n), rng.integers(2, size=n)


def test_copies_in_groups_count_once():
    q, labels = example()
    single = score(q, labels, None)
    copied = score(np.repeat(q, 4, axis=0), np.repeat(labels, 4), np.repeat(np.arange(60), 4))
    for left, right in zip(single, copied, strict=True):
        if left.status == "ok":
            assert left.interval == pytest.approx(right.interval)
            assert left.value_interval == pytest.approx(right.value_interval)
            assert right.n == 4 * left.n


def test_values_by_hand_on_the_scored_samples_only():
    q, labels = example()
    scored = np.arange(60) < 50
    kl, undefined, zero_one, _ = score(q, labels, None, scored)
    own, prior = q[np.arange(60), labels][:50], np.array([0.6, 0.4])[labels[:50]]
    assert kl.value == pytest.approx(-np.log(own).mean())
    assert kl.normalised == pytest.approx(np.log(own).sum() / np.log(prior).sum())
    assert zero_one.value == pytest.approx((own < 0.5).mean())
    assert zero_one.normalised == pytest.approx((own < 0.5).sum() / (labels[:50] == 1).sum())
    assert kl.n == 50
    assert kl.in_sample is None
    assert (undefined.status, undefined.reason, undefined.value) == ("undefined", "no room", None)


def test_parts_keep_groups_together_inside_too():
    rng = np.random.default_rng(1)
    labels, groups = rng.integers(3, size=200), rng.integers(25, size=200)
    folds = stratified_folds(labels, 5, groups=groups)
    parts = fold_parts(labels, folds, groups=groups, n_classes=3, seed=0)
    assert len(parts) == 6
    assert parts[-1].fit.all()
    for part in parts:
        assert not set(groups[part.fit]) & set(groups[part.scored])
        assert not set(groups[part.validation]) & set(groups[part.inner_fit])
        assert (part.inner >= 0).tolist() == part.fit.tolist()
        assert (part.validation | part.inner_fit).tolist() == part.fit.tolist()
