"""How often intervals hold the expected score, in worlds drawn anew with equal, few and rare classes."""

from __future__ import annotations

import numpy as np
import pytest

from gapkit.arrays import generator, log_softmax
from gapkit.scores import catalogue
from gapkit.scores.estimating import EstimateOptions, estimate_score
from gapkit.scores.inputs import ScoreInputs

SCORES = {score.traits.name: score for score in catalogue.scores()}
CHEAP = ("leep", "nce", "logme", "h_score", "shrunk_h_score", "transrate", "gbc", "lfc", "sfda")
COUNTS = {
    "equal": (50, 50, 50, 50),
    "a sample less than blocks": (19, 19, 19, 19),
    "few of each": (8,) * 12,
    "long tail": (60, 40, 25, 12, 8, 5, 2, 1),
}


def counted(seed: int, counts: tuple[int, ...]) -> ScoreInputs:
    """So many samples of each class; centres are the same in all worlds."""
    rng, centres = generator(seed, 1), generator(0).normal(size=(len(counts), 10))
    labels = rng.permutation(np.repeat(np.arange(len(counts), dtype=np.int64), counts))
    logits = centres[labels, 5:] + rng.normal(size=(len(labels), 5))
    features = centres[labels, :5] + rng.normal(size=(len(labels), 5))
    return ScoreInputs(features=features, labels=labels, log_probabilities=log_softmax(logits))


def coverage(name: str, counts: tuple[int, ...], worlds: int) -> tuple[float, float]:
    """How often the interval holds the score's mean over worlds; its standard error over the score's deviation."""
    found = [
        estimate_score(SCORES[name], counted(1000 + seed, counts), EstimateOptions(permutations=0))
        for seed in range(worlds)
    ]
    value = np.array([one.row.value for one in found])
    given = [one for one in found if one.row.interval is not None]
    assert len(given) >= 0.95 * worlds  # the shrinkage of the others is at its end
    low, high = np.array([one.row.interval for one in given]).T
    error = np.array([one.jackknife.standard_error for one in given])
    hits = np.mean((low <= value.mean()) & (value.mean() <= high))
    return float(hits), float(np.sqrt(np.square(error).mean()) / value.std(ddof=1))


@pytest.mark.slow
@pytest.mark.parametrize("counts", COUNTS.values(), ids=COUNTS)
@pytest.mark.parametrize("name", CHEAP)
def test_intervals_hold_the_expected_score_as_often_as_they_say(name: str, counts: tuple[int, ...]):
    """The expectation is over worlds of the same classes: what depends on n (transrate, h_score) does so in it too."""
    hits, ratio = coverage(name, counts, 400)
    # A quarter of the classes have one or two samples, and the sum over pairs of classes weighs them as it does others.
    least = 0.86 if name == "gbc" and min(counts) < 4 else 0.92
    assert least <= hits <= 0.9975
    assert 0.8 < ratio < 1.9


@pytest.mark.parametrize("name", ["leep", "logme", "transrate"])
def test_rare_classes_do_not_make_an_interval_too_wide(name: str):
    """Blocks of one layer, some with a sample of a rare class, have 1.8, 19 and 11 times the deviation."""
    hits, ratio = coverage(name, COUNTS["long tail"], 100)
    assert 0.75 < ratio < 1.35
    assert hits >= 0.95 - 3 * 0.022


def test_a_class_of_one_sample_is_in_every_replicate_and_the_row_says_so():
    row = estimate_score(SCORES["logme"], counted(1, COUNTS["long tail"]), EstimateOptions(permutations=0)).row
    assert row.interval is not None
    assert row.reason == "the interval takes the classes of a single sample or group, 1, as they are"
    assert estimate_score(SCORES["logme"], counted(1, (40, 4)), EstimateOptions(permutations=0)).row.reason == ""
    rare = estimate_score(SCORES["logme"], counted(1, (40, 3)), EstimateOptions(permutations=0)).row
    assert rare.interval is None
    assert rare.reason == "no interval: 1 of 2 classes have fewer than 4 samples"
