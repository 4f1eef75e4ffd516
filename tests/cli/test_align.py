"""``gapkit align`` and ``gapkit compare`` end to end, in this process, on the bundled source."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import load_file

import gapkit as gk
from gapkit.cli.app import run

ALIGN = ["align", "--source", "vit", "--target", "sample:digits", "--max-samples", "40", "--budget", "10steps"]
QUICK = ["--no-measure", "--no-probe"]


def outcome(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    with pytest.raises(SystemExit) as stop:
        run(arguments)
    printed = capsys.readouterr()
    return int(stop.value.code or 0), printed.out, printed.err


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs of two methods."""
    folder = tmp_path_factory.mktemp("runs")
    for method in ("mona", "finetune"):
        with pytest.raises(SystemExit) as stop:
            run([*ALIGN, *QUICK, "--method", method, "--seeds", "0,1", "--quiet", "--out", str(folder / method)])
        assert not stop.value.code
    return folder


def test_run_folder_is_whole_and_read_again(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = runs / "mona"
    names = {item.name for item in out.iterdir()}
    files = {"result.json", "report.html", "history.jsonl", "embedder.safetensors", "tuned.safetensors"}
    files.add("head.safetensors")
    assert names >= files | {"tuned-embedder.safetensors", "seed-0", "seed-1", "figures"}
    before = {item: item.stat().st_mtime_ns for item in out.rglob("*")}
    code, text, said = outcome([*ALIGN, *QUICK, "--seeds", "0,1", "--json", "--out", str(out)], capsys)
    assert code == 0, said
    assert text == (out / "result.json").read_text(encoding="utf-8")
    assert {item: item.stat().st_mtime_ns for item in out.rglob("*")} == before
    result = gk.AlignmentResult.from_json(text)
    assert (result.method, result.seeds, result.budget["steps"]) == ("mona", (0, 1), {"warm": 1, "align": 2, "tune": 7})


def test_other_options_are_refused_and_lose_nothing(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = runs / "mona"
    before = (out / "result.json").read_bytes()
    code, _, said = outcome([*ALIGN, *QUICK, "--seeds", "0", "--out", str(out)], capsys)
    assert code == 2
    assert "holds another run (seeds differ)" in said
    code, _, said = outcome(["measure", "--source", "vit", "--target", "sample:digits", "--out", str(out)], capsys)
    assert code == 2
    assert (out / "result.json").read_bytes() == before


def test_adapters_and_what_saves_memory_are_part_of_what_was_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [*ALIGN, *QUICK, "--method", "finetune", "--lora", "2", "--lora-layers", "*.qkv", "--out", str(tmp_path)]
    given += ["--microbatches", "3", "--recompute"]
    code, text, said = outcome([*given, "--json"], capsys)
    assert code == 0, said
    result = gk.AlignmentResult.from_json(text)
    training = result.provenance.options["training"]
    asked = [training[name] for name in ("lora", "lora_layers", "microbatches", "recompute")]
    assert asked == [2, ["*.qkv"], 3, True]
    assert any("adapters of rank 2 in 7 linear layers" in note for note in result.notes)
    tuned, source = load_file(tmp_path / "tuned.safetensors"), gk.load_source("vit").module.state_dict()
    assert tuned.keys() == source.keys()
    moved = {name for name in source if not name.startswith("head.") and (tuned[name] != source[name]).any()}
    assert moved == {f"blocks.{k}.qkv.weight" for k in range(7)}
    code, _, said = outcome([*given, "--lora", "3"], capsys)
    assert code == 2
    assert "holds another run (training differ" in said


def test_fields_are_aligned_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng, t = np.random.default_rng(0), np.linspace(0, 6, 20)
    level = rng.normal(size=(60, 1, 1))
    np.savez(
        tmp_path / "fields.npz", x=level * np.sin(t)[:, None] * np.cos(t), y=level * np.cos(t[:10, None]) * np.sin(t)
    )
    command = ["align", "--source", "vit", "--target", str(tmp_path / "fields.npz"), "--budget", "10steps"]
    code, text, said = outcome([*command, *QUICK, "--json", "--out", str(tmp_path / "run")], capsys)
    assert code == 0, said
    result = gk.AlignmentResult.from_json(text)
    assert (result.target.task, result.metric.name) == ("dense", "R2")
    with safe_open(tmp_path / "run" / "head.safetensors", "np") as file:
        told = json.loads(file.metadata()["gapkit"])
        assert file.keys()
    assert (told["size"], told["shape"]) == ([10, 20], [10, 20])
    code, _, said = outcome([*command[:-2], "--task", "classification", *QUICK], capsys)
    assert code == 2
    assert "y has shape (60, 10, 20)" in said


def test_runs_are_compared(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [str(runs / "mona"), str(runs / "finetune")]
    code, text, said = outcome(["compare", *folders, "--out", str(tmp_path / "c")], capsys)
    assert code == 0, said
    assert "mona - finetune" in text
    found = gk.Comparison.from_json((tmp_path / "c" / "result.json").read_text(encoding="utf-8"))
    assert [row.folder for row in found.runs] == folders
    page = (tmp_path / "c" / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    code, _, said = outcome(["compare", folders[0], str(tmp_path), "--out", str(tmp_path / "d")], capsys)
    assert code == 2
    assert "holds no finished run" in said


@pytest.mark.slow
def test_an_alignment_can_be_probed_and_its_embedder_measured(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--target", "sample:digits", "--quiet"]
    small = ["--max-samples", "100", "--classes", "5", "--layers", "blocks.6", "--no-projection", "--bootstrap", "100"]
    code, _, said = outcome(
        ["probe", "--before", "vit", "--after", str(runs / "mona"), *given, *small, "--out", str(tmp_path / "p")],
        capsys,
    )
    assert code == 0, said
    probed = gk.ReuseResult.from_json((tmp_path / "p" / "result.json").read_text(encoding="utf-8"))
    assert probed.target is not None
    assert probed.target.embedder.startswith("learned")
    embedder = str(runs / "mona" / "embedder.safetensors")
    code, _, said = outcome(
        ["measure", "--source", "vit", *given, "--embedder", embedder, "--out", str(tmp_path / "m")], capsys
    )
    assert code == 0, said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--budget", "tomorrow"], "budget 'tomorrow'; expected a number of steps or a time"),
        (["--budget", "5steps"], "budget in steps 5; expected at least 10"),
        (["--seeds", "1,1"], "seeds 1,1; expected different ones"),
        (["--max-samples", "0"], "--max-samples 0"),
        (["--microbatches", "0"], "microbatches 0; expected at least 1"),
        (["--microbatches", "2", "--gradient", "naive"], "gradient 'naive' with microbatches 2"),
        (["--lora", "0"], "lora 0; expected at least 1"),
        (["--lora", "2", "--lora-layers", "block.9"], "lora_layers 'block.9' fits no linear layer"),
        (["--lora", "2", "--method", "frozen"], "method 'frozen' with lora 2"),
        (["--freeze", "block.9"], "freeze 'block.9' fits no weight of the encoder"),
        (["--alpha", "-1"], "alpha -1.0; expected a positive finite number"),
        (["--encoder-rate", "-1"], "encoder -1; expected a number that is not negative"),
        (["--source", "vitt"], "did you mean 'vit'"),
        (["--target", "nothing.npz"], "nothing.npz"),
    ],
)
def test_mistakes_are_one_message_and_exit_2(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    code, text, error = outcome([*ALIGN, *QUICK, *options, "--out", str(out)], capsys)
    assert code == 2
    assert said in error
    assert len(error.strip().splitlines()) == 1
    assert text == ""
    assert not (out / "result.json").exists()


def test_a_folder_with_other_files_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.tex").write_text("all of it", encoding="utf-8")
    code, _, said = outcome([*ALIGN, *QUICK, "--out", str(tmp_path)], capsys)
    assert code == 2
    assert "holds thesis.tex, which is no part of an alignment" in said
    assert [item.name for item in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_surrogate_without_pairs_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "few.npz", x=rng.integers(0, 255, (4, 32, 32)).astype(np.uint8), y=np.arange(4))
    given = ["--surrogate", str(tmp_path / "few.npz"), "--out", str(tmp_path / "run")]
    code, _, said = outcome([*ALIGN, *QUICK, *given], capsys)
    assert code == 2
    assert "0 classes with two or more samples" in said
