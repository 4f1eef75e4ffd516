"""Limits: of the samples that are read, drawn once and counted; and of a score, at which nothing is seen to vary."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gapkit.arrays import generator
from gapkit.scores import catalogue
from gapkit.scores.c2st import C2st
from gapkit.scores.distance_estimates import TARGET_STREAM, Limited, estimate_distance, take
from gapkit.scores.energy import Energy
from gapkit.scores.estimating import EstimateOptions, estimate_score
from gapkit.scores.gbc import GBC
from gapkit.scores.inputs import Distance, PairInputs, ScoreInputs
from gapkit.scores.leep import LEEP
from gapkit.scores.mmd import Mmd
from gapkit.scores.nce import NCE
from gapkit.scores.otdd import OTDD
from gapkit.scores.otdd_options import OTDDOptions
from gapkit.scores.sinkhorn import Sinkhorn
from gapkit.scores.subsample import subsample

LIMIT = 60
LIMITED: tuple[Distance, ...] = (
    Mmd(limit=LIMIT),
    Energy(limit=LIMIT),
    Sinkhorn(limit=LIMIT),
    OTDD(options=OTDDOptions(limit=LIMIT)),
)


def pair(n: int, m: int) -> PairInputs:
    rng, sides = generator(1), [np.arange(size) % 3 for size in (n, m)]
    x, y = (rng.normal(size=(len(labels), 4)) + 3 * np.eye(3, 4)[labels] for labels in sides)
    return PairInputs(target=x, surrogate=y + 0.5, target_labels=sides[0], surrogate_labels=sides[1])


@pytest.mark.parametrize("distance", LIMITED, ids=lambda distance: distance.traits.name)
def test_the_estimate_is_that_of_the_samples_that_were_drawn(distance: Distance) -> None:
    """Drawn anew without every block, they would differ by more than the block: intervals were 1.6 times as wide."""
    options, whole = EstimateOptions(permutations=0), pair(90, 40)
    row = estimate_distance(distance, whole, options)
    kept = subsample(90, LIMIT, seed=whole.seed, stream=TARGET_STREAM, labels=whole.target_labels)
    assert row == estimate_distance(distance, take(whole, kept, np.arange(40)), options)
    assert (row.n, row.n_surrogate) == (LIMIT, 40)


def test_all_that_draw_say_how_many_and_a_sliced_one_draws_none() -> None:
    for distance in catalogue.distances():
        limit = distance.limit if isinstance(distance, Limited) else None
        assert (limit is None) == (distance.traits.subsample is None)
        assert limit is None or limit <= distance.traits.subsample
    assert OTDD(options=OTDDOptions(outer="sliced", limit=5)).limit is None


def test_what_no_block_changes_has_no_interval_of_no_width() -> None:
    options, labels = EstimateOptions(permutations=0), np.arange(60) % 3
    sides = pair(60, 40)
    apart = estimate_distance(C2st(), PairInputs(target=sides.target, surrogate=sides.surrogate + 100), options)
    certain = np.log(np.eye(3)[labels] + 1e-300)
    perfect = ScoreInputs(features=np.zeros((60, 1)), labels=labels, log_probabilities=certain)
    rows = [apart, *(estimate_score(score, perfect, options).row for score in (LEEP(), NCE(), GBC()))]
    assert [row.value for row in rows] == [1.0, 0.0, 0.0, -6.0]
    for row in rows:
        assert (row.interval, row.status) == (None, "ok")
        assert row.reason == "no interval: it is the same without any block of the samples"
    varying = estimate_score(NCE(), replace(perfect, labels=(np.arange(60) + (np.arange(60) < 5)) % 3), options).row
    assert varying.interval[0] < varying.value < varying.interval[1]
