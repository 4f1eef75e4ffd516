"""Results become JSON and back, text, figures and a run folder."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gapkit.errors import DataError, StorageError
from gapkit.reports import folder as run_folder
from gapkit.reports.text import columns, gap_table, inspection_table
from gapkit.results import GapResult, library_versions


def test_json_round_trip_gives_an_equal_result(gap: GapResult) -> None:
    assert GapResult.from_json(gap.to_json()) == gap


def test_json_has_schema_and_kind_first_and_every_measure_its_fields(gap: GapResult) -> None:
    content = json.loads(gap.to_json())
    assert list(content)[:2] == ["schema", "kind"]
    assert (content["schema"], content["kind"]) == (1, "gap")
    for measure in content["misalignment"]:
        assert {"value", "interval", "n", "status", "reason"} <= set(measure)


def test_nan_never_reaches_json(gap: GapResult) -> None:
    bad = replace(gap, misalignment=(replace(gap.misalignment[1], value=math.nan),))
    with pytest.raises(ValueError, match="JSON compliant"):
        bad.to_json()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "null", '{"schema": 1, "kind": "rank"}', '{"schema": 2, "kind": "gap"}']
)
def test_other_json_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="not a gap result"):
        GapResult.from_json(text)


def test_find(gap: GapResult) -> None:
    assert gap.find("linear", "zero_one").value == 0.5
    with pytest.raises(KeyError, match="ceiling"):
        gap.find("ceiling")


def test_table_shows_every_value_and_every_reason(gap: GapResult) -> None:
    table = gap.table()
    assert table == gap_table(gap)
    lines = table.splitlines()
    channel = next(line for line in lines if line.split()[:1] == ["channel"])
    assert channel.split() == ["channel", "0.75", "0.70", "-", "0.80", "1.500", "1.300"]
    assert sum("4 target classes but 3 source classes" in line for line in lines if line.startswith("  ")) == 2
    assert "note      one note" in lines


def test_saved_run_holds_the_same_result_and_readable_figures(gap: GapResult, tmp_path: Path) -> None:
    saved = gap.save(tmp_path / "a" / "run")
    assert GapResult.from_json((saved / "result.json").read_text(encoding="utf-8")) == gap
    svg = (saved / "figures" / "misalignment.svg").read_text(encoding="utf-8")
    assert "<script>" not in svg
    assert sorted(path.name for path in saved.iterdir()) == ["figures", "report.html", "result.json"]


def test_full_disk_is_a_clear_error_and_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "result.json"
    path.write_text("old")

    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match="No space left on device"):
        run_folder.write_atomically(path, b"new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_has_left_is_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "result.json"

    def killed(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        run_folder.write_atomically(path, b"new")
    monkeypatch.undo()
    assert [item.name for item in tmp_path.iterdir()] == [".result.json.part"]
    run_folder.write_atomically(path, b"new")
    assert [item.name for item in tmp_path.iterdir()] == ["result.json"]


def test_check_folder_creates_nothing_and_refuses_what_is_in_use(tmp_path: Path) -> None:
    assert run_folder.check_folder(tmp_path / "new" / "run") == tmp_path / "new" / "run"
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StorageError, match="is not empty"):
        run_folder.check_folder(tmp_path)
    assert run_folder.check_folder(tmp_path, overwrite=True) == tmp_path
    with pytest.raises(StorageError, match=r"notes\.txt is a file"):
        run_folder.check_folder(tmp_path / "notes.txt" / "run")


def test_columns_align_and_do_not_trail() -> None:
    lines = columns([["a", "b", "c"], ["long", "x", ""]]).splitlines()
    assert lines == ["a     b  c", "long  x"]


def test_inspection_table_leaves_out_what_is_empty() -> None:
    embedder = {"name": "fold", "reason": "a vector", "description": "to 4x4"}
    text = inspection_table({"shape": (5, 16), "groups": None, "classes": {"a": 3, "b": 2}, "embedder": embedder})
    assert text.splitlines() == [
        "shape     (5, 16)",
        "classes   a: 3",
        "          b: 2",
        "embedder  fold: a vector",
        "          to 4x4",
    ]


def test_versions_name_python_and_numpy() -> None:
    versions = library_versions()
    assert versions["numpy"] == np.__version__
    assert "python" in versions
