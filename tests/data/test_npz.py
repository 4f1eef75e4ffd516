"""The layouts of .npz archives, and what stands beside x and y."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gapkit.data.load import ReadOptions, load_target

Save = Callable[..., Path]


@pytest.mark.parametrize(
    "keys",
    [("x", "y"), ("X", "labels"), ("X", "y"), ("x", "Y"), ("images", "label"), ("x", "targets")],
)
def test_usual_names_mean_the_same(save: Save, arrays: dict[str, Any], keys: tuple[str, str]) -> None:
    target = load_target(save(**{keys[0]: arrays["x"], keys[1]: arrays["y"]}))
    assert np.array_equal(target.x, arrays["x"])
    assert np.array_equal(target.y, arrays["y"])
    assert target.split is None
    assert (target.name, target.notes) == ("data.npz", ())


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("X_train", "labels_train", "X_test", "labels_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("x_train", "train_y", "test_x", "y_test"),
    ],
)
def test_split_keys_equal_one_key_with_a_split_array(
    save: Save, arrays: dict[str, Any], names: tuple[str, ...]
) -> None:
    x, y = arrays["x"], arrays["y"]
    parts = load_target(save(**dict(zip(names, (x[:8], y[:8], x[8:], y[8:]), strict=True))))
    whole = load_target(save(name="whole.npz", x=x, y=y, split=np.repeat(["train", "test"], [8, 4])))
    assert np.array_equal(parts.x, whole.x)
    assert np.array_equal(parts.y, whole.y)
    assert np.array_equal(parts.split, whole.split)
    assert parts.notes[0] == "joined " + ", ".join(sorted(names[::2], key=names.index))


def test_groups_of_split_keys_are_joined_and_x_without_split_wins(save: Save, arrays: dict[str, Any]) -> None:
    x, y = arrays["x"], arrays["y"]
    kept = {"x_train": x[:8], "y_train": y[:8], "x_test": x[8:], "y_test": y[8:]}
    target = load_target(save(**kept, subject_train=np.arange(8) // 2, subject_test=np.array([7, 7, 0, 0])))
    assert target.groups is not None
    assert target.groups.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 0, 0]
    assert target.group_key == "subject"
    both = load_target(save(**kept, x=x[:6], y=y[:6]))
    assert len(both) == 6
    assert both.notes == ("ignored: x_train, y_train, x_test, y_test",)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([0, 1, 1, 0] * 3), [0, 1, 1, 0] * 3),
        (np.array([False, True] * 6), [0, 1] * 6),
        (np.array([0.0, 1.0] * 6), [0, 1] * 6),
        (np.array([b"Train", b"TEST"] * 6), [0, 1] * 6),
        (np.array(["training", "val", "test"] * 4), [0, 0, 1] * 4),
        (np.array(["train", "val"] * 6), [0, 1] * 6),
    ],
)
def test_split_values(save: Save, arrays: dict[str, Any], values: np.ndarray, expected: list[int]) -> None:
    target = load_target(save(**arrays, split=values))
    assert target.split is not None
    assert target.split.tolist() == expected
    assert any("validation samples count as" in note for note in target.notes) == ("val" in values.tolist())


def test_the_first_group_name_wins_and_is_said(save: Save, arrays: dict[str, Any]) -> None:
    path = save(**arrays, session=np.arange(12), subject=np.arange(12) // 4)
    target = load_target(path)
    assert (target.group_key, target.groups is not None and target.groups.max()) == ("subject", 2)
    assert target.notes == ("ignored: session", "groups from subject: 3 groups")


@pytest.mark.parametrize("name", ["group", "groups", "subject", "patient_id", "speakers", "session", "Speaker"])
def test_group_names(save: Save, arrays: dict[str, Any], name: str) -> None:
    target = load_target(save(**arrays, **{name: np.array(list("abcd") * 3)}))
    assert target.group_key == name
    assert target.groups is not None
    assert target.groups.tolist() == [0, 1, 2, 3] * 3


def test_groups_can_be_named_or_switched_off(save: Save, arrays: dict[str, Any]) -> None:
    path = save(**arrays, subject=np.arange(12) // 4, drawer=np.arange(12) // 6)
    assert load_target(path, ReadOptions(group="drawer")).group_key == "drawer"
    off = load_target(path, ReadOptions(group="none"))
    assert (off.groups, off.group_key) == (None, None)


def test_class_names_sample_rate_and_ignored_keys(save: Save, arrays: dict[str, Any]) -> None:
    names = np.array(["a", "b", "c", "unseen"])
    path = save(**arrays, class_names=names, sample_rate=np.array(200), index=np.arange(12), feature_names=names)
    target = load_target(path)
    assert target.class_names == ("a", "b", "c", "unseen")
    assert target.sample_rate == 200.0
    assert target.notes == ("ignored: index, feature_names",)
    assert load_target(path, ReadOptions(sample_rate=50.0)).sample_rate == 50.0
    assert load_target(save(**arrays, sample_rate=np.full(12, 16.5))).sample_rate == 16.5


def test_alphabet_of_codes(save: Save) -> None:
    x = np.random.default_rng(1).integers(0, 4, (12, 6))
    target = load_target(save(x=x, y=np.arange(12) % 2, alphabet=np.array(list("ACGT"))))
    assert target.alphabet == ("A", "C", "G", "T")


@pytest.mark.parametrize(
    ("x", "alphabet", "word"),
    [
        (np.arange(24).reshape(12, 2) % 5, np.array(list("ACGT")), "4 symbols do not cover the codes 0 to 4"),
        (np.arange(24).reshape(12, 2) % 5 - 1, np.array(list("ACGTN")), "do not cover the codes -1 to 3"),
        (np.arange(24.0).reshape(12, 2), np.array(list("ACGT")), "does not list"),
        (np.arange(48).reshape(12, 2, 2) % 3, np.array(list("ACGT")), "does not list"),
        (np.arange(24).reshape(12, 2) % 5, np.arange(12, dtype=np.uint8), "does not list"),
        (np.arange(24).reshape(12, 2) % 5, np.array(["Greek", "Latin"] * 6), "does not list"),
    ],
)
def test_what_else_is_called_alphabet_is_ignored_and_said(
    save: Save, x: np.ndarray, alphabet: np.ndarray, word: str
) -> None:
    target = load_target(save(x=x, y=np.arange(12) % 2, alphabet=alphabet))
    assert target.alphabet is None
    assert word in target.notes[0]


def test_other_labels_bring_their_own_names(save: Save, arrays: dict[str, Any]) -> None:
    path = save(
        **arrays,
        class_names=np.array(["a", "b", "c"]),
        y_fine=np.arange(12) % 2,
        fine_names=np.array(["even", "odd"]),
        speaker=np.arange(12) // 6,
        speaker_names=np.array(["Ann", "Bob"]),
    )
    assert load_target(path, ReadOptions(labels="y_fine")).class_names == ("even", "odd")
    speakers = load_target(path, ReadOptions(labels="speaker"))
    assert speakers.class_names == ("Ann", "Bob")
    assert speakers.groups is None


def test_another_input_key(save: Save, arrays: dict[str, Any]) -> None:
    other = arrays["x"] * 2
    assert np.array_equal(load_target(save(**arrays, z=other), ReadOptions(column="z")).x, other)


@pytest.mark.parametrize(
    ("y", "names", "codes"),
    [
        (np.array([5, -2, 9, 5]), ("-2", "5", "9"), [1, 0, 2, 1]),
        (np.array(["b", "a", "c", "b"]), ("a", "b", "c"), [1, 0, 2, 1]),
        (np.array([b"b", b"a", b"c", b"b"]), ("a", "b", "c"), [1, 0, 2, 1]),
        (np.array([True, False, True, True]), ("False", "True"), [1, 0, 1, 1]),
        (np.array([2.0, 0.0, 4.0, 2.0]), ("0", "2", "4"), [1, 0, 2, 1]),
        (np.array([[3], [1], [3], [1]], dtype=np.uint8), ("1", "3"), [1, 0, 1, 0]),
        (np.array([2**63, 5, 5, 5], dtype=np.uint64), ("5", str(2**63)), [1, 0, 0, 0]),
    ],
)
def test_labels_of_any_kind(save: Save, y: np.ndarray, names: tuple[str, ...], codes: list[int]) -> None:
    target = load_target(save(x=np.arange(8.0).reshape(4, 2), y=y))
    assert target.class_names == names
    assert target.y.tolist() == codes


def test_regression_and_several_labels(save: Save) -> None:
    x = np.arange(8.0).reshape(4, 2)
    target = load_target(save(x=x, y=np.array([0.5, 1.0, 2.5, 3.0])), ReadOptions(task="regression"))
    assert (target.task, target.y.tolist()) == ("regression", [0.5, 1.0, 2.5, 3.0])
    several = load_target(save(x=x, y=np.array([[1, 0, 1], [0, 0, 1], [1, 1, 0], [0, 0, 0]], dtype=bool)))
    assert (several.task, several.n_classes) == ("multilabel", 3)


def test_values_are_native_whatever_the_file_holds(save: Save) -> None:
    x = np.arange(8.0).reshape(4, 2)
    for stored in (x.astype(">f4"), np.asfortranarray(x), x.astype(np.longdouble)):
        found = load_target(save(x=stored, y=np.array([0, 1, 0, 1]))).x
        assert found.dtype.isnative
        assert found.dtype.itemsize <= 8
        assert np.array_equal(found, x)
    words = load_target(save(x=np.array(["é", "b"]).astype(">U1"), y=np.array([0, 1]))).x
    assert words.tolist() == ["é", "b"]
    assert load_target(save(x=np.array(["é".encode(), b"b"]), y=np.array([0, 1]))).x.tolist() == ["é", "b"]


def test_compressed_equals_stored(tmp_path: Path, save: Save, arrays: dict[str, Any]) -> None:
    np.savez_compressed(tmp_path / "small.npz", **arrays)
    assert load_target(tmp_path / "small.npz").hash == load_target(save(**arrays)).hash


def test_keys_that_are_not_used_are_not_read(save: Save, arrays: dict[str, Any]) -> None:
    """A pickle that nobody asks for does no harm and is no error."""
    target = load_target(save(**arrays, extra=np.array([{}], dtype=object)))
    assert target.notes == ("ignored: extra",)
