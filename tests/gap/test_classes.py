"""The misalignment class by class."""

from __future__ import annotations

import numpy as np
import pytest

from gapkit.gap import ConditionalInputs, GapOptions, measure_misalignment
from gapkit.gap.conditional import fit_and_score

OPTIONS = GapOptions(bootstrap=200, permutations=0, ceiling=("channel", "linear"))


def test_weighted_means_are_the_familys_value(world):
    made = world(n=160, shares=(0.5, 0.25, 0.15, 0.1))
    found = measure_misalignment(made.inputs(), OPTIONS)
    assert [one.name for one in found.classes] == ["0", "1", "2", "3"]
    assert [one.n for one in found.classes] == np.bincount(made.labels).tolist()
    for row in found.rows:
        if row.discrepancy == "kl":
            total = sum(one.n * one.label_maps[row.label_map].value for one in found.classes)
            assert total / found.n_scored == pytest.approx(row.value, rel=1e-12)
            prior = sum(one.n * one.prior for one in found.classes)
            assert row.value / row.normalised == pytest.approx(prior / found.n_scored, rel=1e-12)


def test_each_is_the_mean_over_its_own_samples_and_lies_in_its_interval(world):
    made = world(n=120)
    measured = fit_and_score(made.inputs(class_names=("d", "c", "b", "a")), OPTIONS)
    losses, _ = measured.ratios["kl channel value"]
    for code, one in enumerate(measured.result.classes):
        assert one.name == "dcba"[code]
        own = one.label_maps["channel"]
        assert own.value == pytest.approx(losses[made.labels == code].mean(), rel=1e-12)
        assert 0 <= own.interval[0] <= own.value <= own.interval[1]
        assert own.n == one.n == 30


def test_classes_that_are_never_scored_and_absent_ones_have_no_entry(world):
    made = world(n=100, shares=(0.5, 0.46, 0.04))
    labels = np.array([0, 3, 1])[made.labels]
    inputs = ConditionalInputs(
        log_probabilities=made.log_p,
        features=made.features,
        labels=labels,
        n_classes=4,
        class_names=("a", "rare", "absent", "b"),
    )
    assert [one.name for one in measure_misalignment(inputs, OPTIONS).classes] == ["a", "b"]


def test_groups_widen_the_intervals_of_classes(world):
    made = world(n=200, signal=0.5)
    groups = np.arange(200) // 10
    order = np.argsort(made.features[:, 0])
    plain = measure_misalignment(made.inputs(), OPTIONS).classes
    grouped = measure_misalignment(made.inputs(groups=groups[np.argsort(order)]), OPTIONS).classes

    def width(classes):
        return np.mean([np.diff(one.label_maps["channel"].interval)[0] for one in classes])

    assert width(grouped) != width(plain)
    assert all(one.n == 50 for one in grouped)
