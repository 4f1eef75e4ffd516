"""A source that knows nothing, and a wide overconfident one: every family against the class prior.

Intervals are for the fitted maps, which on new samples are a little worse than the prior wherever a map was mixed in by
chance; so a value may lie above 1 by a few thousandths with an interval that is narrower still.
"""

from __future__ import annotations

import numpy as np
import pytest

from gapkit.data.worlds import WorldOptions, make_world
from gapkit.gap import ConditionalInputs, GapOptions, measure_misalignment

SEED = 3
IMBALANCED = (0.85, 0.05, 0.05, 0.05)
OPTIONS = GapOptions(permutations=0, bootstrap=300, discrepancies=("kl",))


def measure(trial, shares, n, n_source):
    """The rows of one world without signal."""
    world = make_world(
        WorldOptions(
            n_source=n_source, n_target=4, signal="neither", shares=shares, overconfidence=4.0, seed=1000 * SEED + trial
        )
    )
    draw = world.draw(n, seed=1)
    inputs = ConditionalInputs(
        log_probabilities=draw.log_probabilities, features=draw.features, labels=draw.labels, n_classes=4
    )
    return measure_misalignment(inputs, OPTIONS).rows


def check(worlds, n, n_source):
    """Never above 1.05; the mean over worlds within a hundredth of 1; within the interval or a hundredth of it."""
    for shares in (None, IMBALANCED):
        values = {}
        for trial in range(worlds):
            for row in measure(trial, shares, n, n_source):
                assert row.normalised <= 1.05
                assert row.interval[0] - 0.01 <= 1.0 <= row.interval[1] + 0.01
                values.setdefault(row.label_map, []).append(row.normalised)
        for family, found in values.items():
            assert np.mean(found) == pytest.approx(1.0, abs=0.01), family


def test_every_family_gives_one_where_there_is_nothing_to_know():
    check(2, 500, 40)


@pytest.mark.slow
def test_every_family_gives_one_in_twenty_worlds():
    check(20, 1000, 352)
