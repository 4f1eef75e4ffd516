"""Intervals hold the discrepancy of the fitted maps on samples to come, in Gaussian worlds with known conditionals.

The truth of an interval is the expected discrepancy of the five fitted maps, each weighted by the samples that it
scores, over a fresh sample of 100 n, label noise averaged out with the exact P(y | x). The seed was fixed before the
first run.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta

from gapkit.data.worlds import WorldOptions, make_world
from gapkit.gap import ConditionalInputs, GapOptions
from gapkit.gap.conditional import fit_and_score

SEED, N, FRESH = 3, 500, 50_000
BALANCED, IMBALANCED = (0.25,) * 4, (0.7, 0.1, 0.1, 0.1)
OPTIONS = GapOptions(families=("injection", "channel", "linear"), permutations=0)


def expected_losses(discrepancy, q, posterior):
    """Mean over samples of the expected loss given x, labels following ``posterior``."""
    if discrepancy == "kl":
        return -(posterior * np.log(q)).sum(axis=1).mean()
    return 1 - posterior[np.arange(len(q)), q.argmax(axis=1)].mean()


def truths(measured, fresh):
    """(family, discrepancy) -> raw and normalised expected discrepancy of the fitted maps."""
    shares = [part.scored.mean() for part in measured.problem.parts[:-1]]
    classes = measured.canonical.target_classes
    priors = np.zeros((len(shares), 4))
    priors[:, classes] = [part.prior for part in measured.problem.parts[:-1]]
    found = {}
    for family in OPTIONS.families:
        q = [measured.predict(family, fold, fresh.log_probabilities, fresh.features) for fold in range(len(shares))]
        for discrepancy in OPTIONS.discrepancies:
            raw = sum(
                share * expected_losses(discrepancy, own, fresh.posterior) for share, own in zip(shares, q, strict=True)
            )
            below = sum(
                share * expected_losses(discrepancy, np.tile(prior, (FRESH, 1)), fresh.posterior)
                for share, prior in zip(shares, priors, strict=True)
            )
            found[family, discrepancy] = raw, raw / below
    return found


def covered(shares, trial):
    """Whether each interval of one world holds its truth."""
    options = WorldOptions(
        relation="injection",
        n_source=12,
        n_target=4,
        separation=2.0,
        shares=shares,
        label_noise=0.1,
        noise="prior",
        overconfidence=4.0,
        seed=1000 * SEED + trial,
    )
    world = make_world(options)
    draw, fresh = world.draw(N, seed=1), world.draw(FRESH, seed=2)
    inputs = ConditionalInputs(
        log_probabilities=draw.log_probabilities, features=draw.features, labels=draw.labels, n_classes=4
    )
    measured = fit_and_score(inputs, OPTIONS)
    true = truths(measured, fresh)
    hits = {}
    for row in measured.result.rows:
        raw, normalised = true[row.label_map, row.discrepancy]
        hits[row.label_map, row.discrepancy, "raw"] = row.value_interval[0] <= raw <= row.value_interval[1]
        hits[row.label_map, row.discrepancy, "normalised"] = row.interval[0] <= normalised <= row.interval[1]
    return hits


def coverage(shares, worlds):
    """Hits of each cell among the worlds."""
    found = [covered(shares, trial) for trial in range(worlds)]
    return {cell: sum(hits[cell] for hits in found) for cell in found[0]}


def clopper_pearson(hits, trials, level=0.99):
    """Exact interval of a binomial share."""
    tail = (1 - level) / 2
    low = beta.ppf(tail, hits, trials - hits + 1) if hits else 0.0
    high = beta.ppf(1 - tail, hits + 1, trials - hits) if hits < trials else 1.0
    return low, high


def check(found, worlds, least):
    for cell, hits in found.items():
        low, high = clopper_pearson(hits, worlds)
        assert low <= 0.97, (cell, hits)
        assert high >= 0.93, (cell, hits)
        assert hits / worlds >= least, (cell, hits)


@pytest.mark.slow
@pytest.mark.parametrize("shares", [BALANCED, IMBALANCED], ids=["balanced", "imbalanced"])
def test_95_percent_intervals_cover_in_400_worlds(shares):
    found = coverage(shares, 400)
    print(shares, {" ".join(cell): hits / 400 for cell, hits in found.items()})  # noqa: T201
    check(found, 400, 0.90)


@pytest.mark.parametrize("shares", [BALANCED, IMBALANCED], ids=["balanced", "imbalanced"])
def test_95_percent_intervals_cover_in_30_worlds(shares):
    """With 30 worlds a sound cell has fewer than 23 hits (0.77) once in 10 000 times."""
    check(coverage(shares, 30), 30, 23 / 30)
