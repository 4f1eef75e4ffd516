"""Tables: columns of labels, groups, splits and features, from .csv and .parquet alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gapkit.data import memory
from gapkit.data.load import ReadOptions, load_target
from gapkit.errors import DataError, OptionError
from gapkit.types import Target

Refusal = Callable[..., Exception]


@pytest.fixture
def frame() -> pd.DataFrame:
    """Six rows with a number, an integer, a category, a boolean, groups, a split and labels."""
    return pd.DataFrame(
        {
            "width": [0.25, 1.5, -2.0, 3.0, 1e-7, 6.0],
            "count": [3, 1, 4, 1, 5, 9],
            "colour": ["red", "blue", "red", "green", "blue", "red"],
            "alive": [True, False, True, True, False, False],
            "patient": ["p", "q", "p", "r", "r", "q"],
            "split": ["train", "train", "test", "train", "test", "train"],
            "label": ["yes", "no", "no", "yes", "yes", "no"],
        }
    )


def write(frame: pd.DataFrame, folder: Path, kind: str) -> Path:
    """The frame as a file of one kind."""
    path = folder / f"table.{kind}"
    if kind == "parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
def test_every_kind_of_column(frame: pd.DataFrame, tmp_path: Path, kind: str) -> None:
    target = load_target(write(frame, tmp_path, kind))
    colours = [[float(colour == one) for one in ("blue", "green", "red")] for colour in frame["colour"]]
    expected = np.column_stack([frame["width"], frame["count"], colours, frame["alive"]]).astype(float)
    assert np.array_equal(target.x, expected)
    assert target.class_names == ("no", "yes")
    assert target.y.tolist() == [1, 0, 0, 1, 1, 0]
    assert (target.group_key, target.groups is not None and target.groups.tolist()) == ("patient", [0, 1, 0, 2, 2, 1])
    assert target.split is not None
    assert target.split.tolist() == [0, 0, 1, 0, 1, 0]
    assert target.notes == ("labels from label", "categorical columns one-hot: colour", "groups from patient: 3 groups")


def content(target: Target) -> list[Any]:
    """All that a target holds, for comparison."""
    return [
        target.hash,
        target.y.tolist(),
        target.class_names,
        target.notes,
        *(None if part is None else part.tolist() for part in (target.groups, target.split)),
    ]


def test_parquet_equals_csv(frame: pd.DataFrame, tmp_path: Path) -> None:
    options = ReadOptions(labels="alive", group="colour")
    csv, parquet = (load_target(write(frame, tmp_path, kind), options) for kind in ("csv", "parquet"))
    assert content(csv) == content(parquet)
    assert csv.class_names == ("False", "True")


@pytest.mark.parametrize("name", ["label", "y", "target", "class", "Label", "Y"])
def test_usual_label_columns(frame: pd.DataFrame, tmp_path: Path, name: str) -> None:
    assert load_target(write(frame.rename(columns={"label": name}), tmp_path, "csv")).class_names == ("no", "yes")


def test_regression_and_several_labels(frame: pd.DataFrame, tmp_path: Path) -> None:
    path = write(frame.assign(ill=[1, 0, 0, 1, 1, 1], old=[0, 0, 1, 1, 0, 1]), tmp_path, "csv")
    quantity = load_target(path, ReadOptions(labels="width", task="regression"))
    assert quantity.y.tolist() == frame["width"].tolist()
    several = load_target(path, ReadOptions(labels="ill, old", column="count"))
    assert (several.task, several.class_names) == ("multilabel", ("ill", "old"))
    assert several.y.tolist() == [[1, 0], [0, 0], [0, 1], [1, 1], [1, 0], [1, 1]]
    assert several.x.tolist() == [[3], [1], [4], [1], [5], [9]]


def test_one_column_of_strings_is_text(frame: pd.DataFrame, tmp_path: Path) -> None:
    target = load_target(write(frame[["colour", "label"]], tmp_path, "csv"))
    assert target.x.tolist() == frame["colour"].tolist()
    assert "text from colour" in target.notes
    chosen = load_target(write(frame, tmp_path, "csv"), ReadOptions(column="colour"))
    assert chosen.hash == target.hash


def test_row_numbers_and_other_groups_are_no_features(frame: pd.DataFrame, tmp_path: Path) -> None:
    frame.assign(session=[1, 2, 3, 4, 5, 6], id=range(1, 7)).to_csv(tmp_path / "table.csv")
    target = load_target(tmp_path / "table.csv")
    assert target.hash == load_target(write(frame, tmp_path, "parquet")).hash
    assert "left out, as they number rows or groups: Unnamed: 0, session, id" in target.notes
    kept = load_target(write(frame.assign(id=[5, 1, 2, 3, 4, 6]), tmp_path, "csv"))
    assert kept.x.shape[1] == target.x.shape[1] + 1


def test_groups_switched_off_stay_out_of_the_features(frame: pd.DataFrame, tmp_path: Path) -> None:
    path = write(frame, tmp_path, "csv")
    target = load_target(path, ReadOptions(group="none"))
    assert target.groups is None
    assert target.hash == load_target(path).hash


def test_other_separators_quotes_and_byte_order_marks(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('\ufefflabel;size;"a;b"\n"x;1";1.5;2\ny;2.5;3\n', encoding="utf-8")
    target = load_target(tmp_path / "a.csv")
    assert target.x.tolist() == [[1.5, 2.0], [2.5, 3.0]]
    assert target.class_names == ("x;1", "y")


def test_categories_keep_their_order_and_the_classes_without_rows(frame: pd.DataFrame, tmp_path: Path) -> None:
    label = pd.Categorical(frame["label"], categories=["yes", "perhaps", "no"])
    target = load_target(write(frame.assign(label=label), tmp_path, "parquet"))
    assert target.class_names == ("yes", "perhaps", "no")
    assert target.y.tolist() == [0, 2, 2, 0, 0, 2]


TABLES: dict[str, tuple[str, tuple[str, str, str]]] = {
    "empty": ("", ("table.csv is empty", "column names", "how it was saved")),
    "header only": ("a,label\n", ("x has shape (0,)", "at least one sample", "how it was saved")),
    "no label column": ("a,b\n1,2\n", ("no column of labels; its columns are a, b", "label, y", "--labels COLUMN")),
    "two label columns": ("a,y,label\n1,2,3\n", ("several columns that may be labels: y, label", "one", "--labels")),
    "only labels": ("label\na\nb\n", ("no feature columns beside label", "at least one column", "the separator")),
    "missing values": (
        "a,b,label\n1,2,u\n,3,v\n4,,u\n,6,\n",
        ("4 missing values, in label (1), a (2), b (1), the first at sample 1", "every cell", "fill the values in"),
    ),
    "infinite": ("a,label\n1,u\ninf,v\n", ("0 NaN and 1 infinite values in 1 samples", "finite", "drop")),
    "ragged": ("a,label\n1,u\n1,2,3,4\n", ("table.csv is no table", "as many values", "check this line")),
    "more values than names": (
        "a,label\n1,2,u\n3,4,v\n",
        ("table.csv is no table (Length of header", "as many values", "name every column"),
    ),
    "same name twice": ("a,b,label\n1,2,u\n1,2,u\n", ("has one class", "two classes", "how y was saved")),
    "open quote": ('a,label\n1,"u\n2,v\n', ("table.csv is no table", "line of column names", "quotes")),
    "categories without end": (
        "a,name,label\n" + "".join(f"{i},name{i},{i % 2}\n" for i in range(101)),
        ("column name has 101 different strings", "at most 100 categories", "column='name'"),
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_bad_tables(name: str, tmp_path: Path, refusal: Refusal) -> None:
    text, (got, expected, remedy) = TABLES[name]
    (tmp_path / "table.csv").write_text(text)
    error = refusal(tmp_path / "table.csv", got=got, expected=expected, remedy=remedy)
    assert isinstance(error, DataError)


def test_not_utf8(tmp_path: Path, refusal: Refusal) -> None:
    (tmp_path / "table.csv").write_bytes("a,label\n1,ü\n2,v\n".encode("latin-1"))
    refusal(tmp_path / "table.csv", got="not UTF-8: byte 0xfc in line 2", expected="UTF-8", remedy="iconv -f latin1")


def test_columns_that_are_not_there(frame: pd.DataFrame, tmp_path: Path, refusal: Refusal) -> None:
    path = write(frame, tmp_path, "csv")
    for option, what in (("labels", "label column"), ("group", "group"), ("column", "column")):
        words = {"got": f"has no {what} 'colou'", "expected": "one of width, count", "remedy": "'colour'"}
        assert isinstance(refusal(path, **words, **{option: "colou"}), OptionError)
    refusal(path, got="label column 'aliv'", expected="one of", remedy="'alive'", labels="label, aliv")


def test_parquet_of_dates_is_refused(frame: pd.DataFrame, tmp_path: Path, refusal: Refusal) -> None:
    path = write(frame.assign(day=pd.Timestamp("2024-01-01")), tmp_path, "parquet")
    refusal(path, got="column day has dtype datetime64", expected="numbers, booleans or strings", remedy="drop it")


def test_damaged_parquet(frame: pd.DataFrame, tmp_path: Path, refusal: Refusal) -> None:
    path = write(frame, tmp_path, "parquet")
    for damaged in (b"", b"hello", path.read_bytes()[:-20], path.read_bytes().replace(b"PAR1", b"PAR9")):
        path.write_bytes(damaged)
        refusal(path, got="table.parquet is no parquet file", expected="to_parquet", remedy="download it again")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_tables_beyond_the_memory(
    frame: pd.DataFrame, tmp_path: Path, refusal: Refusal, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path = write(frame, tmp_path, kind)
    monkeypatch.setattr(memory, "available_memory", lambda: 10)
    refusal(path, got=f"table.{kind} takes", expected="fits into memory", remedy="fewer samples")
