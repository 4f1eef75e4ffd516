"""The misalignment as a whole: what may not change it, what it may not miss, and odd sources and targets."""

from __future__ import annotations

import warnings
from dataclasses import asdict, replace

import numpy as np
import pytest

from gapkit.gap import ConditionalInputs, GapOptions
from gapkit.gap.conditional import fit_and_score
from gapkit.gap.inputs import ALL_DISCREPANCIES, FAMILIES, VARIANTS
from gapkit.gap.label_maps.channel_problems import Tempering
from gapkit.statistics.folds import stratified_folds

EVERYTHING = GapOptions(
    families=FAMILIES + VARIANTS, discrepancies=ALL_DISCREPANCIES, bootstrap=120, permutations=12, folds=3
)
QUICK = replace(EVERYTHING, ceiling=("channel", "linear", "knn"), permutations=0)
# What the features know, of a source whose labels know nothing.


@pytest.mark.parametrize("n", [40, 60])
def test_linear_reads_what_only_the_features_know(world, n):
    """Three Gaussian classes far apart: the linear head is as good as the nearest class mean, of the fitting side."""
    made = world(0, n=n, n_source=8, shares=(0.4, 0.3, 0.3), signal=2.0)
    log_p = np.log(np.random.default_rng(0).dirichlet(np.ones(8), size=len(made.labels)))
    options = GapOptions(families=("linear", "linear_plain"), bootstrap=100, permutations=0)
    measured = fit_and_score(replace(made.inputs(), log_probabilities=log_p), options)
    wrong = [
        means_of(made, measured, fold)[rows] != made.labels[rows]
        for fold in range(5)
        for rows in (measured.canonical.order[measured.problem.order[measured.problem.folds == fold]],)
    ]
    assert np.concatenate(wrong).mean() < 0.05
    for row in measured.result.rows:
        assert row.normalised < 0.3


def means_of(made, measured, fold):
    """The class of the nearest mean, of the samples outside the fold, for all samples."""
    fit = measured.canonical.order[measured.problem.order[measured.problem.folds != fold]]
    means = [made.features[fit][made.labels[fit] == y].mean(axis=0) for y in range(3)]
    return np.argmin([np.square(made.features - mean).sum(axis=1) for mean in means], axis=0)


# Labels of the samples that a fold scores.


@pytest.mark.parametrize("grouped", [False, True])
def test_held_out_conditionals_do_not_depend_on_the_labels_that_they_are_scored_on(world, monkeypatch, grouped):
    # Sums over samples in another order round differently in single precision, which choices amplify to 1e-3.
    monkeypatch.setattr(Tempering, "at", lambda self, temperature: self.samples.temper(temperature))
    made = world(6, n=70, n_source=6, shares=(0.4, 0.3, 0.3), signal=0.7, sharpness=3.0)
    groups = np.random.default_rng(6).integers(25, size=70) if grouped else None
    folds = stratified_folds(made.labels, 2, groups=groups)
    options = replace(QUICK, ceiling=("knn", "mlp") if grouped else ("channel", "mlp"), folds=2)
    before = fit_and_score(made.inputs(groups=groups), options, folds=folds)
    # Classes are numbered as they first occur, which is where a network's weights start; these labels stay.
    codes = before.canonical.inputs.labels
    last = max(int(np.flatnonzero(codes == y)[0]) for y in range(3))
    changed = np.setdiff1d(folds.scored(1), before.canonical.order[: last + 1])
    assert len(changed) > 20
    labels = made.labels.copy()
    labels[changed] = (labels[changed] + 1) % 3
    after = fit_and_score(replace(made.inputs(groups=groups), labels=labels), options, folds=folds)
    np.testing.assert_array_equal(before.canonical.target_classes, after.canonical.target_classes)
    assert before.result.rows != after.result.rows
    for family in options.families:
        left, right = (held_out_of(measured, family, 1) for measured in (before, after))
        np.testing.assert_allclose(left, right, atol=1e-6, rtol=0)
        if family != "ceiling" or before.fits[family].members[0] == after.fits[family].members[0]:
            # The other fold is fitted to the changed labels, so that a leak would show.
            left, right = (held_out_of(measured, family, 0) for measured in (before, after))
            assert np.abs(left - right).max() > 0.02


def held_out_of(measured, family, fold):
    """Held-out q of one fold's samples, in the given order of samples and classes."""
    given = measured.canonical.order[measured.problem.order]
    rows = np.flatnonzero(measured.problem.folds == fold)
    rows = rows[np.argsort(given[rows])]
    return measured.fits[family].held_out[rows][:, np.argsort(measured.canonical.target_classes)]


# What may not change anything.


def odd_source(kind, n=42):
    """Features that decide p, as a network does; what is asked of p makes the kind."""
    rng = np.random.default_rng([n, len(kind)])
    labels = np.arange(n) % 3
    features = rng.normal(size=(n, 6)) + 0.8 * np.eye(3)[labels] @ rng.normal(size=(3, 6))
    if kind == "duplicates":
        features = features[np.arange(n) // 2]
    logits = 3 * features @ np.random.default_rng(7).normal(size=(6, 5))
    if kind == "zeros and ones":
        logits = np.where(logits == logits.max(axis=1, keepdims=True), 0.0, -np.inf)
        logits[:, 4] = np.where(np.isfinite(logits[:, :4]).any(axis=1), -np.inf, 0.0)
    else:
        logits -= logits.max(axis=1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return logits, features, labels


@pytest.mark.parametrize(
    ("kind", "grouped"), [("zeros and ones", False), ("duplicates", True), ("soft", True)], ids=str
)
def test_permuting_and_renaming_gives_exactly_equal_results(kind, grouped):
    log_p, features, labels = odd_source(kind)
    rng = np.random.default_rng(8)
    groups = rng.integers(12, size=42) if grouped else None
    plain = ConditionalInputs(
        log_probabilities=log_p, features=features, labels=labels, n_classes=3, groups=groups, class_names=tuple("abc")
    )
    order, sources, targets = rng.permutation(42), rng.permutation(5), np.array([2, 0, 1])
    moved = ConditionalInputs(
        log_probabilities=np.asfortranarray(log_p[order][:, sources]),
        features=np.asfortranarray(features[order]),
        labels=targets[labels][order],
        n_classes=3,
        groups=None if groups is None else 100 - 7 * rng.permutation(12)[groups][order],
        class_names=tuple("bca"),
    )
    options = replace(EVERYTHING, ceiling=("channel", "knn", "mlp") if grouped else ("linear", "knn"), folds=2)
    left, right = fit_and_score(plain, options).result, fit_and_score(moved, options).result
    assert left.rows == right.rows
    assert left.decomposition == right.decomposition
    assert {row.null.status for row in left.rows} == {"ok"}


# Whatever a source or target may bring.


def check_finite(content):
    for value in content.values() if isinstance(content, dict) else content:
        if isinstance(value, (dict, list, tuple)):
            check_finite(value)
        elif isinstance(value, float):
            assert np.isfinite(value)


def two_target_classes(rng, n=20):
    return rng.dirichlet(np.full(4, 0.05), size=n), np.arange(n) % 2, None


def as_many_classes_never_predicted(rng, n=24):
    probs = np.eye(3)[rng.integers(2, size=n)]
    return probs, np.arange(n) % 3, None


def more_target_classes(rng, n=30):
    return rng.dirichlet(np.ones(2), size=n), np.arange(n) % 3, np.arange(n) // 2


def one_class_per_group(rng, n=30):
    return rng.dirichlet(np.ones(4), size=n), np.arange(n) % 3, np.arange(n) % 3 + 3 * rng.integers(2, size=n)


def all_the_same(rng, n=20):
    return np.tile([0.0, 0.25, 0.75], (n, 1)), np.arange(n) % 2, None


@pytest.mark.parametrize(
    "make",
    [
        two_target_classes,
        as_many_classes_never_predicted,
        more_target_classes,
        one_class_per_group,
        all_the_same,
    ],
    ids=lambda make: make.__name__,
)
def test_finite_and_silent_in_two_folds_with_everything_asked_for(make):
    rng = np.random.default_rng(9)
    probs, labels, groups = make(rng)
    features = np.ones((len(labels), 3)) if make is all_the_same else rng.normal(size=(len(labels), 12))
    with warnings.catch_warnings(), np.errstate(divide="ignore"):
        warnings.simplefilter("error")
        log_p = np.log(probs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        inputs = ConditionalInputs(
            log_probabilities=log_p, features=features, labels=labels, n_classes=int(labels.max()) + 1, groups=groups
        )
        result = fit_and_score(inputs, replace(EVERYTHING, folds=2)).result
    check_finite(asdict(result))
    undefined = {row.label_map for row in result.rows if row.status == "undefined"}
    assert undefined == ({"injection", "partition", "injection_strict"} if make is more_target_classes else set())
    for row in result.rows:
        if row.label_map not in undefined and row.null.status == "ok":
            assert 1 / 13 <= row.null.p <= 1


def test_same_seed_is_bit_identical_and_no_global_state_is_touched(world):
    inputs = world(2, n=40, n_source=5, signal=0.8).inputs(groups=np.arange(40) // 2)
    options = replace(EVERYTHING, folds=2, families=("injection", "channel", "linear_plain"))
    state = np.random.get_state()[1].tolist()  # noqa: NPY002
    first, again, other = (fit_and_score(inputs, replace(options, seed=seed)) for seed in (5, 5, 6))
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002
    assert first.result == again.result
    assert first.result.rows != other.result.rows
    for family in options.families:
        np.testing.assert_array_equal(first.fits[family].held_out, again.fits[family].held_out)
