"""The linear family: what it is fitted on, what it keeps, and its limits. Its regression has tests of its own."""

from __future__ import annotations

import numpy as np
import pytest

from gapkit.errors import DataError
from gapkit.gap.label_maps.channel import fit_channel
from gapkit.gap.label_maps.linear import fit_linear
from gapkit.gap.label_maps.parts import fold_parts, make_part
from gapkit.statistics.folds import stratified_folds
from gapkit.statistics.logistic import choose_logistic, fit_logistic
from gapkit.statistics.uncertainty import ratio_intervals


def split(labels, seed=0):
    rng = np.random.default_rng(seed)
    fit = rng.random(len(labels)) < 0.8
    return make_part(labels, fit, ~fit, groups=None, n_classes=int(labels.max()) + 1, seed=seed)


def own_of(q, labels):
    return q[np.arange(len(labels)), labels]


def uniform(n, n_classes):
    return np.full((n, n_classes), -np.log(n_classes))


def some_channel(log_p, labels):
    """Any channel will do; this one has seen all samples."""
    return fit_channel(np.exp(log_p), labels, temperature=2.0, pseudo_count=1.0)


@pytest.fixture(name="made")
def made_():
    """Features, log p, labels and the part of a world in which features and p both know something."""
    rng = np.random.default_rng(5)
    labels = rng.integers(3, size=240)
    features = rng.normal(size=(3, 6))[labels] + rng.normal(size=(240, 6))
    log_p = np.log(rng.dirichlet(np.ones(5), size=240) + 0.3 * np.eye(5)[labels])
    log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
    return features, log_p, labels, split(labels)


def test_the_map_says_of_scored_samples_what_is_held_out(made):
    features, log_p, labels, part = made
    channel = some_channel(log_p, labels)
    log_q = np.log(channel.predict_log(log_p))
    fitted = fit_linear(features, log_q, labels, part, channel)
    scored = part.scored
    assert fitted.linear.predict_log(log_p[scored], features[scored]) == pytest.approx(fitted.held_out[scored])
    assert (fitted.held_out[~scored] == part.prior).all()
    assert fitted.held_out.sum(axis=1) == pytest.approx(np.ones(240))
    assert (fitted.held_out[scored] >= fitted.linear.eps * part.prior).all()


def test_a_map_without_its_channel_says_so(made):
    features, log_p, labels, part = made
    fitted = fit_linear(features, uniform(240, 3), labels, part)
    with pytest.raises(DataError, match="no channel"):
        fitted.linear.predict_log(log_p, features)


def test_the_plain_map_reads_features_alone(made):
    features, log_p, labels, part = made
    fitted = fit_linear(features, None, labels, part)
    scored = part.scored
    assert fitted.linear.predict_log(log_p[scored][::-1], features[scored]) == pytest.approx(fitted.held_out[scored])
    blind = fit_linear(features, uniform(240, 3), labels, part)  # log q without information
    assert fitted.held_out == pytest.approx(blind.held_out, abs=1e-2)


def test_the_inner_loss_is_that_of_a_map_fitted_without_the_validation_samples(made):
    features, log_p, labels, part = made
    log_q = np.log(some_channel(log_p, labels).predict_log(log_p))
    fitted = fit_linear(features, log_q, labels, part)
    scaled = (features - features[part.fit].mean(axis=0)) / features[part.fit].std(axis=0)
    x, inner, validation = np.hstack([scaled, log_q]), part.inner_fit, part.validation
    model = fit_logistic(x[inner], labels[inner], penalty=fitted.linear.regression.penalty, offset=log_q[inner])
    own = own_of(model.predict(x[validation], log_q[validation]), labels[validation])
    pi = part.prior[labels[validation]]

    def total(eps):
        return -np.log((1 - eps) * own + eps * pi).sum() - np.log(eps)

    eps = min(np.linspace(1e-4, 1, 4000), key=total)
    assert fitted.linear.eps == pytest.approx(eps, abs=0.01)
    assert fitted.inner_loss == pytest.approx(-np.log((1 - eps) * own + eps * pi).mean(), abs=2e-3)


def test_the_penalty_is_chosen_by_the_loss_of_the_mixture(made, monkeypatch):
    features, _, labels, part = made
    given = []

    def spied(*arguments, criterion, **more):
        given.append(criterion)
        return choose_logistic(*arguments, criterion=criterion, **more)

    monkeypatch.setattr("gapkit.gap.label_maps.linear.choose_logistic", spied)
    fit_linear(features, uniform(240, 3), labels, part)
    own, pi = np.random.default_rng(7).random(int(part.validation.sum())), part.prior[labels[part.validation]]

    def total(eps):
        return -np.log((1 - eps) * own + eps * pi).sum() - np.log(eps)

    eps = min(np.linspace(1e-4, 1, 20000), key=total)
    assert given[0](own) == pytest.approx(-np.log((1 - eps) * own + eps * pi).mean(), abs=1e-4)


def test_neither_scored_labels_nor_scored_features_enter_the_fit(made):
    features, _, labels, part = made
    log_q = uniform(240, 3)
    other_labels = np.where(part.scored, (labels + 1) % 3, labels)
    other_features = np.where(part.scored[:, None], 100.0, features)
    fitted = fit_linear(features, log_q, labels, part).linear.regression
    for again in (fit_linear(features, log_q, other_labels, part), fit_linear(other_features, log_q, labels, part)):
        assert (again.linear.regression.weights == fitted.weights).all()


@pytest.mark.parametrize("n_classes", [2, 5])
def test_features_that_know_the_label_are_read(n_classes):
    rng = np.random.default_rng(2)
    labels = rng.integers(n_classes, size=300)
    features = 4 * np.eye(n_classes)[labels] + rng.normal(size=(300, n_classes))
    part = split(labels)
    fitted = fit_linear(features, uniform(300, n_classes), labels, part)
    right = fitted.held_out[part.scored].argmax(axis=1) == labels[part.scored]
    assert right.mean() > 0.9


@pytest.mark.filterwarnings("error")
def test_noise_features_are_ignored_and_constant_ones_dropped():
    rng = np.random.default_rng(3)
    labels = rng.integers(3, size=120)
    features = np.hstack([rng.normal(size=(120, 200)), np.full((120, 3), 1e6)])
    part = split(labels)
    fitted = fit_linear(features, uniform(120, 3), labels, part)
    assert -np.log(own_of(fitted.held_out[part.scored], labels[part.scored])).mean() < 1.1 * np.log(3)
    assert fitted.linear.scaling.columns.tolist() == list(range(200))


def uninformative(seed, width):
    """Normalised KL with its interval where features and log q say nothing of imbalanced labels."""
    rng = np.random.default_rng([seed, 12])
    labels = rng.permutation(np.repeat([0, 1, 2, 3], [340, 20, 20, 20]))
    features, log_q = rng.normal(size=(400, width)), np.log(rng.dirichlet(np.ones(4), size=400))
    own, prior = np.empty(400), np.empty(400)
    for part in fold_parts(labels, stratified_folds(labels, seed=seed), groups=None, n_classes=4, seed=seed)[:-1]:
        q = fit_linear(features, log_q, labels, part).held_out[part.scored]
        own[part.scored] = -np.log(own_of(q, labels[part.scored]))
        prior[part.scored] = -np.log(part.prior[labels[part.scored]])
    found = ratio_intervals(own[:, None], prior[:, None], resamples=200)
    return found.value[0], found.low[0], found.high[0]


def check_uninformative(values):
    """The interval is for the fitted maps, which may be a little worse than the prior."""
    value, low, high = np.array(values).T
    assert value.max() <= 1.05
    assert abs(value.mean() - 1) < 0.01
    assert ((low <= 1) & (high >= 1)).mean() >= 0.8


@pytest.mark.parametrize("width", [10, 300])
def test_without_information_the_linear_map_is_as_good_as_the_prior(width):
    check_uninformative([uninformative(seed, width) for seed in range(5)])


@pytest.mark.slow
@pytest.mark.parametrize("width", [10, 300])
def test_without_information_the_linear_map_is_as_good_as_the_prior_in_many_worlds(width):
    check_uninformative([uninformative(seed, width) for seed in range(100)])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "features",
    [
        np.zeros((20, 0)),
        np.full((20, 2), 5.0),
        np.random.default_rng(0).normal(size=(20, 400)),
        np.repeat(np.random.default_rng(1).normal(size=(4, 3)), 5, axis=0),
    ],
)
def test_small_and_degenerate_features_give_finite_losses(features):
    labels = np.arange(20) % 2
    labels[0] = 2  # a class with a single sample
    part = split(labels)
    for log_q in (uniform(20, 3), None):
        fitted = fit_linear(features, log_q, labels, part)
        assert np.isfinite(np.log(fitted.held_out)).all()
        assert np.isfinite(fitted.inner_loss)
