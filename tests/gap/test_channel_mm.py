"""Channels beyond row-stochastic ones: MM never goes down, no stricter family beats it, held-out it does not lose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapkit.data.worlds import WorldOptions
from gapkit.data.worlds import make_world as make_known_world
from gapkit.gap.label_maps import injection as injections
from gapkit.gap.label_maps import partition as partitions
from gapkit.gap.label_maps.channel_em import fit_channels
from gapkit.gap.label_maps.channel_in_sample import fit_in_sample
from gapkit.gap.label_maps.channel_mm import carried, mixed_with, mm_step, relax_channels
from gapkit.gap.label_maps.channel_parts import fit_parts
from gapkit.gap.label_maps.channel_problems import Member, make_tempering, stack_problems
from gapkit.gap.label_maps.mixing import class_prior, fit_eps
from gapkit.gap.label_maps.parts import fold_parts
from gapkit.gap.label_maps.tempering import sort_samples
from gapkit.statistics.folds import stratified_folds


def problems_of(made, counts, *, temperature=1.0):
    samples, _ = sort_samples(made.log_p, made.labels, int(made.labels.max()) + 1)
    prior = class_prior(np.bincount(made.labels).astype(float))
    rng = np.random.default_rng(0)
    members = [Member(mask=rng.random(len(made.labels)) < 0.8, prior=prior, pseudo_count=count) for count in counts]
    return stack_problems(samples.temper(temperature), members)


def random_channels(problems, seed):
    shape = (len(problems.priors), problems.tempered.p.shape[1], len(problems.pseudo))
    return np.random.default_rng(seed).gamma(0.5, size=shape) + 1e-6


def naive_objective(problems, channels, m):
    """``sum_i log q_A(y_i | x_i) + c sum_zy (pi_y log A_zy - A_zy)`` over n, loop by loop."""
    p, labels, count = problems.tempered.p, problems.tempered.samples.labels, problems.pseudo[m]
    total = 0.0
    for i, y in enumerate(labels):
        if problems.weights[i, m]:
            joint = [sum(p[i, z] * channels[k, z, m] for z in range(p.shape[1])) for k in range(len(channels))]
            total += np.log(joint[y] / sum(joint))
    for k, z in np.ndindex(*channels.shape[:2]):
        if count > 0:
            total += count * (problems.priors[k, m] * np.log(channels[k, z, m]) - channels[k, z, m])
    return total / problems.weights[:, m].sum()


def test_objective_and_step_equal_naive_loops(world):
    problems = problems_of(world(n=30, n_source=5), [0.0, 0.3])
    channels = random_channels(problems, 1)
    taken = mm_step(problems, channels)
    p, labels = problems.tempered.p, problems.tempered.samples.labels
    for m in range(2):
        assert taken.value[m] == pytest.approx(naive_objective(problems, channels, m), rel=1e-12)
        fitted = np.flatnonzero(problems.weights[:, m])
        for y, z in np.ndindex(4, 5):
            joint = p @ channels[..., m].T
            gradient = sum(p[i, z] / joint[i, y] for i in fitted if labels[i] == y)
            demand = sum(p[i, z] / joint[i].sum() for i in fitted)
            count, prior = problems.pseudo[m], problems.priors[y, m]
            expected = (channels[y, z, m] * gradient + count * prior) / (demand + count)
            assert taken.following[y, z, m] == pytest.approx(expected, rel=1e-10)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), temperature=st.sampled_from([0.25, 1.0, 8.0]))
def test_minorisation_lies_below_the_objective_touches_it_and_is_largest_at_the_step(world, seed, temperature):
    problems = problems_of(world(seed % 7, n=40, n_source=6, sharpness=4.0), [0.0, 0.2], temperature=temperature)
    at, other = random_channels(problems, seed), random_channels(problems, seed + 1)
    taken = mm_step(problems, at)

    def minorant(channels):
        # F(B) + (1/n) sum (B G + c pi) log(A / B) - (A - B)(D + c), where B's own step says B G + c pi = A+ (D + c).
        p = problems.tempered.p
        mass = p @ at.sum(axis=0)
        demand = p.T @ (problems.weights / mass) + problems.pseudo
        gain = taken.following * demand * np.log(channels / at) - (channels - at) * demand
        return taken.value + gain.sum(axis=(0, 1)) / problems.sizes

    assert minorant(at) == pytest.approx(taken.value, abs=1e-12)
    assert (mm_step(problems, other).value >= minorant(other) - 1e-10).all()
    best = minorant(taken.following)
    assert (mm_step(problems, taken.following).value >= best - 1e-10).all()
    assert (best >= minorant(other) - 1e-12).all()
    assert (best >= taken.value - 1e-12).all()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), temperature=st.sampled_from([0.25, 1.0, 8.0, 64.0]))
def test_penalised_loss_never_rises_plain_or_extrapolated(world, seed, temperature):
    made = world(seed, n=60, n_source=8, shares=(0.5, 0.3, 0.2), sharpness=3.0)
    problems = problems_of(made, [0.0, 0.1, 3.0], temperature=temperature)
    start = random_channels(problems, seed)
    last, plain = np.full(3, -np.inf), start
    for _ in range(15):
        taken = mm_step(problems, plain)
        assert (taken.value >= last - 1e-11).all()
        last, plain = taken.value, taken.following
    last = mm_step(problems, start).value
    for cycles in range(1, 8):
        fits = relax_channels(problems, start, tolerance=-np.inf, max_cycles=cycles)
        assert (fits.objective >= last - 1e-11).all()
        last = fits.objective


def test_row_stochastic_certificate_and_relaxing_from_it_gains(world):
    problems = problems_of(world(n=200, n_source=12, sharpness=4.0), [0.0, 0.1])
    stochastic = fit_channels(problems, tolerance=1e-6, max_cycles=5000)
    assert (stochastic.gap <= 1e-6).all()
    start = mm_step(problems, stochastic.channels).value
    relaxed = relax_channels(problems, stochastic.channels)
    assert (relaxed.objective > start + 1e-3).all()
    assert (relaxed.gap <= 1e-5).all()


def test_fixed_point_with_a_pseudo_count_sums_to_the_number_of_source_classes(world):
    problems = problems_of(world(n=100, n_source=6), [0.5])
    relaxed = relax_channels(problems, problems.plug_in(), tolerance=1e-13)
    assert relaxed.channels.sum() == pytest.approx(6, rel=1e-4)


def test_zeros_stay_zero_without_a_pseudo_count_and_mixing_frees_them(world):
    problems = problems_of(world(n=60, n_source=6), [0.0])
    sparse = np.eye(4, 6)[..., None]
    assert (relax_channels(problems, sparse).channels[sparse == 0] == 0).all()
    assert (mixed_with(sparse, problems.plug_in()) > 0).all()


def test_carried_channels_keep_the_odds_of_a_dominant_class():
    p, channel = np.array([0.9, 0.099, 0.001]), np.array([[1.0], [0.2], [0.1]])[None]
    cold = carried(channel, 1.0, 0.25)
    before, after = p * channel[0, :, 0], p**4 * cold[0, :, 0]
    assert after / after.max() == pytest.approx((before / before.max()) ** 4)


def test_single_precision_agrees_with_double(world):
    made = world(n=300, n_source=30, sharpness=5.0)
    double = problems_of(made, [0.0, 0.3], temperature=0.63)
    single = double.on(make_tempering(double.tempered.samples).at(0.63))
    channels = random_channels(double, 3)
    left, right = mm_step(double, channels), mm_step(single, channels.astype(np.float32))
    assert right.value == pytest.approx(left.value, abs=1e-5)
    assert right.following == pytest.approx(left.following, rel=1e-3, abs=1e-6)


def kl(fitted, samples):
    own = fitted.predict_log(samples.log_p)[np.arange(len(samples.labels)), samples.labels]
    return float(-np.log(own).mean())


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 1000), n_source=st.integers(3, 9), sharpness=st.sampled_from([0.5, 2.0, 6.0]))
def test_in_sample_values_never_rise_from_family_to_family_and_leep_is_no_lower(world, seed, n_source, sharpness):
    made = world(seed, n=50, n_source=n_source, shares=(0.5, 0.3, 0.2), sharpness=sharpness)
    samples, _ = sort_samples(made.log_p, made.labels, 3)
    prior = class_prior(np.bincount(made.labels).astype(float))
    injection = injections.fit_in_sample(samples, prior, injections.Search(seed=0))
    partition = partitions.fit_in_sample(samples, prior, injection)
    channel = fit_in_sample(samples, prior, partition=partition, temperatures=(injection.temperature,))
    values = [kl(fitted, samples) for fitted in (injection, partition, channel)]
    assert values[1] <= values[0] + 1e-9
    assert values[2] <= values[1] + 1e-9
    joint = np.stack([made.probs[made.labels == y].sum(axis=0) for y in range(3)])
    leep = np.log((made.probs @ (joint / joint.sum(axis=0)).T)[np.arange(50), made.labels]).mean()
    assert values[2] <= -leep + 1e-9


def parts_of(samples, order, labels, n_folds=5):
    n_classes = int(labels.max()) + 1
    folds = stratified_folds(labels, n_folds, seed=3)
    return [part.take(order) for part in fold_parts(labels, folds, groups=None, n_classes=n_classes, seed=3)]


def strict_fits(samples, parts):
    starts = injections.fit_parts(samples, parts, injections.Search(seed=0))
    return [start.injection for start in starts], partitions.fit_parts(samples, parts, starts)


def held_out(samples, parts, maps):
    """Held-out KL divided by that of the cross-fitted class prior."""
    total = prior = 0.0
    for part, fitted in zip(parts[:-1], maps, strict=False):
        labels = samples.labels[part.scored]
        q = fitted.predict_log(samples.log_p[part.scored])
        total -= np.log(q[np.arange(len(labels)), labels]).sum()
        prior -= np.log(part.prior[labels]).sum()
    return total / prior


def world_of(seed, n, **options):
    drawn = make_known_world(WorldOptions(seed=seed, **options)).draw(n, seed=seed)
    _, labels = np.unique(drawn.labels, return_inverse=True)
    samples, order = sort_samples(drawn.log_probabilities, labels.astype(np.int64), int(labels.max()) + 1)
    return samples, parts_of(samples, order, labels.astype(np.int64))


REFERENCE_TEMPERATURES, REFERENCE_COUNTS = (1.0, 2.0, 4.0, 8.0), (0.01, 0.1, 1.0)


def plain_references(samples, parts):
    """LEEP's plug-in at T = 1, and row-stochastic EM with T and c chosen on the same inner split, mixed with pi."""
    labels, folds = samples.labels, parts[:-1]
    unit = stack_problems(samples.temper(1.0), [Member(mask=p.fit, prior=p.prior, pseudo_count=0.0) for p in folds])
    plug = unit.likelihood(unit.plug_in())
    losses, held = [], []
    for temperature in REFERENCE_TEMPERATURES:
        own = {}
        for side in ("inner_fit", "fit"):
            members = [
                Member(mask=getattr(part, side), prior=part.prior, pseudo_count=count)
                for part in folds
                for count in REFERENCE_COUNTS
            ]
            problems = stack_problems(samples.temper(temperature), members)
            channels = fit_channels(problems, tolerance=1e-3, max_cycles=20).channels
            own[side] = problems.likelihood(channels).reshape(len(labels), len(folds), -1)
        for k, part in enumerate(folds):
            eps, loss = fit_eps(own["inner_fit"][part.validation, k], part.prior[labels[part.validation]])
            pi = part.prior[labels[part.scored]][:, None]
            losses.append(loss)
            held.append(-np.log((1 - eps) * own["fit"][part.scored, k] + eps * pi).sum(axis=0))
    losses = np.array(losses).reshape(-1, len(folds), len(REFERENCE_COUNTS)).transpose(1, 0, 2).reshape(len(folds), -1)
    held = np.array(held).reshape(-1, len(folds), len(REFERENCE_COUNTS)).transpose(1, 0, 2).reshape(len(folds), -1)
    totals = np.zeros(3)
    for k, part in enumerate(folds):
        pi, share = part.prior[labels[part.scored]], 1 / (part.fit.sum() + 1)
        # A pair that the fitting side has not seen would have an infinite loss.
        plain = -np.log((1 - share) * plug[part.scored, k] + share * pi).sum()
        totals += [plain, held[k, losses[k].argmin()], -np.log(pi).sum()]
    return totals[:2] / totals[2]


OVERCONFIDENT = {"n_source": 352, "n_target": 10, "relation": "channel", "overconfidence": 4.0, "dimension": 16}


def compare_overconfident(seeds):
    rows = []
    for seed in seeds:
        samples, parts = world_of(seed, 1000, **OVERCONFIDENT)
        _, made = strict_fits(samples, parts)
        fits = fit_parts(samples, parts, partitions=made)
        rows.append([held_out(samples, parts, [fit.channel for fit in fits]), *plain_references(samples, parts)])
    channel, plug_in, regularised = np.mean(rows, axis=0)
    assert channel <= 1.02 * min(plug_in, regularised)
    assert channel < 1.0


def test_overconfident_wide_source_is_no_worse_than_row_stochastic_references():
    compare_overconfident(range(2))


@pytest.mark.slow
def test_overconfident_wide_source_is_no_worse_than_row_stochastic_references_in_twenty_worlds():
    compare_overconfident(range(20))


@pytest.mark.parametrize("n_source", [12, 40])
@pytest.mark.parametrize("shares", [(0.85, 0.05, 0.05, 0.05), (0.25, 0.25, 0.25, 0.25)])
def test_uninformative_source_gives_one(n_source, shares):
    values = []
    for seed in range(2):
        samples, parts = world_of(
            seed, 500, n_source=n_source, n_target=4, relation="channel", signal="neither", shares=shares
        )
        _, made = strict_fits(samples, parts)
        values.append(held_out(samples, parts, [fit.channel for fit in fit_parts(samples, parts, partitions=made)]))
    assert max(values) <= 1.05
    assert np.mean(values) == pytest.approx(1.0, abs=0.015)


@pytest.mark.parametrize(
    "options",
    [
        {"n_source": 20, "n_target": 4, "relation": "injection"},
        {"n_source": 40, "n_target": 8, "relation": "injection", "overconfidence": 2.0, "label_noise": 0.1},
    ],
)
def test_channel_does_not_lose_to_the_injection_where_the_world_is_one(options):
    rows = []
    for seed in range(2):
        samples, parts = world_of(seed, 1000, **options)
        starts, made = strict_fits(samples, parts)
        fits = fit_parts(samples, parts, partitions=made)
        rows.append([held_out(samples, parts, starts), held_out(samples, parts, [fit.channel for fit in fits])])
    injection, channel = np.mean(rows, axis=0)
    assert injection < 0.7
    assert channel <= injection + 0.03


def test_label_shift_needs_more_than_row_stochastic_channels():
    # A'_zy = (t_z / w_z) A_zy: rows of different sums, which EM cannot have and MM finds.
    samples, parts = world_of(
        1, 1500, n_source=12, n_target=3, relation="partition", label_shift=True, shares=(0.8, 0.15, 0.05), dimension=4
    )
    fits = fit_parts(samples, parts, temperature=1.0)
    assert all(fit.channel.start != "row_stochastic" for fit in fits)
    free = held_out(samples, parts, [fit.channel for fit in fits])
    rows = held_out(samples, parts, [RowStochastic(samples, part) for part in parts[:-1]])
    assert free < rows - 0.02


class RowStochastic:
    """Row-stochastic channel at T = 1 with c = 0.1 and no mixing."""

    def __init__(self, samples, part):
        problems = stack_problems(samples.temper(1.0), [Member(mask=part.fit, prior=part.prior, pseudo_count=0.1)])
        self.matrix = fit_channels(problems).channels[..., 0].T

    def predict_log(self, log_p):
        return np.exp(log_p) @ self.matrix


def test_inner_rows_are_from_channels_that_have_not_seen_them(world):
    # With labels drawn at random, whatever was fitted to a sample knows its label; what was not does not.
    made = world(n=200, n_source=60, sharpness=6.0, signal=0.0)
    samples, order = sort_samples(made.log_p, made.labels, 4)
    parts = parts_of(samples, order, made.labels)
    _, partition_fits = strict_fits(samples, parts)
    for part, fit in zip(parts, fit_parts(samples, parts, partitions=partition_fits), strict=True):
        rows = np.flatnonzero(part.fit)
        assert np.allclose(fit.inner.sum(axis=1), 1, atol=1e-9)
        assert np.allclose(fit.inner[~part.fit], part.prior)
        own = fit.inner[rows, samples.labels[rows]]
        assert -np.log(own).mean() > 0.97 * -np.log(part.prior[samples.labels[rows]]).mean()
