"""The misalignment as a whole against the naive loops: values, intervals, maps, what may not change and what may."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gapkit.gap import GapOptions
from gapkit.gap.conditional import fit_and_score
from gapkit.gap.families import FamilyFit
from gapkit.gap.inputs import ALL_DISCREPANCIES, FAMILIES, VARIANTS
from gapkit.gap.multilabel import measure_multilabel
from gapkit.statistics.uncertainty import resampling_counts

EVERYTHING = GapOptions(
    families=FAMILIES + VARIANTS, discrepancies=ALL_DISCREPANCIES, bootstrap=120, permutations=12, folds=3
)
QUICK = replace(EVERYTHING, ceiling=("channel", "linear", "knn"), permutations=0)
STEPS = ("injection", "channel", "linear", "ceiling")


def plain_world(world):
    made = world(1, n=60, n_source=5, shares=(0.5, 0.3, 0.2), signal=0.7)
    return made.inputs(values=made.labels + np.random.default_rng(1).normal(size=60))


def grouped_world(world):
    made = world(2, n=72, n_source=6, shares=(0.4, 0.3, 0.3), signal=0.8, sharpness=4.0)
    return made.inputs(groups=np.random.default_rng(2).integers(24, size=len(made.labels)))


def partial_world(world):
    """Exact zeros and ones, a class that is never scored though it shares groups, and one without any sample."""
    made = world(3, n=60, n_source=5, shares=(0.5, 0.5), signal=1.0, sharpness=4.0)
    labels = np.where(made.labels == 1, 3, made.labels)
    labels[np.random.default_rng(3).choice(60, size=4, replace=False)] = 1
    probs = made.probs.copy()
    hard = np.arange(60) < 20
    probs[hard] = np.eye(5)[probs[hard].argmax(axis=1)]
    groups = np.arange(60) // 3
    groups[labels == 1] = [3, 3, 7, 7]
    with np.errstate(divide="ignore"):
        return replace(made.inputs(n_classes=4), log_probabilities=np.log(probs), labels=labels, groups=groups)


class Case:
    """One measurement, with what the naive loops read: arrays in the order that resamples are drawn in."""

    def __init__(self, inputs, options):
        self.inputs, self.options = inputs, options
        self.measured = fit_and_score(inputs, options)
        self.result, problem = self.measured.result, self.measured.problem
        self.labels, self.folds = problem.samples.labels, problem.folds
        self.given = self.measured.canonical.order[problem.order]
        self.home = np.full(len(self.labels), -1)
        for k, part in enumerate(problem.parts[:-1]):
            self.home[~part.fit] = k
        self.fits = {name: fit for name, fit in self.measured.fits.items() if isinstance(fit, FamilyFit)}
        self.groups = None if inputs.groups is None else problem.groups[self.folds >= 0]
        units = int((self.folds >= 0).sum()) if self.groups is None else len(np.unique(self.groups))
        self.resamples = draw(units, options)

    def losses(self, estimates, name, family):
        q = self.fits[family].held_out
        return estimates.paired_losses(name, q, self.labels, self.folds, home=self.home)

    def interval(self, estimates, x, y):
        return interval_of(estimates, x, y, self.resamples, self.groups)


def draw(units, options):
    blocks = resampling_counts(units, options.bootstrap, seed=options.seed)
    return [np.repeat(np.arange(units), row.astype(int)) for block in blocks for row in block]


def least_error(e):
    """The squared error that one sample alone brings, one of those that vary: what it is kept above."""
    return (e**4).sum() / (e**2).sum() * len(e) / (len(e) - 1)


def interval_of(estimates, x, y, resamples, groups):
    """The naive interval with the documented floor of the error, widened to hold the value."""
    sums_x, sums_y = estimates.unit_sums(x, groups), estimates.unit_sums(y, groups)
    e = sums_x - sums_x.sum() / sums_y.sum() * sums_y
    e[np.abs(e) < 1e-12] = 0
    if not e.any():
        return (sums_x.sum() / sums_y.sum(),) * 3
    value, low, high = estimates.bootstrap_interval(x, y, resamples, groups, least_error(e))
    return value, min(low, value), max(high, value)


@pytest.fixture(name="case", scope="module", params=[plain_world, grouped_world, partial_world])
def measured_case(request, world):
    return Case(request.param(world), QUICK)


def test_order_and_codes_are_the_given_ones(case):
    codes = case.measured.canonical.target_classes
    np.testing.assert_array_equal(codes[case.labels], case.inputs.labels[case.given])
    assert sorted(case.given.tolist()) == list(range(len(case.labels)))
    if case.inputs.groups is not None:
        pairs = set(zip(case.inputs.groups[case.given].tolist(), case.measured.problem.groups.tolist(), strict=True))
        assert len(pairs) == len({left for left, _ in pairs}) == len({right for _, right in pairs})
        for k in range(3):
            # A group with scored samples of fold k has no sample on the fitting side.
            fit = case.measured.problem.parts[k].fit
            groups = case.measured.problem.groups
            assert not set(groups[fit]) & set(groups[case.folds == k])


def test_every_row_equals_the_naive_loops(case, estimates):
    n = int((case.folds >= 0).sum())
    assert case.result.n_scored == n
    assert {(row.label_map, row.discrepancy) for row in case.result.rows} == {
        (family, name) for family in QUICK.families for name in ALL_DISCREPANCIES
    }
    for row in case.result.rows:
        x, y = case.losses(estimates, row.discrepancy, row.label_map)
        for value, ends, below in ((row.value, row.value_interval, np.ones(n)), (row.normalised, row.interval, y)):
            expected, low, high = case.interval(estimates, x, below)
            assert value == pytest.approx(expected, rel=1e-9, abs=1e-12)
            assert ends == pytest.approx((max(low, 0.0), high), rel=1e-7, abs=1e-9)
        if row.discrepancy in ("kl", "brier"):
            ceiling, _ = case.losses(estimates, row.discrepancy, "ceiling")
            value, low, high = case.interval(estimates, x - ceiling, np.ones(n))
            assert row.excess.value == pytest.approx(value, abs=1e-12)
            assert row.excess.interval == pytest.approx((low, high), rel=1e-7, abs=1e-9)
        else:
            assert row.excess is None
        assert row.proper == (row.discrepancy in estimates.naive.PROPER)
        assert row.status == ("partial" if case.result.unscored else "ok")


def test_in_sample_values_and_bounds_equal_the_naive_loops(case, estimates):
    scored = case.folds >= 0
    for row in case.result.rows:
        fit = case.fits[row.label_map]
        assert (row.in_sample is None) == (row.label_map in ("linear", "linear_plain", "ceiling"))
        if row.in_sample is None:
            continue
        losses = estimates.naive.discrepancies(row.discrepancy, fit.in_sample, case.labels)
        assert row.in_sample == pytest.approx(losses.mean(), rel=1e-9)
        if row.discrepancy == "kl":
            value, low, _ = case.interval(estimates, losses[scored], np.ones(scored.sum()))
            least = max(0.0, losses.mean() - (value - low))
            assert row.bounds == pytest.approx((min(least, row.value_interval[1]), row.value_interval[1]), rel=1e-7)
        else:
            assert row.bounds is None


def test_decomposition_equals_the_naive_loops_and_sums_to_the_injection(case, estimates):
    losses = [case.losses(estimates, "kl", family)[0] for family in STEPS]
    prior = case.losses(estimates, "kl", "injection")[1]
    parts = estimates.decomposition(*losses)
    assert list(case.result.decomposition) == list(parts)
    for name, x in parts.items():
        value, low, high = case.interval(estimates, x, prior)
        assert case.result.decomposition[name].value == pytest.approx(value, abs=1e-12)
        assert case.result.decomposition[name].interval == pytest.approx((low, high), rel=1e-7, abs=1e-9)
    total = sum(part.value for part in case.result.decomposition.values())
    assert total == pytest.approx(losses[0].sum() / prior.sum(), abs=1e-12)


def test_predict_gives_back_what_was_held_out(case):
    codes, n_classes = case.measured.canonical.target_classes, case.inputs.n_classes
    for family, fit in case.fits.items():
        for fold in range(3):
            rows = np.flatnonzero(case.folds == fold)
            given = case.given[rows]
            q = case.measured.predict(family, fold, case.inputs.log_probabilities[given], case.inputs.features[given])
            assert q.shape == (len(rows), n_classes)
            np.testing.assert_allclose(q[:, codes], fit.held_out[rows], rtol=1e-9, atol=1e-12)
            assert q.sum(axis=1) == pytest.approx(1)
            assert not np.delete(q, codes, axis=1).any()


def test_r_squared_equals_the_naive_loops(world, estimates):
    case = Case(plain_world(world), replace(QUICK, families=("injection", "linear_plain")))
    values = case.inputs.values[case.given]
    for family in ("injection", "linear_plain"):
        q = case.fits[family].held_out
        expected = estimates.binned_r_squared(q, case.labels, values, case.folds, case.home)
        assert case.result.r_squared[family].value == pytest.approx(expected, abs=1e-12)
        errors = [naive_errors(q, case, values, fold) for fold in range(3)]
        x, y = (np.concatenate([pair[side] for pair in errors])[np.argsort(order_of(case))] for side in (0, 1))
        value, low, high = case.interval(estimates, x, y)
        assert value == pytest.approx(1 - expected, abs=1e-12)
        assert case.result.r_squared[family].interval == pytest.approx((1 - high, 1 - low), abs=1e-9)


def order_of(case):
    return np.concatenate([np.flatnonzero(case.folds == fold) for fold in range(3)])


def naive_errors(q, case, values, fold):
    """Squared errors of the expected bin mean and of the mean, of one fold's samples."""
    fit, rows = case.home != fold, np.flatnonzero(case.folds == fold)
    means = np.array([values[fit & (case.labels == b)].mean() for b in range(q.shape[1])])
    return (values[rows] - q[rows] @ means) ** 2, (values[rows] - values[fit].mean()) ** 2


@pytest.mark.parametrize("grouped", [False, True])
def test_values_against_a_probe_equal_the_naive_loops(world, estimates, grouped):
    made = world(0, n=120, n_source=5, shares=(0.5, 0.3, 0.2), signal=2.0)
    inputs = made.inputs(groups=np.random.default_rng(0).integers(40, size=120) if grouped else None)
    case = Case(inputs, replace(QUICK, families=("injection", "linear_plain"), target_conditional="probe"))
    soft = case.fits["linear_plain"].held_out
    for row in case.result.rows:
        q = case.fits[row.label_map].held_out
        x, y = estimates.paired_losses(row.discrepancy, q, case.labels, case.folds, soft, case.home)
        for ends, value, below in ((row.interval, row.normalised, y), (row.value_interval, row.value, np.ones_like(x))):
            expected, low, high = case.interval(estimates, x, below)
            assert value == pytest.approx(expected, rel=1e-9, abs=1e-12)
            assert ends == pytest.approx((max(low, 0.0), high), rel=1e-6, abs=1e-9)


def macro_inputs(world):
    """Two labels, and groups whose codes are not in the order in which they occur."""
    made = world(4, n=60, n_source=4, shares=(0.3, 0.4, 0.3), signal=2.0)
    indicators = np.stack([made.labels == 0, made.labels != 1], axis=1).astype(int)
    return made.inputs(groups=np.random.default_rng(5).integers(20, size=60)), indicators


@pytest.mark.parametrize("grouped", [False, True])
def test_macro_values_equal_the_naive_loops(world, estimates, grouped):
    inputs, indicators = macro_inputs(world)
    inputs = inputs if grouped else replace(inputs, groups=None)
    options = replace(QUICK, families=("injection", "partition"), discrepancies=("kl", "zero_one"))
    found = measure_multilabel(inputs, indicators, ("first", "second"), options)
    alone = [Case(replace(inputs, labels=indicators[:, j], n_classes=2, class_names=()), options) for j in range(2)]
    # One order of samples for all labels: that of the features, which no label changes.
    order = alone[0].measured.canonical.order
    groups = alone[0].measured.canonical.inputs.groups
    resamples = draw(60 if groups is None else len(np.unique(groups)), options)
    for row in found.rows:
        pairs = []
        for case in alone:
            x, y = (np.zeros(60), np.zeros(60))
            rows = case.given[case.folds >= 0]
            x[rows], y[rows] = case.losses(estimates, row.discrepancy, row.label_map)
            pairs.append((x[order], y[order]))
        x, y = (np.stack([pair[side] for pair in pairs], axis=1) for side in (0, 1))
        _, e, _ = estimates.macro_ratio(estimates.unit_sums(x, groups), estimates.unit_sums(y, groups))
        value, low, high = estimates.macro_interval(x, y, resamples, groups, least_error(e))
        assert row.normalised == pytest.approx(value, rel=1e-9)
        assert row.interval == pytest.approx((max(0.0, min(low, value)), max(high, value)), rel=1e-6)
        q = [case.fits[row.label_map].held_out for case in alone]
        folds = [np.full(60, -1), np.full(60, -1)]
        for j, case in enumerate(alone):
            placed = np.zeros((60, 2))
            placed[case.given[:, None], case.measured.canonical.target_classes] = q[j]
            folds[j][case.given], q[j] = case.folds, placed
        assert row.normalised == pytest.approx(
            estimates.macro_value(row.discrepancy, q, indicators, np.stack(folds, axis=1)), rel=1e-9
        )


def test_renaming_groups_changes_no_macro_interval(world):
    inputs, indicators = macro_inputs(world)
    options = replace(QUICK, families=("injection", "partition"), discrepancies=("kl",))
    names = np.random.default_rng(0).permutation(20)
    plain = measure_multilabel(inputs, indicators, (), options)
    renamed = measure_multilabel(replace(inputs, groups=names[inputs.groups]), indicators, (), options)
    assert renamed.per_label == plain.per_label
    assert renamed.rows == plain.rows
