"""The null by its rates: small p are rare where there is no signal, and the rule where there is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from gapkit.arrays import log_softmax
from gapkit.gap.discrepancy import ALL, BRIER, KL, ZERO_ONE
from gapkit.gap.null import PLUG_IN, NullInputs, null_tests, permuted_statistics
from gapkit.statistics.folds import stratified_folds
from gapkit.statistics.permutation import permutation_p, permute_labels

FAMILIES = ("injection", "partition", "channel", "linear", "ceiling")
SHARES = {"balanced": (0.25, 0.25, 0.25, 0.25), "imbalanced": (0.85, 0.05, 0.05, 0.05)}
SEED = 3


# Where there is no signal.


def noise(labels, *, seed, groups=None):
    """Gaussian source classes that labels do not depend on; samples of a group share a shift of x."""
    rng = np.random.default_rng((SEED, seed))
    means = 3 * rng.normal(size=(8, 5)) / np.sqrt(5)
    x = means[rng.permutation(labels)] + rng.normal(size=(len(labels), 5))
    if groups is not None:
        x += rng.normal(size=(groups.max() + 1, 5))[groups]
    log_p = log_softmax(2 * (x @ means.T - (means**2).sum(axis=1) / 2))
    folds = stratified_folds(labels, 5, groups=groups, seed=seed)
    n_classes = int(labels.max()) + 1
    return NullInputs(log_p=log_p, features=x, labels=labels, n_classes=n_classes, folds=folds, groups=groups)


def grouped_labels(n, shares, kind, rng):
    """Labels and groups of 1 to 8 samples, whose labels are constant or vary."""
    if kind == "none":
        return rng.choice(len(shares), size=n, p=shares), None
    sizes = rng.integers(1, 9, size=n)
    groups = np.repeat(np.arange(n), sizes)[:n]
    own = rng.choice(len(shares), size=n, p=shares)
    return (own[groups] if kind == "constant" else own), groups


def null_p_values(shares, kind, n, worlds, *, permutations):
    """P-values (worlds, statistics and discrepancies) where x does not depend on labels, but on groups."""
    measures = (KL, ZERO_ONE, BRIER)
    found = []
    for world in range(worlds):
        rng = np.random.default_rng((SEED, world, n))
        while True:
            labels, groups = grouped_labels(n, shares, kind, rng)
            units = np.arange(n) if groups is None else groups
            enough = [len(np.unique(units[labels == y])) >= 5 for y in range(len(shares))]
            if sum(enough) >= 2 and labels.max() == len(shares) - 1:
                break
        inputs = noise(labels, seed=world, groups=groups)
        tests = null_tests(inputs, families=FAMILIES, discrepancies=measures, permutations=permutations, seed=world)
        if all(test.p is not None for test in tests.values()):
            found.append([test.p for test in tests.values()])
    return np.array(found)


@pytest.mark.parametrize("kind", ["none", "constant", "varying"])
@pytest.mark.parametrize("shares", SHARES)
def test_small_p_are_as_rare_as_they_should_be(shares, kind):
    p = null_p_values(SHARES[shares], kind, 100, 50, permutations=19)
    assert len(p) >= 35
    for level in (0.05, 0.1):
        # For each of 15 columns: less likely than 1e-4 if P(p <= level) = level.
        assert (p <= level).sum(axis=0).max() <= binom.ppf(1 - 1e-4, len(p), level)


@pytest.mark.slow
@pytest.mark.parametrize("n", [100, 1000])
@pytest.mark.parametrize("kind", ["none", "constant", "varying"])
@pytest.mark.parametrize("shares", SHARES)
def test_small_p_are_as_rare_as_they_should_be_in_400_worlds(shares, kind, n):
    p = null_p_values(SHARES[shares], kind, n, 400, permutations=199)
    assert len(p) >= 340  # of groups of unequal size, a few worlds have no two that can trade labels in most folds
    for level in (0.01, 0.05, 0.1):
        error = np.sqrt(level * (1 - level) / len(p))
        shares_below = (p <= level).mean(axis=0)
        # 432 shares are looked at in all 12 cases, and in one draw of the worlds one of the others was 3.4 errors too
        # high (Brier, groups of one label and unequal size): in 5 500 such worlds it was 0.106 at 0.1, and 0.104
        # under KL. So three errors hold for KL, the first of each family, and four for the rest.
        assert (shares_below[::3] <= level + 3 * error).all(), (level, shares_below)
        assert (shares_below <= level + 4 * error).all(), (level, shares_below)


def test_a_free_shuffle_would_reject_too_often(monkeypatch):
    """Why labels are permuted within folds only; seen best without the prior, whose loss rises too."""
    monkeypatch.setattr("gapkit.gap.null.prior_losses", lambda measure, prior, counts: np.ones(len(counts)))
    rejected, worlds = {"within folds": 0, "free": 0}, 100
    for world in range(worlds):
        rng = np.random.default_rng((SEED, world))
        inputs = noise(rng.choice(4, size=60), seed=world)
        within = permute_labels(inputs.labels, inputs.folds.ids, permutations=39, seed=world).labels
        free = np.stack([inputs.labels, *(rng.permutation(inputs.labels) for _ in range(39))])
        for name, relabelled in (("within folds", within), ("free", free)):
            values = permuted_statistics(inputs, relabelled, [PLUG_IN], [KL], seed=0)[PLUG_IN, "kl"]
            rejected[name] += permutation_p(values[0], values[1:]) <= 0.05
    assert rejected["within folds"] <= binom.ppf(1 - 1e-3, worlds, 0.05)
    assert rejected["free"] > 30


# Where there is.


@pytest.mark.parametrize("shares", SHARES)
@pytest.mark.parametrize("n", [300, 1000])
def test_p_is_least_where_half_of_the_label_entropy_is_known(shares, n):
    for seed in range(3):
        inputs = half_known(n, SHARES[shares], seed)
        for key, test in null_tests(inputs, families=FAMILIES, discrepancies=ALL, seed=seed).items():
            assert test.p == pytest.approx(1 / 201), key
            assert test.r == 200


def half_known(n, shares, seed, groups=None):
    """Labels of which x and p tell half the entropy: for a share of the samples everything, for the others nothing."""
    shares = np.array(shares)
    rng = np.random.default_rng((SEED, seed, 2))
    entropy = -(shares * np.log(shares)).sum()
    labels = rng.choice(4, size=n, p=shares)

    def left(rho):
        # Labels kept with probability 1 - rho, else drawn anew: H(Y | kept class) over classes.
        given = (1 - rho) * np.eye(4) + rho * shares
        return -(shares @ (given * np.log(given)).sum(axis=1))

    low, high = 1e-9, 1 - 1e-9
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if left(middle) < entropy / 2 else (low, middle)
    seen = np.where(rng.random(n) < low, rng.choice(4, size=n, p=shares), labels)
    means = 8 * np.eye(12, 10)
    x = means[seen] + rng.normal(size=(n, 10))
    log_p = log_softmax(x @ means.T - (means**2).sum(axis=1) / 2)
    folds = stratified_folds(labels, 5, groups=groups, seed=seed)
    return NullInputs(log_p=log_p, features=x, labels=labels, n_classes=4, folds=folds, groups=groups)


def test_groups_do_not_take_the_power():
    for size in (2, 5):
        inputs = half_known(500, SHARES["balanced"], size, groups=np.arange(500) // size)
        for key, test in null_tests(inputs, families=FAMILIES, discrepancies=[KL]).items():
            assert test.p == pytest.approx(1 / 201), (size, key)
