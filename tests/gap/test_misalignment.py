"""``measure_misalignment``: what it must say of worlds whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from gapkit.gap import ConditionalInputs, GapOptions, measure_misalignment
from gapkit.gap.conditional import measure_on_folds
from gapkit.gap.families import _fit_channels
from gapkit.gap.label_maps.linear import fit_linear
from gapkit.gap.label_maps.mixing import class_prior
from gapkit.statistics.folds import Folds, stratified_folds

QUICK = GapOptions(bootstrap=200)


def rows_of(result):
    return {(row.label_map, row.discrepancy): row for row in result.rows}


def check_row(row):
    """What holds of every defined row."""
    for value, interval in ((row.value, row.value_interval), (row.normalised, row.interval)):
        assert np.isfinite([value, *interval]).all()
        assert 0 <= interval[0] <= value <= interval[1]
    assert row.status in ("ok", "partial")
    assert (row.status == "ok") == (row.reason == "")
    if row.in_sample is not None:
        assert np.isfinite(row.in_sample)
        assert row.in_sample >= 0


def test_value_is_the_mean_of_held_out_losses_over_that_of_the_prior(world):
    made = world(n=120)
    folds = stratified_folds(made.labels, 4)
    row = rows_of(measure_on_folds(made.inputs(), folds, GapOptions(families=("channel",), bootstrap=100)))[
        "channel", "kl"
    ]
    losses = []
    for fold in range(4):
        prior = class_prior(np.bincount(made.labels[folds.fitting(fold)]).astype(float))
        losses += [-np.log(prior[made.labels[i]]) for i in folds.scored(fold)]
    assert row.value / row.normalised == pytest.approx(np.mean(losses), rel=1e-12)
    assert row.n == 120


def test_held_out_maps_have_not_seen_the_scored_samples(world):
    # Labels of one fold are permuted: if maps are fitted elsewhere, that fold's q stays and only its losses change.
    made = world(n=100, signal=2.0)
    folds = stratified_folds(made.labels, 5)
    wrong = made.labels.copy()
    wrong[folds.ids == 0] = (wrong[folds.ids == 0] + 1) % 4
    options = GapOptions(families=("injection",), bootstrap=100)
    true = rows_of(measure_on_folds(made.inputs(), folds, options))["injection", "zero_one"]
    shifted = rows_of(measure_on_folds(replace(made.inputs(), labels=wrong), folds, options))["injection", "zero_one"]
    assert shifted.value > true.value + 0.1


def test_perfect_source_is_near_zero():
    labels = np.arange(300) % 3
    log_p = np.log(np.maximum(np.eye(5)[labels] * 0.999 + 0.0002, 1e-9))
    log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
    features = np.eye(3)[labels] + 0.01 * np.random.default_rng(0).normal(size=(300, 3))
    found = measure_misalignment(
        ConditionalInputs(log_probabilities=log_p, features=features, labels=labels, n_classes=3), QUICK
    )
    for row in found.rows:
        check_row(row)
        assert row.normalised < 0.02
    assert [entry.source for entry in found.label_maps["injection"].entries] == [0, 1, 2]
    assert all(entry.agreement == 1 for entry in found.label_maps["injection"].entries)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shares", [(0.25,) * 4, (0.85, 0.05, 0.05, 0.05)])
def test_uninformative_source_is_near_one(world, seed, shares):
    made = world(seed, n=400, n_source=40, shares=shares, signal=0.0, sharpness=5.0)
    for row in measure_misalignment(made.inputs(), QUICK).rows:
        check_row(row)
        assert row.normalised <= 1.05
        if row.discrepancy == "kl":
            assert row.interval[0] - 0.01 <= 1.0 <= row.interval[1] + 0.03


def test_same_seed_is_bit_identical(world):
    made = world(n=100)
    assert measure_misalignment(made.inputs(), QUICK) == measure_misalignment(made.inputs(), QUICK)
    other = measure_misalignment(made.inputs(), replace(QUICK, seed=1))
    assert other.rows != measure_misalignment(made.inputs(), QUICK).rows


def test_linear_algebra_runs_on_one_thread_and_as_before_afterwards(world):
    def blas():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    seen = []
    with threadpool_limits(2, user_api="blas"):
        before = blas()
        if set(before) != {2}:
            pytest.skip("needs a BLAS that takes two threads")
        measure_misalignment(world(n=80).inputs(), QUICK, lambda *_: seen.extend(blas()))
        assert blas() == before
    assert set(seen) == {1}


def test_renaming_classes_changes_only_the_names(world):
    made = world(n=160, n_source=10)
    target, source = np.array([2, 0, 3, 1]), np.random.default_rng(0).permutation(10)
    plain = measure_misalignment(made.inputs(), QUICK)
    renamed = measure_misalignment(
        replace(made.inputs(), labels=target[made.labels], log_probabilities=made.log_p[:, source]), QUICK
    )
    for left, right in zip(plain.rows, renamed.rows, strict=True):
        assert left.value == pytest.approx(right.value, rel=1e-4)
    lines = {(target[entry.target], entry.source) for entry in plain.label_maps["injection"].entries}
    assert lines == {(entry.target, source[entry.source]) for entry in renamed.label_maps["injection"].entries}


def test_groups_are_kept_and_widen_intervals(world):
    made = world(n=200, signal=0.5)
    groups = np.arange(200) // 10
    grouped = rows_of(measure_misalignment(made.inputs(groups=groups), QUICK))["channel", "kl"]
    check_row(grouped)
    assert grouped.value_interval != rows_of(measure_misalignment(made.inputs(), QUICK))["channel", "kl"].value_interval


def test_duplicates_in_groups_do_not_leak():
    # Every sample is there five times; the features identify it. Only groups keep the copies on one side.
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 5)
    labels = rng.integers(2, size=40)[groups]
    features = rng.normal(size=(40, 60))[groups]
    log_p = np.log(np.full((200, 2), 0.5))
    inputs = ConditionalInputs(log_probabilities=log_p, features=features, labels=labels, n_classes=2)
    options = GapOptions(families=("linear",), bootstrap=100)
    leaking = rows_of(measure_misalignment(inputs, options))["linear", "kl"].normalised
    honest = rows_of(measure_misalignment(replace(inputs, groups=groups), options))["linear", "kl"].normalised
    assert leaking < 0.3
    assert honest > 0.9


def test_rare_class_makes_rows_partial_and_is_named(world):
    made = world(n=100)
    labels = made.labels.copy()
    labels[:3] = 4
    found = measure_misalignment(replace(made.inputs(), labels=labels, n_classes=6, class_names=tuple("abcdef")), QUICK)
    assert found.unscored == (4,)
    assert found.n_scored == 97
    assert any("no sample" in note for note in found.notes)
    for row in found.rows:
        check_row(row)
        assert row.status == "partial"
        assert "classes e have fewer samples than the 5 folds" in row.reason


def test_more_target_than_source_classes_leaves_the_injection_undefined(world):
    made = world(n=120, n_source=3)
    found = rows_of(measure_misalignment(made.inputs(), QUICK))
    row = found["injection", "kl"]
    assert (row.value, row.interval, row.in_sample, row.status) == (None, None, None, "undefined")
    assert found["partition", "kl"].status == "undefined"
    assert "4 target classes do not fit into 3 source classes" in row.reason
    check_row(found["channel", "kl"])
    check_row(found["linear", "kl"])


def leep_plug_in(probs, labels, folds):
    """Held-out KL of LEEP's plug-in (J + pi) / (sum J + 1) on the same folds: the smoothing keeps it finite."""
    losses = []
    n_classes = int(labels.max()) + 1
    for fold in range(folds.n_folds):
        fit, scored = folds.fitting(fold), folds.scored(fold)
        prior = class_prior(np.bincount(labels[fit], minlength=n_classes).astype(float))
        joint = np.stack([probs[fit][labels[fit] == y].sum(axis=0) for y in range(n_classes)])
        q = probs[scored] @ ((joint + prior[:, None]) / (joint.sum(axis=0) + 1)).T
        losses += list(-np.log(q[np.arange(len(scored)), labels[scored]]))
    return np.mean(losses)


@pytest.mark.parametrize("seed", range(2))
def test_channel_of_a_wide_overconfident_source_is_as_good_as_the_plug_in(world, seed):
    made = world(seed, n=1000, n_source=352, shares=(0.1,) * 10, sharpness=8.0)
    folds = stratified_folds(made.labels, 5)
    found = measure_on_folds(made.inputs(), folds, GapOptions(families=("channel",), bootstrap=100))
    assert rows_of(found)["channel", "kl"].value <= 1.02 * leep_plug_in(made.probs, made.labels, folds)


def test_label_maps_of_a_channel_are_sorted_and_heavy(world):
    made = world(n=200, n_source=6, signal=2.0)
    shown = measure_misalignment(made.inputs(), QUICK).label_maps["channel"]
    masses = [entry.mass for entry in shown.entries]
    assert masses == sorted(masses, reverse=True)
    assert min(masses) >= 0.01
    assert sum(masses) <= 1 + 1e-9
    assert shown.gap <= 1e-4


def test_order_of_samples_does_not_matter_on_the_same_folds(world):
    made = world(n=152)
    folds = stratified_folds(made.labels, 5)
    order = np.random.default_rng(1).permutation(152)
    inputs = ConditionalInputs(
        log_probabilities=made.log_p[order], features=made.features[order], labels=made.labels[order], n_classes=4
    )
    moved = Folds(ids=folds.ids[order], home=folds.home[order], n_folds=5)
    assert measure_on_folds(inputs, moved, QUICK) == measure_on_folds(made.inputs(), folds, QUICK)


def test_progress_is_told(world):
    told = []
    measure_misalignment(world(n=60).inputs(), QUICK, lambda task, done, total: told.append((task, done, total)))
    for task in ("injection", "partition", "channel", "linear", "ceiling"):
        steps = [(done, total) for name, done, total in told if name == task]
        assert steps[-1][0] == steps[-1][1]
        assert [done for done, _ in steps] == sorted({done for done, _ in steps})


def test_absent_classes_keep_their_codes(world):
    made = world(n=120, n_source=8)
    found = measure_misalignment(replace(made.inputs(), labels=2 * made.labels + 1, n_classes=9), QUICK)
    assert [entry.target for entry in found.label_maps["injection"].entries] == [1, 3, 5, 7]
    assert {entry.target for entry in found.label_maps["channel"].entries} <= {1, 3, 5, 7}


def test_linear_is_fitted_on_channels_that_have_not_seen_the_sample(world, monkeypatch):
    made, seen, fits = world(n=100, n_source=20, signal=0.0), [], []

    def spy_linear(features, log_q, labels, part, channel):
        seen.append((log_q, part))
        return fit_linear(features, log_q, labels, part, channel)

    def spy_channels(problem, *rest):
        fits.extend(_fit_channels(problem, *rest))
        problems.append(problem)
        return fits

    problems = []
    monkeypatch.setattr("gapkit.gap.families.fit_linear", spy_linear)
    monkeypatch.setattr("gapkit.gap.families._fit_channels", spy_channels)
    measure_misalignment(made.inputs(), replace(QUICK, families=("linear",)))
    samples = problems[0].samples
    for (log_q, part), fit in zip(seen, fits[:-1], strict=True):
        assert np.exp(log_q[part.fit]) == pytest.approx(fit.inner[part.fit])
        assert np.exp(log_q[part.scored]) == pytest.approx(fit.channel.predict_log(samples.log_p[part.scored]))
        own, prior = log_q[part.fit, samples.labels[part.fit]], np.log(part.prior[samples.labels[part.fit]])
        # The source knows nothing: only a channel that has seen these samples would be better than the prior.
        assert own.mean() <= 0.97 * prior.mean()
