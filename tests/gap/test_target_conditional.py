"""Scores against the probabilities of a cross-fitted linear probe instead of labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gapkit.gap import GapOptions
from gapkit.gap.conditional import fit_and_score
from gapkit.gap.inputs import ALL_DISCREPANCIES

OPTIONS = GapOptions(
    families=("injection", "channel", "linear_plain"),
    discrepancies=ALL_DISCREPANCIES,
    target_conditional="probe",
    bootstrap=100,
    permutations=0,
)


@pytest.fixture(name="measured", scope="module")
def measured_worlds(world):
    made = world(n=200, n_source=10, signal=1.5)
    return fit_and_score(made.inputs(), OPTIONS), fit_and_score(
        made.inputs(), replace(OPTIONS, target_conditional="labels")
    )


def test_values_are_mean_distances_to_the_probe(measured):
    against_probe, _ = measured
    target = against_probe.fits["linear_plain"].held_out
    prior = against_probe.problem.prior_held_out()
    for name in ("injection", "channel"):
        q = against_probe.fits[name].held_out
        kl = (target * (np.log(target) - np.log(q))).sum(axis=1).mean()
        below = (target * (np.log(target) - np.log(prior))).sum(axis=1).mean()
        row = next(row for row in against_probe.result.rows if (row.label_map, row.discrepancy) == (name, "kl"))
        assert row.value == pytest.approx(kl, rel=1e-9)
        assert row.normalised == pytest.approx(kl / below, rel=1e-9)
        assert row.interval[0] <= row.normalised <= row.interval[1]


def test_the_probe_has_no_distance_to_itself(measured):
    for row in measured[0].result.rows:
        if row.label_map == "linear_plain" and row.discrepancy != "zero_one":
            assert row.value == pytest.approx(0.0, abs=1e-12)
        assert row.proper


def test_maps_are_fitted_to_labels_either_way(measured):
    against_probe, against_labels = measured
    assert against_probe.result.label_maps == against_labels.result.label_maps
    assert against_probe.result.rows != against_labels.result.rows


def test_a_probe_that_is_the_prior_leaves_nothing_to_divide_by(world):
    made = world(n=100, signal=0.0)
    inputs = replace(made.inputs(), features=np.zeros((100, 0)))
    for row in fit_and_score(inputs, replace(OPTIONS, families=("channel",))).result.rows:
        if row.discrepancy not in ("zero_one",):
            assert (row.normalised, row.interval, row.status) == (None, None, "partial")
            assert "nothing to divide by" in row.reason
            assert row.value is not None
