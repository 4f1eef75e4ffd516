"""Run folders: refused before anything is computed, resumed, and never taken for another run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import gapkit as gk
from gapkit.data.options import ReadOptions
from gapkit.errors import OptionError, StorageError
from gapkit.pipeline import run as runs
from gapkit.pipeline.request import RankRequest, Request
from gapkit.pipeline.run import RunFolder, measure_run, rank_run

OPTIONS = gk.MeasureOptions(max_samples=120, bootstrap=100, permutations=0)


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    rng = np.random.default_rng(3)
    y = np.arange(120) % 3
    np.savez(tmp_path / "d.npz", x=rng.normal(size=(120, 16)) + y[:, None], y=y)
    return Request(source="vit", target=str(tmp_path / "d.npz"), device="cpu")


def without_times(result: gk.GapResult) -> gk.GapResult:
    return replace(result, provenance=replace(result.provenance, created="", seconds=0.0))


def test_resumed_run_is_read_and_not_measured_again(
    tmp_path: Path, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = measure_run(request_, OPTIONS, RunFolder(path=tmp_path / "run"))
    before = (tmp_path / "run" / "result.json").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(runs, "measure", None)
        again = measure_run(request_, OPTIONS, RunFolder(path=tmp_path / "run", resume=True))
    assert again == first
    assert (tmp_path / "run" / "result.json").read_bytes() == before


def test_interrupted_run_is_finished_with_the_same_result(tmp_path: Path, request_: Request) -> None:
    whole = measure_run(request_, OPTIONS, RunFolder(path=tmp_path / "whole"))
    (tmp_path / "cut" / "figures").mkdir(parents=True)  # interrupted while figures were written
    resumed = measure_run(request_, OPTIONS, RunFolder(path=tmp_path / "cut", resume=True))
    assert without_times(resumed) == without_times(whole)
    assert (tmp_path / "cut" / "result.json").is_file()


def test_resume_of_nothing_is_a_first_run(tmp_path: Path, request_: Request) -> None:
    result = measure_run(request_, OPTIONS, RunFolder(path=tmp_path / "new", resume=True))
    assert gk.GapResult.from_json((tmp_path / "new" / "result.json").read_text(encoding="utf-8")) == result


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (replace(OPTIONS, seed=1), "seed"),
        (replace(OPTIONS, folds=4), "folds"),
        (replace(OPTIONS, discrepancies=("kl",)), "discrepancies"),
    ],
)
def test_another_run_is_named_and_kept(tmp_path: Path, request_: Request, changed: object, named: str) -> None:
    measure_run(request_, OPTIONS, RunFolder(path=tmp_path / "run"))
    before = (tmp_path / "run" / "result.json").read_bytes()
    with pytest.raises(StorageError, match=rf"holds another run \({named} differ\)"):
        measure_run(request_, changed, RunFolder(path=tmp_path / "run", resume=True))
    with pytest.raises(StorageError, match="holds another run"):
        measure_run(request_, OPTIONS, RunFolder(path=tmp_path / "run"))
    assert (tmp_path / "run" / "result.json").read_bytes() == before


def test_other_samples_are_another_run(tmp_path: Path, request_: Request) -> None:
    measure_run(request_, OPTIONS, RunFolder(path=tmp_path / "run"))
    with np.load(tmp_path / "d.npz") as data:
        np.savez(tmp_path / "d.npz", x=data["x"] + 1, y=data["y"])
    with pytest.raises(StorageError, match="samples differ"):
        measure_run(request_, OPTIONS, RunFolder(path=tmp_path / "run", resume=True))


def test_a_folder_that_is_no_run_is_not_resumed(tmp_path: Path, request_: Request) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("x")
    with pytest.raises(StorageError, match=r"thesis\.tex, which is no part of a run"):
        measure_run(request_, OPTIONS, RunFolder(path=tmp_path / "run", resume=True))
    (tmp_path / "run" / "result.json").write_text(json.dumps({"schema": 9}))
    with pytest.raises(gk.DataError, match="not a gap result"):
        measure_run(request_, OPTIONS, RunFolder(path=tmp_path / "run", resume=True))


def test_contradictions_are_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    request = Request(source="no such source", target="no such file")
    with pytest.raises(OptionError, match="--resume and --overwrite"):
        measure_run(request, OPTIONS, RunFolder(path=tmp_path / "run", resume=True, overwrite=True))
    with pytest.raises(OptionError, match="--resume and --no-cache"):
        measure_run(request, replace(OPTIONS, keep_features=False), RunFolder(path=tmp_path / "run", resume=True))


def test_overwritten_run_is_replaced(tmp_path: Path, request_: Request) -> None:
    measure_run(request_, OPTIONS, RunFolder(path=tmp_path / "run"))
    other = measure_run(request_, replace(OPTIONS, seed=1), RunFolder(path=tmp_path / "run", overwrite=True))
    assert gk.GapResult.from_json((tmp_path / "run" / "result.json").read_text(encoding="utf-8")) == other


RANKED = gk.RankOptions(max_samples=120, permutations=0, scores="lfc")


def surrogate_file(folder: Path) -> str:
    """A labelled set of images beside the target."""
    x = np.random.default_rng(4).integers(0, 256, size=(40, 32, 32), dtype=np.uint8)
    np.savez(folder / "surrogate.npz", x=x, y=np.arange(40) % 2)
    return str(folder / "surrogate.npz")


def with_subjects(folder: Path) -> None:
    """The same samples, now in groups."""
    with np.load(folder / "d.npz") as data:
        np.savez(folder / "d.npz", x=data["x"], y=data["y"], subject=np.arange(120) // 6)


@pytest.mark.parametrize("what", ["surrogate", "groups", "precision"])
@pytest.mark.parametrize("command", ["measure", "rank"])
def test_a_run_of_another_surrogate_other_groups_or_precision_is_refused(
    tmp_path: Path, request_: Request, command: str, what: str
) -> None:
    ranking = RankRequest(sources=("vit",), target=request_.target, device="cpu")
    asked, options, run = (request_, OPTIONS, measure_run) if command == "measure" else (ranking, RANKED, rank_run)
    first = run(asked, options, RunFolder(path=tmp_path / "run"))
    assert run(asked, options, RunFolder(path=tmp_path / "run", resume=True)) == first
    other = asked
    if what == "surrogate":
        other = replace(asked, surrogate=surrogate_file(tmp_path))
    elif what == "precision":
        other = replace(asked, precision="bf16")
    else:
        with_subjects(tmp_path)
    before = (tmp_path / "run" / "result.json").read_bytes()
    with pytest.raises(StorageError, match=rf"holds another run \({what} differ\)"):
        run(other, options, RunFolder(path=tmp_path / "run", resume=True))
    assert (tmp_path / "run" / "result.json").read_bytes() == before
    if what == "groups":  # left out on request, they are those of the first run again: none
        free = replace(asked, reading=ReadOptions(group="none"))
        assert run(free, options, RunFolder(path=tmp_path / "run", resume=True)) == first


def test_a_ranking_of_other_sources_or_samples_is_another_run(tmp_path: Path, request_: Request) -> None:
    asked = RankRequest(sources=("vit",), target=request_.target, device="cpu")
    rank_run(asked, RANKED, RunFolder(path=tmp_path / "run"))
    with pytest.raises(StorageError, match=r"\(sources, precision differ\)"):
        rank_run(replace(asked, sources=("vit", "vit-b16")), RANKED, RunFolder(path=tmp_path / "run", resume=True))
    with np.load(tmp_path / "d.npz") as data:
        np.savez(tmp_path / "d.npz", x=data["x"] + 1, y=data["y"])
    with pytest.raises(StorageError, match="samples differ"):
        rank_run(asked, RANKED, RunFolder(path=tmp_path / "run", resume=True))
