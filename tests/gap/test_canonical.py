"""What depends on content only: permuting samples, source classes or target classes changes nothing but names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gapkit.gap import GapOptions, measure_misalignment
from gapkit.gap.canonical import canonicalise
from gapkit.gap.conditional import draw_folds

QUICK = GapOptions(bootstrap=100, permutations=20, discrepancies=("kl", "brier", "zero_one"))


def renamed(result, sources, targets):
    """Lines of all label maps under the names of the unpermuted classes."""
    return {
        family: {
            (None if entry.target is None else int(targets[entry.target]), int(sources[entry.source]), entry.mass)
            for entry in shown.entries
        }
        for family, shown in result.label_maps.items()
    }


@pytest.mark.parametrize("grouped", [False, True])
def test_permutations_change_nothing_but_names(world, grouped):
    made, rng = world(n=160, n_source=12), np.random.default_rng(5)
    groups = rng.integers(30, size=160) if grouped else None
    order, sources, targets = rng.permutation(160), rng.permutation(12), rng.permutation(4)
    plain = measure_misalignment(made.inputs(groups=groups), QUICK)
    inputs = replace(
        made.inputs(),
        log_probabilities=made.log_p[order][:, sources],
        features=made.features[order],
        labels=targets[made.labels][order],
        groups=None if groups is None else 29 - groups[order],
    )
    moved = measure_misalignment(inputs, QUICK)
    assert moved.rows == plain.rows
    assert moved.decomposition == plain.decomposition
    back = np.argsort(targets)
    assert renamed(moved, sources, back) == renamed(plain, np.arange(12), np.arange(4))


def test_duplicated_samples_with_different_labels_do_not_break_it(world):
    made, rng = world(n=80, n_source=6), np.random.default_rng(6)
    twice = np.concatenate([np.arange(80), np.arange(40)])
    labels = np.concatenate([made.labels, (made.labels[:40] + 1) % 4])
    order = rng.permutation(120)
    plain = replace(made.inputs(), log_probabilities=made.log_p[twice], features=made.features[twice], labels=labels)
    moved = replace(
        plain,
        log_probabilities=plain.log_probabilities[order],
        features=plain.features[order],
        labels=(3 - labels)[order],
    )
    assert measure_misalignment(moved, QUICK).rows == measure_misalignment(plain, QUICK).rows


def test_canonical_arrays_are_the_given_ones(world):
    made = world(n=60, n_source=5)
    inputs = made.inputs(n_classes=6, groups=np.arange(60) // 2)
    found = canonicalise(inputs)
    assert found.inputs.n_classes == 4
    assert sorted(found.order.tolist()) == list(range(60))
    np.testing.assert_array_equal(found.inputs.log_probabilities, made.log_p[found.order][:, found.source_classes])
    np.testing.assert_array_equal(found.target_classes[found.inputs.labels], made.labels[found.order])
    pairs = set(zip(found.inputs.groups.tolist(), inputs.groups[found.order].tolist(), strict=True))
    assert len(pairs) == 30


def test_features_that_differ_by_rounding_keep_nearly_all_places_and_folds(world):
    made = world(n=3000)
    noise = 1e-5 * np.random.default_rng(7).normal(size=made.features.shape)
    first, second = made.inputs(), replace(made.inputs(), features=made.features + noise)
    before, after = canonicalise(first), canonicalise(second)
    moved = np.mean(before.order != after.order)
    assert 0.001 < moved < 0.02
    assert np.array_equal(before.target_classes, after.target_classes)
    assert np.array_equal(before.source_classes, after.source_classes)
    folds = [np.empty(3000, dtype=np.int64) for _ in range(2)]
    for found, made_folds in zip((before, after), folds, strict=True):
        made_folds[found.order] = draw_folds(found, QUICK).ids
    # Only neighbours of one class change folds.
    assert np.mean(folds[0] != folds[1]) < moved
