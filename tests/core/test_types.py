"""Targets and activations: checked, encoded, cut and hashed."""

from __future__ import annotations

import numpy as np
import pytest

from gapkit.errors import DataError, OptionError
from gapkit.types import Activations, Target


def make_target(**changes: object) -> Target:
    """Six samples, two classes, three subjects, four in train."""
    values = {
        "groups": np.array(["c", "a", "b", "a", "b", "c"]),
        "group_key": "subject",
        "split": np.array([0, 0, 1, 0, 1, 0]),
        "name": "d",
    } | changes
    return Target(np.arange(12.0).reshape(6, 2), ["u", "v", "u", "u", "v", "v"], **values)


def test_labels_and_groups_become_codes() -> None:
    target = make_target()
    assert target.y.tolist() == [0, 1, 0, 0, 1, 1]
    assert target.class_names == ("u", "v")
    assert target.groups is not None
    assert target.groups.tolist() == [2, 0, 1, 0, 1, 2]


def test_take_keeps_rows_together_and_names_whole() -> None:
    taken = make_target().take(np.array([4, 0]))
    assert taken.x.tolist() == [[8.0, 9.0], [0.0, 1.0]]
    assert (taken.y.tolist(), taken.class_names) == ([1, 0], ("u", "v"))
    assert taken.split is not None
    assert taken.split.tolist() == [1, 0]


def test_parts_are_disjoint_and_together_everything() -> None:
    target = make_target()
    train, test = target.part("train"), target.part("test")
    assert sorted(train.x[:, 0].tolist() + test.x[:, 0].tolist()) == target.x[:, 0].tolist()
    assert len(test) == 2


def test_without_a_split_train_is_everything_and_test_an_error() -> None:
    target = make_target(split=None)
    assert len(target.part("train")) == 6
    with pytest.raises(OptionError, match="no test samples.*--split all"):
        target.part("test")


def test_unequal_lengths_name_the_array() -> None:
    with pytest.raises(DataError, match="d: subject has 5 entries but x has 6 samples"):
        make_target(groups=np.zeros(5))


def test_hash_follows_content_and_meaning_of_x_only() -> None:
    target = make_target()
    assert target.hash == make_target(name="other", split=None).hash
    assert target.hash != make_target(sample_rate=8000.0).hash
    assert target.hash != Target(target.x + 1, target.y).hash


def test_activations_refuse_features_of_another_length() -> None:
    target = make_target()
    with pytest.raises(DataError, match="features of norm has 5 entries but x has 6"):
        Activations(
            target=target,
            source="s",
            embedder="e",
            features={"norm": np.zeros((5, 2), np.float32)},
            logits=np.zeros((6, 3), np.float32),
            source_classes=("a", "b", "c"),
        )
