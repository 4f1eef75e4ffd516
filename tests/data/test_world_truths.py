"""The known gap of synthetic worlds: quadrature, closed forms, and the family of label maps that it belongs to."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import trapezoid
from scipy.special import rel_entr

from gapkit.data.worlds import Discrepancy, Family, World, WorldOptions, make_world, separation_for
from gapkit.data.worlds.strictest import strictest_family

IMBALANCED = (0.85, 0.05, 0.05, 0.05)
DISCREPANCIES: tuple[Discrepancy, ...] = get_args(Discrepancy)


def row_loss(row: np.ndarray, discrepancy: Discrepancy) -> float:
    """The discrepancy of a distribution from labels drawn from it, written out."""
    if discrepancy == "kl":
        return -sum(p * np.log(p) for p in row.tolist() if p > 0)
    return 1 - max(row.tolist()) if discrepancy == "zero_one" else sum(p * (1 - p) for p in row.tolist())


def prior_of(world: World) -> np.ndarray:
    """P(y), summed source class by source class."""
    return np.array([sum(t * a for t, a in zip(world.drawn, column, strict=True)) for column in world.channel.T])


@pytest.mark.parametrize("discrepancy", DISCREPANCIES)
@pytest.mark.parametrize(
    "options",
    [
        {"relation": "injection", "shares": IMBALANCED},
        {"relation": "partition", "n_ignored": 2, "label_noise": 0.2},
        {"relation": "channel", "shares": (0.4, 0.3, 0.2, 0.1)},
    ],
    ids=["injection", "partition with noise", "channel"],
)
def test_truth_is_the_integral_over_the_line(options: dict[str, Any], discrepancy: Discrepancy) -> None:
    world = make_world(WorldOptions(n_source=7, n_target=4, dimension=1, separation=3.0, seed=5, **options))
    means = world.means[:, 0]
    x = np.linspace(means.min() - 10, means.max() + 10, 4001)
    joint = sum(
        t * stats.norm(mean).pdf(x)[:, None] * row
        for t, mean, row in zip(world.drawn, means, world.channel, strict=True)
    )
    density = joint.sum(axis=1)
    losses = np.array([row_loss(row, discrepancy) for row in joint / density[:, None]])
    exact = float(trapezoid(density * losses, x))
    truth = world.truth(discrepancy, n=40_000)
    assert 0 < truth.standard_error < 0.01
    assert abs(truth.value - exact) < 4 * truth.standard_error
    prior = row_loss(prior_of(world), discrepancy)
    assert truth.prior_value == pytest.approx(prior, rel=1e-12)
    assert truth.normalised == pytest.approx(truth.value / prior, rel=1e-12)
    assert truth.normalised_standard_error == pytest.approx(truth.standard_error / prior, rel=1e-12)


def test_two_gaussians_have_the_bayes_error_of_the_textbook() -> None:
    world = make_world(WorldOptions(n_source=2, n_target=2, dimension=5, separation=1.5, overconfidence=8.0))
    distance = np.linalg.norm(world.means[0] - world.means[1])
    truth = world.truth("zero_one", n=40_000)
    assert abs(truth.value - stats.norm.cdf(-distance / 2)) < 4 * truth.standard_error


@pytest.mark.parametrize("discrepancy", DISCREPANCIES)
@pytest.mark.parametrize("noise", ["uniform", "prior", (0.1, 0.2, 0.3, 0.4)])
def test_far_apart_only_the_label_noise_is_left(discrepancy: Discrepancy, noise: Any) -> None:
    world = make_world(WorldOptions(shares=IMBALANCED, label_noise=0.3, noise=noise), separation=1e4)
    replaced = np.array({"uniform": (0.25,) * 4, "prior": IMBALANCED}.get(noise, noise))
    expected = sum(
        share * row_loss(0.7 * row + 0.3 * replaced, discrepancy)
        for share, row in zip(IMBALANCED, np.eye(4), strict=True)
    )
    truth = world.truth(discrepancy, n=40_000)
    assert abs(truth.value - expected) <= 4 * truth.standard_error + 1e-12


def test_uniform_noise_raises_the_bayes_error_by_its_own() -> None:
    options = WorldOptions(relation="partition", separation=2.0, shares=IMBALANCED)
    clean = make_world(options).truth("zero_one", n=5000)
    noisy = make_world(replace(options, label_noise=0.3)).truth("zero_one", n=5000)
    # Sample by sample: the labels that are replaced are of any class with the same probability, and x is the same.
    assert noisy.value == pytest.approx(0.7 * clean.value + 0.3 * (1 - 1 / 4), rel=1e-12)


@pytest.mark.parametrize("discrepancy", DISCREPANCIES)
def test_without_signal_the_gap_is_exactly_that_of_the_prior(discrepancy: Discrepancy) -> None:
    world = make_world(WorldOptions(signal="neither", shares=IMBALANCED, label_noise=0.1))
    for truth in (world.truth(discrepancy), world.truth(discrepancy, given="all")):
        assert (truth.normalised, truth.normalised_standard_error, truth.standard_error, truth.n) == (1.0, 0.0, 0.0, 0)
        assert truth.value == pytest.approx(row_loss(prior_of(world), discrepancy))


def test_signal_in_the_features_alone_is_not_the_sources() -> None:
    options = WorldOptions(signal="features", shares=IMBALANCED)
    world, both = make_world(options), make_world(replace(options, signal="both"))
    assert world.truth().normalised == 1.0
    assert world.truth(given="all", n=3000) == both.truth(n=3000) == both.truth(given="all", n=3000)


def test_an_injection_is_softmax_linear_in_x() -> None:
    world = make_world(WorldOptions(signal="features", shares=IMBALANCED, dimension=3))
    draw = world.draw(300)
    means = world.means[world.relation.argmax(axis=0)]
    odds = np.exp(draw.features @ means.T + np.log(IMBALANCED) - np.square(means).sum(axis=1) / 2)
    np.testing.assert_allclose(odds / odds.sum(axis=1, keepdims=True), draw.posterior, atol=1e-12)


def test_truth_is_deterministic_and_its_standard_error_honest() -> None:
    world = make_world(WorldOptions(relation="channel", n_source=10, separation=2.0))
    assert world.truth(n=500, seed=1) == world.truth(n=500, seed=1)
    assert world.truth(n=500, seed=1).value != world.truth(n=500, seed=2).value
    best = world.truth(n=200_000, seed=1000)
    truths = [world.truth(n=400, seed=seed) for seed in range(200)]
    scores = np.array([(truth.value - best.value) / truth.standard_error for truth in truths])
    assert abs(scores.mean()) < 4 / np.sqrt(200)
    assert 0.8 < scores.std() < 1.2  # four standard errors of the standard deviation of 200 normal numbers


@pytest.mark.parametrize("discrepancy", DISCREPANCIES)
@pytest.mark.parametrize("signal", ["both", "source", "features"])
def test_the_exact_conditional_costs_the_truth_and_others_cost_more(discrepancy: Discrepancy, signal: Any) -> None:
    options = WorldOptions(
        relation="channel", signal=signal, group_size=5, group_shift=0.5, noise_dimensions=2, overconfidence=3.0
    )
    world = make_world(replace(options, label_noise=0.1))

    def exact(log_p: np.ndarray, features: np.ndarray) -> np.ndarray:
        if signal == "features":
            return world.posterior(features[:, :8])
        joint = np.exp(log_p / 3) @ world.label_map
        return joint / joint.sum(axis=1, keepdims=True)

    truth = world.truth(discrepancy, given="all", n=10_000, seed=3)
    found = world.expected_loss(exact, discrepancy, n=10_000, seed=3)
    assert found.value == pytest.approx(truth.value, abs=1e-9)
    assert found.standard_error == pytest.approx(truth.standard_error, abs=1e-9)
    rolled = world.expected_loss(lambda log_p, x: np.roll(exact(log_p, x), 1, axis=1), discrepancy, n=10_000, seed=3)
    assert rolled.value > truth.value + 0.05


@pytest.mark.parametrize("discrepancy", DISCREPANCIES)
def test_expected_loss_is_the_mean_loss_of_drawn_labels(discrepancy: Discrepancy) -> None:
    world = make_world(WorldOptions(relation="partition", label_noise=0.2, shares=IMBALANCED))

    def predict(log_p: np.ndarray, features: np.ndarray) -> np.ndarray:
        odds = np.exp(log_p) @ world.relation + 0.05
        return odds / odds.sum(axis=1, keepdims=True)

    found = world.expected_loss(predict, discrepancy, n=20_000)
    draw = world.draw(20_000, seed=9)
    q, one_hot = predict(draw.log_probabilities, draw.features), np.eye(4)[draw.labels]
    losses = {
        "kl": -np.log(q[np.arange(20_000), draw.labels]),
        "zero_one": (q.argmax(axis=1) != draw.labels).astype(float),
        "brier": np.square(q - one_hot).sum(axis=1),
    }[discrepancy]
    error = np.hypot(found.standard_error, losses.std() / np.sqrt(20_000))
    assert abs(found.value - losses.mean()) < 4 * error
    assert found.standard_error < losses.std() / np.sqrt(20_000)


def test_what_calls_a_possible_label_impossible_costs_infinitely_much() -> None:
    world = make_world(WorldOptions(n_target=2))
    truth = world.expected_loss(lambda log_p, x: np.tile([1.0, 0.0], (len(x), 1)), n=100)
    assert (truth.value, truth.standard_error, truth.normalised) == (np.inf, np.inf, np.inf)


FAMILIES: list[tuple[dict[str, Any], Family, float]] = [
    ({"shares": (0.6, 0.3, 0.1)}, "injection", 0.0),
    ({"shares": (0.6, 0.3, 0.1), "label_noise": 0.2, "noise": "prior"}, "injection", 0.2),
    ({"label_noise": 0.3}, "injection", 0.3),
    ({"label_noise": 0.3, "shares": (0.6, 0.3, 0.1)}, "channel", 0.0),
    ({"shares": (0.6, 0.3, 0.1), "label_shift": True}, "channel", 0.0),
    ({"relation": "partition"}, "partition", 0.0),
    ({"relation": "partition", "n_ignored": 2}, "injection", 0.0),
    ({"relation": "partition", "shares": (0.6, 0.3, 0.1), "label_noise": 0.2, "noise": "prior"}, "partition", 0.2),
    ({"relation": "partition", "shares": (0.6, 0.3, 0.1), "label_shift": True}, "channel", 0.0),
    ({"relation": "channel"}, "channel", 0.0),
    ({"signal": "neither", "shares": (0.6, 0.3, 0.1)}, "injection", 1.0),
    ({"signal": "features"}, "injection", 1.0),
    ({"label_noise": 1.0, "shares": (0.6, 0.3, 0.1)}, "injection", 1.0),
]


def zero_one_maps(family: Family) -> list[np.ndarray]:
    """Every map (5, 3) with entries 0 and 1: those of ``family`` or, for a channel, all."""
    maps = [
        np.eye(4)[list(choice)][:, :3] for choice in itertools.product(range(4), repeat=5) if set(choice) >= {0, 1, 2}
    ]
    return [a for a in maps if family != "injection" or (a.sum(axis=0) == 1).all()]


def least_divergence(maps: list[np.ndarray], p: np.ndarray, prior: np.ndarray, posterior: np.ndarray) -> float:
    """The smallest mean KL(P(y | x) || q) over maps, temperatures 1, 2 and 4 and twentieths of eps."""
    least = np.inf
    for temperature, a in itertools.product((1, 2, 4), maps):
        joint = p ** (1 / temperature) @ a
        q = joint / joint.sum(axis=1, keepdims=True)
        for eps in np.linspace(0, 1, 21):
            least = min(least, float(rel_entr(posterior, (1 - eps) * q + eps * prior).sum(axis=1).mean()))
    return least


@pytest.mark.parametrize(("options", "family", "epsilon"), FAMILIES)
def test_the_family_holds_the_exact_conditional_and_no_stricter_one_does(
    options: dict[str, Any], family: Family, epsilon: float
) -> None:
    world = make_world(
        WorldOptions(n_source=5, n_target=3, dimension=2, separation=2.0, overconfidence=2.0, seed=2, **options)
    )
    assert world.family == family
    assert world.epsilon == pytest.approx(epsilon, abs=1e-9)
    draw = world.draw(60)
    p = np.exp(draw.log_probabilities)
    # Given the source conditional, which is all that label maps see.
    posterior = draw.posterior if world.options.signal == "both" else np.tile(world.prior, (60, 1))
    if family == "channel":
        joint = np.sqrt(p) @ world.label_map
        np.testing.assert_allclose(joint / joint.sum(axis=1, keepdims=True), posterior, atol=1e-12)
        assert least_divergence(zero_one_maps("partition"), p, world.prior, posterior) > 1e-4
    else:
        assert least_divergence(zero_one_maps(family), p, world.prior, posterior) < 1e-12
    if family == "partition":
        assert least_divergence(zero_one_maps("injection"), p, world.prior, posterior) > 1e-4


def test_more_target_than_source_classes_are_a_channel() -> None:
    for signal in ("both", "neither"):
        options = WorldOptions(relation="channel", n_source=3, n_target=5, signal=signal)
        assert make_world(options).family == "channel"


def test_classes_in_one_place_say_nothing() -> None:
    world = make_world(separation=0.0)
    assert (world.family, world.epsilon) == ("injection", 1.0)
    assert world.truth(n=1000).normalised == pytest.approx(1.0, abs=1e-12)


def test_a_partition_without_a_source_class_for_some_target_class_is_a_channel() -> None:
    rows = 0.8 * np.eye(3)[[0, 1, 1]] + 0.2 * np.array([0.3, 0.6, 0.1])
    prior = rows.mean(axis=0)
    assert strictest_family(rows, weights=np.ones(3), prior=prior) == ("channel", 0.0)


@pytest.mark.parametrize(
    ("options", "wanted", "discrepancy"),
    [
        ({}, 0.5, "kl"),
        ({"shares": IMBALANCED}, 0.9, "zero_one"),
        ({"relation": "partition", "signal": "features"}, 0.1, "brier"),
        ({"relation": "channel", "label_noise": 0.1, "n_source": 40}, 0.8, "kl"),
    ],
)
def test_the_separation_gives_the_wanted_gap(options: dict[str, Any], wanted: float, discrepancy: Discrepancy) -> None:
    found = WorldOptions(**options)
    separation = separation_for(found, wanted, discrepancy=discrepancy, n=5000)
    world = make_world(found, separation=separation)
    again, fresh = (world.truth(discrepancy, n=n, seed=seed, given="all") for n, seed in ((5000, 0), (20_000, 1)))
    assert again.normalised == pytest.approx(wanted, abs=1e-4)
    error = np.hypot(again.normalised_standard_error, fresh.normalised_standard_error)
    assert abs(fresh.normalised - wanted) < 4 * error


def test_the_gap_falls_with_the_separation() -> None:
    for discrepancy in DISCREPANCIES:
        gaps = [make_world(separation=s).truth(discrepancy, n=4000).normalised for s in (0, 0.5, 1, 2, 4, 8, 16, 64)]
        assert gaps == sorted(gaps, reverse=True)
        assert gaps[0] == pytest.approx(1)
        assert gaps[-1] < 1e-3
