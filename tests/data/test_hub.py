"""Hugging Face data sets that the test itself writes to disk."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from gapkit.data.load import ReadOptions, load_target
from gapkit.errors import DataError, OptionError

Refusal = Callable[..., Exception]
Write = Callable[[datasets.Dataset | datasets.DatasetDict], Path]
NAMES = datasets.ClassLabel(names=["no", "yes", "perhaps"])
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3)).astype(np.uint8)
CODES = [1, 0, 1, 1, 0, 1]


@pytest.fixture(params=["save_to_disk", "parquet file", "parquet folder"])
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Write:
    """Writes a data set in one of the forms that are read."""

    def save(data: datasets.Dataset | datasets.DatasetDict) -> Path:
        folder = tmp_path / "set"
        if request.param == "save_to_disk":
            data.save_to_disk(str(folder))
            return folder
        if isinstance(data, datasets.Dataset) and request.param == "parquet file":
            data.to_parquet(str(tmp_path / "set.parquet"))
            return tmp_path / "set.parquet"
        (folder / "data").mkdir(parents=True)
        parts = data if isinstance(data, datasets.DatasetDict) else {"all": data}
        for name, part in parts.items():
            part.to_parquet(str(folder / "data" / f"{name}-00000-of-00001.parquet"))
        return folder

    return save


def make(columns: dict[str, object], features: dict[str, object]) -> datasets.Dataset:
    """A data set with the labels ``CODES``."""
    return datasets.Dataset.from_dict(
        {**columns, "label": CODES}, features=datasets.Features({**features, "label": NAMES})
    )


def encoded(pixels: np.ndarray) -> dict[str, object]:
    """An image as the hub stores it."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return {"bytes": stream.getvalue(), "path": None}


def test_images_and_class_names(write: Write) -> None:
    data = make({"picture": [encoded(one) for one in PIXELS]}, {"picture": datasets.Image()})
    target = load_target(write(data))
    assert np.array_equal(target.x, PIXELS)
    assert target.class_names == ("no", "yes", "perhaps")
    assert target.y.tolist() == CODES
    assert target.notes[:2] == ("labels from label", "input from picture")


def test_text(write: Write) -> None:
    words = ["one", "two words", "three", "", "é", "six"]
    data = make(
        {"sentence": words, "idx": list(range(6))},
        {"sentence": datasets.Value("string"), "idx": datasets.Value("int32")},
    )
    target = load_target(write(data))
    assert target.x.tolist() == words
    assert target.class_names == ("no", "yes", "perhaps")


@pytest.mark.parametrize(
    ("feature", "shape", "dtype"),
    [
        (datasets.List(datasets.Value("float64")), (6, 7), "float64"),
        (datasets.List(datasets.Value("int16"), length=7), (6, 7), "int16"),
        (datasets.List(datasets.List(datasets.Value("float32"))), (6, 3, 5), "float32"),
        (datasets.Array2D((3, 5), "uint8"), (6, 3, 5), "uint8"),
        (datasets.Array3D((2, 3, 5), "float32"), (6, 2, 3, 5), "float32"),
    ],
)
def test_arrays(write: Write, feature: object, shape: tuple[int, ...], dtype: str) -> None:
    x = (np.random.default_rng(1).random(shape) * 100).astype(dtype)
    target = load_target(write(make({"series": x.tolist()}, {"series": feature})))
    assert np.array_equal(target.x, x)
    assert target.x.dtype == dtype


def test_splits_and_groups(write: Write) -> None:
    x = np.random.default_rng(1).random((6, 3))
    data = make(
        {"x": x.tolist(), "speaker": list("aabbcc")},
        {"x": datasets.List(datasets.Value("float64")), "speaker": datasets.Value("string")},
    )
    parts = datasets.DatasetDict(
        {"train": data.select(range(4)), "test": data.select([4]), "validation": data.select([5])}
    )
    target = load_target(write(parts))
    order = np.argsort([0, 1, 2, 3, 4, 5])
    found = {
        tuple(row): (group, part)
        for row, group, part in zip(target.x.tolist(), target.groups, target.split, strict=True)
    }
    assert [found[tuple(row)] for row in x[order].tolist()] == [(0, 0), (0, 0), (1, 0), (1, 0), (2, 1), (2, 0)]
    assert target.group_key == "speaker"
    assert "validation samples count as train samples" in target.notes


def test_a_table_of_numbers_and_categories(write: Write) -> None:
    data = make(
        {"age": [1.5, 2.0, 3.0, 4.0, 5.0, 6.0], "colour": list("rgrgrg")},
        {"age": datasets.Value("float64"), "colour": datasets.Value("string")},
    )
    target = load_target(write(data))
    assert target.x.tolist() == [[i, c == "g", c == "r"] for i, c in zip([1.5, 2, 3, 4, 5, 6], "rgrgrg", strict=True)]
    assert target.class_names == ("no", "yes", "perhaps")
    assert "categorical columns one-hot: colour" in target.notes


def test_other_labels_and_inputs(tmp_path: Path) -> None:
    data = make(
        {"a": np.arange(12.0).reshape(6, 2).tolist(), "b": list("uvwuvw"), "c": [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]},
        {"a": datasets.List(datasets.Value("float32")), "b": datasets.Value("string"), "c": datasets.Value("float64")},
    )
    data.save_to_disk(str(tmp_path / "set"))
    text = load_target(tmp_path / "set", ReadOptions(column="b", labels="c", task="regression"))
    assert text.x.tolist() == list("uvwuvw")
    assert text.y.tolist() == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]
    assert load_target(tmp_path / "set", ReadOptions(column="c")).x.shape == (6, 1)
    with pytest.raises(OptionError, match="has no column 'zz'"):
        load_target(tmp_path / "set", ReadOptions(column="zz"))


def test_the_only_class_label_is_the_label(tmp_path: Path) -> None:
    data = make({"x": list("uvwuvw")}, {"x": datasets.Value("string")}).rename_column("label", "disease")
    data.save_to_disk(str(tmp_path / "set"))
    assert load_target(tmp_path / "set").class_names == ("no", "yes", "perhaps")


def test_unlabelled_splits_are_left_out(tmp_path: Path) -> None:
    data = make({"x": list("uvwuvw")}, {"x": datasets.Value("string")})
    datasets.DatasetDict({"train": data, "unsupervised": data}).save_to_disk(str(tmp_path / "set"))
    target = load_target(tmp_path / "set")
    assert len(target) == 6
    assert "splits left out: unsupervised" in target.notes


@pytest.mark.parametrize(
    ("columns", "features", "words"),
    [
        (
            {"x": [[1.0], [1.0, 2.0], [1.0], [1.0], [1.0], [1.0]]},
            {"x": datasets.List(datasets.Value("float32"))},
            ("x holds List", "one shape", "pad or cut"),
        ),
        (
            {"x": [{"a": 1}] * 6},
            {"x": {"a": datasets.Value("int32")}},
            ("x holds {'a'", "images, strings, numbers", "column='NAME'"),
        ),
        (
            {"a": [[1.0]] * 6, "b": [[1.0]] * 6},
            {"a": datasets.List(datasets.Value("float32")), "b": datasets.List(datasets.Value("float32"))},
            ("has the columns a, b, label", "one input column", "column='NAME'"),
        ),
        (
            {"x": ["a", None, "b", "c", None, "d"]},
            {"x": datasets.Value("string")},
            ("x has 2 missing values, the first at sample 1", "every sample", "drop these"),
        ),
        (
            {"x": [{"bytes": b"no image", "path": None}] * 6},
            {"x": datasets.Image()},
            ("x of sample 0 cannot be decoded", "an image", "remove"),
        ),
        ({"x": [None] * 6}, {"x": datasets.Image()}, ("x of sample 0 is missing", "an image", "drop this sample")),
    ],
)
def test_bad_features(
    tmp_path: Path, refusal: Refusal, columns: dict[str, object], features: dict[str, object], words: tuple[str, ...]
) -> None:
    make(columns, features).save_to_disk(str(tmp_path / "set"))
    error = refusal(tmp_path / "set", got=words[0], expected=words[1], remedy=words[2])
    assert isinstance(error, DataError)


def test_damaged_folders(tmp_path: Path, refusal: Refusal) -> None:
    data = make({"x": list("uvwuvw")}, {"x": datasets.Value("string")})
    data.save_to_disk(str(tmp_path / "set"))
    arrow = next((tmp_path / "set").glob("*.arrow"))
    whole = arrow.read_bytes()
    words = {"got": "cannot be read as a Hugging Face data set", "expected": "save_to_disk", "remedy": "write it again"}
    for content in (b"", whole[: len(whole) // 2], b"no arrow file"):
        arrow.write_bytes(content)
        refusal(tmp_path / "set", **words)
    arrow.unlink()
    refusal(tmp_path / "set", **words)
    (tmp_path / "set" / "state.json").write_text(json.dumps({}))
    refusal(tmp_path / "set", **words)
    (tmp_path / "set" / "state.json").write_text("{")
    refusal(tmp_path / "set", **words)


def test_without_the_package_the_extra_is_named(
    tmp_path: Path, refusal: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    make({"x": list("uvwuvw")}, {"x": datasets.Value("string")}).save_to_disk(str(tmp_path / "set"))
    monkeypatch.setitem(sys.modules, "datasets", None)
    refusal(tmp_path / "set", got="package datasets is not installed", expected="Hugging Face", remedy="gapkit[hub]")


def test_splits_of_other_names_and_features(tmp_path: Path, refusal: Refusal) -> None:
    data = make({"x": list("uvwuvw")}, {"x": datasets.Value("string")})
    datasets.DatasetDict({"a": data, "b": data}).save_to_disk(str(tmp_path / "names"))
    refusal(tmp_path / "names", got="has the splits a, b", expected="train and test", remedy="rename")
    other = make({"x": [1.5] * 6}, {"x": datasets.Value("float32")})
    datasets.DatasetDict({"train": data, "test": other}).save_to_disk(str(tmp_path / "features"))
    refusal(
        tmp_path / "features", got="splits have different features", expected="same features", remedy="same columns"
    )
