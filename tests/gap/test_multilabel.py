"""Several labels per sample: each against the rest, and their mean."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gapkit.errors import DataError
from gapkit.gap import GapOptions, measure_misalignment
from gapkit.gap.multilabel import measure_multilabel

QUICK = GapOptions(bootstrap=150, permutations=20)


@pytest.fixture(name="several", scope="module")
def several_labels(world):
    """Three labels: one that the source knows, one that it half knows, one at random."""
    made = world(n=160, n_source=10, signal=2.0)
    rng = np.random.default_rng(4)
    known = (made.labels == 0).astype(int)
    half = np.where(rng.random(160) < 0.3, rng.integers(2, size=160), (made.labels < 2).astype(int))
    return made, np.stack([known, half, rng.integers(2, size=160)], axis=1)


@pytest.fixture(name="measured", scope="module")
def measured_labels(several):
    made, indicators = several
    return measure_multilabel(made.inputs(), indicators, ("known", "half", "random"), QUICK)


def test_each_label_is_its_own_two_class_target(several, measured):
    made, indicators = several
    for j, name in enumerate(("known", "half", "random")):
        alone = measure_misalignment(
            replace(made.inputs(), labels=indicators[:, j], n_classes=2, class_names=("without", "with")), QUICK
        )
        assert measured.per_label[name] == alone


def test_rows_are_unweighted_means_over_labels(measured):
    for k, row in enumerate(measured.rows):
        own = [one.rows[k] for one in measured.per_label.values()]
        assert row.value == pytest.approx(np.mean([item.value for item in own]), rel=1e-12)
        assert row.normalised == pytest.approx(np.mean([item.normalised for item in own]), rel=1e-12)
        assert row.interval[0] <= row.normalised <= row.interval[1]
        assert row.value_interval[0] <= row.value <= row.value_interval[1]
        if row.excess is not None:
            assert row.excess.value == pytest.approx(np.mean([item.excess.value for item in own]), abs=1e-12)
    for part, estimate in measured.decomposition.items():
        own = [one.decomposition[part].value for one in measured.per_label.values()]
        assert estimate.value == pytest.approx(np.mean(own), abs=1e-12)
    assert sum(part.value for part in measured.decomposition.values()) == pytest.approx(
        measured.rows[0].normalised, abs=1e-12
    )


def test_labels_are_ordered_by_what_the_source_knows(measured):
    known, half, random = (
        next(row.normalised for row in one.rows if (row.label_map, row.discrepancy) == ("linear", "kl"))
        for one in measured.per_label.values()
    )
    assert known < half < random


def test_one_label_alone_is_its_own_mean(several):
    made, indicators = several
    many = replace(QUICK, bootstrap=4000, permutations=0)
    alone = measure_multilabel(made.inputs(), indicators[:, :1], ("known",), many)
    plain = replace(made.inputs(), labels=indicators[:, 0], n_classes=2, class_names=("without", "with"))
    for row, own in zip(alone.rows, measure_misalignment(plain, many).rows, strict=True):
        assert row.value == pytest.approx(own.value, rel=1e-12)
        # The same interval but for the draws of the bootstrap.
        assert row.interval == pytest.approx(own.interval, abs=0.1)


def test_rare_labels_are_skipped_and_named(several):
    made, indicators = several
    rare = np.zeros(160, dtype=int)
    rare[:2] = 1
    found = measure_multilabel(made.inputs(), np.column_stack([indicators[:, 0], rare]), ("known", "rare"), QUICK)
    assert list(found.skipped) == ["rare"]
    assert "rare" in found.notes[0]
    assert all(row.status == "partial" and "rare" in row.reason for row in found.rows)
    with pytest.raises(DataError, match="none of 1 labels"):
        measure_multilabel(made.inputs(), rare[:, None], ("rare",), QUICK)


@pytest.mark.parametrize("wrong", [np.zeros(160), np.full((160, 2), 2), np.zeros((3, 2))])
def test_indicators_are_checked(several, wrong):
    with pytest.raises(DataError, match="indicators"):
        measure_multilabel(several[0].inputs(), wrong, (), QUICK)


def test_permuting_samples_changes_nothing(several, measured):
    made, indicators = several
    order = np.random.default_rng(9).permutation(160)
    inputs = replace(
        made.inputs(),
        log_probabilities=made.log_p[order],
        features=made.features[order],
        labels=made.labels[order],
    )
    moved = measure_multilabel(inputs, indicators[order], ("known", "half", "random"), QUICK)
    assert moved.rows == measured.rows
