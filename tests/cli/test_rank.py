"""``gapkit rank`` end to end, in this process, on the bundled source."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import gapkit as gk
from gapkit.cli.app import run

RANK = ["rank", "--sources", "vit", "--target", "sample:digits", "--max-samples", "200", "--permutations", "0"]


def outcome(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    with pytest.raises(SystemExit) as stop:
        run(arguments)
    printed = capsys.readouterr()
    return int(stop.value.code or 0), printed.out, printed.err


def test_layers_are_ranked_and_the_run_folder_is_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    code, text, said = outcome([*RANK, "--layers", "blocks.0,blocks.6", "--json", "--out", str(out)], capsys)
    assert code == 0, said
    assert text == (out / "result.json").read_text(encoding="utf-8")
    assert json.loads(text)["kind"] == "rank"
    result = gk.RankResult.from_json(text)
    assert {row.layer for row in result.rows} == {"blocks.0", "blocks.6", "features"}
    assert {path.name for path in (out / "figures").iterdir()} == {"ranks.svg", "values.svg", "agreement.svg"}
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "blocks.6" in page
    # Whole already: read, not computed; another run is refused.
    code, again, said = outcome(
        [*RANK, "--layers", "blocks.0,blocks.6", "--json", "--out", str(out), "--resume"], capsys
    )
    assert (code, again) == (0, text), said
    code, _, said = outcome([*RANK, "--layers", "blocks.1", "--out", str(out), "--resume"], capsys)
    assert code == 2
    assert "holds another run (layers differ)" in said


def test_table_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text, said = outcome([*RANK, "--scores", "logme,leep", "--out", str(tmp_path / "run")], capsys)
    assert code == 0, said
    assert "rank by" in text
    assert text.splitlines()[-1] == f"report    {tmp_path / 'run' / 'report.html'}"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--sources", ","], "no sources; expected at least one"),
        (["--sources", "vitt"], "did you mean 'vit'"),
        (["--sources", "vit,vit"], "vit twice among the sources; expected each once"),
        (["--scores", "logmee"], "did you mean 'logme'"),
        (["--scores", "mmd2"], "expected scores that sources can be ranked by"),
        (["--scores", "none"], "expected scores that sources can be ranked by"),
        (["--layers", "blocks.77"], "blocks.77"),
        (["--permutations", "-1"], "permutations -1; expected at least 0"),
        (["--max-samples", "0"], "--max-samples 0"),
        (["--resume", "--no-cache"], "--resume and --no-cache"),
        (["--resume", "--overwrite"], "--resume and --overwrite"),
        (["--target", "nothing.npz"], "nothing.npz"),
    ],
)
def test_mistakes_are_one_message_and_exit_2(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text, error = outcome([*RANK, *options, "--out", str(tmp_path / "run")], capsys)
    assert (code, text) == (2, "")
    assert said in error
    assert "Traceback" not in error
    assert not (tmp_path / "run").exists()
