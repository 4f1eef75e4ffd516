"""Distances that read so many samples of either side: they are drawn once, before blocks are left out, and counted."""

from __future__ import annotations

import numpy as np
import pytest

from gapkit.arrays import generator
from gapkit.scores import catalogue
from gapkit.scores.distance_estimates import TARGET_STREAM, Limited, estimate_distance, take
from gapkit.scores.energy import Energy
from gapkit.scores.estimating import EstimateOptions
from gapkit.scores.inputs import Distance, PairInputs
from gapkit.scores.mmd import Mmd
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
