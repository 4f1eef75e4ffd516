"""The commands end to end, in this process, on the bundled source."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gapkit as gk
from gapkit.arrays import seeded_torch
from gapkit.cli.app import run
from tests.cli.launched import HEEDING

REQUEST = ["measure", "--source", "vit", "--target", "sample:digits", "--layers", "blocks.0"]
FAST = ["--max-samples", "300", "--bootstrap", "200", "--quiet"]


def output(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must succeed; returns what it printed on stdout."""
    with pytest.raises(SystemExit) as stop:
        run(arguments)
    printed = capsys.readouterr()
    assert stop.value.code == 0, printed.err
    return printed.out


def measure(out: Path, capsys: pytest.CaptureFixture[str], *options: str, target: str = "sample:digits") -> str:
    """Measure the bundled source on a target."""
    arguments = ["measure", "--source", "vit", "--target", target, "--out", str(out), *FAST, *options]
    return output(arguments, capsys)


def without_times(text: str) -> dict[str, object]:
    """A result as JSON without what differs between two equal runs."""
    content = json.loads(text)
    for key in ("created", "seconds"):
        del content["provenance"][key]
    return content


def test_json_is_the_only_output_and_equals_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = measure(tmp_path / "run", capsys, "--json")
    assert text == (tmp_path / "run" / "result.json").read_text(encoding="utf-8")
    result = gk.GapResult.from_json(text)
    assert [(row.label_map, row.discrepancy) for row in result.misalignment] == [
        (family, discrepancy)
        for discrepancy in ("kl", "zero_one")
        for family in ("injection", "partition", "channel", "linear", "ceiling")
    ]
    assert set(result.decomposition) == {"relabelling", "readout", "nonlinear", "absent_or_noise"}
    for row in result.misalignment:
        assert row.status == "ok"
        assert row.normalised is not None
        assert row.interval is not None
        assert row.interval[0] <= row.normalised <= row.interval[1]
        assert row.null is not None
        assert row.null.p is not None
        assert 0 < row.null.p <= 1
    assert (tmp_path / "run" / "figures" / "misalignment.svg").stat().st_size > 1000


def test_same_seed_same_result_from_the_model_and_from_the_cache(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [measure(tmp_path / str(k), capsys, "--json") for k in range(2)]
    runs.append(measure(tmp_path / "fresh", capsys, "--json", "--no-cache"))
    first, *others = (without_times(text) for text in runs)
    assert all(other == first for other in others)
    assert without_times(measure(tmp_path / "seed", capsys, "--json", "--seed", "1")) != first


def test_table_names_source_target_embedder_and_families(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["measure", "--source", "vit", "--target", "sample:digits", "--out", str(tmp_path / "run")]
    text = output([*arguments, *FAST[:-1]], capsys)
    for words in (
        "source    vit",
        "sample:digits: 300 samples",
        "embedder  resize",
        "injection",
        "channel",
        "linear",
        "report",
    ):
        assert words in text


def test_layers_are_measured_and_a_finished_run_is_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--layers", "all", "--discrepancy", "kl", "--permutations", "0", "--json"]
    text = measure(tmp_path / "run", capsys, *options)
    layers = json.loads(text)["layers"]
    assert list(layers) == [f"blocks.{k}" for k in range(len(layers))]
    assert len(layers) > 1
    assert all([row["label_map"] for row in rows] == ["linear", "ceiling"] for rows in layers.values())
    assert measure(tmp_path / "run", capsys, *options, "--resume") == text
    some = measure(tmp_path / "two", capsys, "--layers", "blocks.0, blocks.[12]", *options[2:])
    assert list(json.loads(some)["layers"]) == ["blocks.0", "blocks.1", "blocks.2"]


def test_groups_are_used_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(2)
    y = np.arange(120) % 3
    np.savez(tmp_path / "d.npz", x=rng.normal(size=(120, 16)) + y[:, None], y=y, subject=np.arange(120) // 6)
    grouped = measure(tmp_path / "a", capsys, "--json", target=str(tmp_path / "d.npz"))
    free = measure(tmp_path / "b", capsys, "--json", "--group", "none", target=str(tmp_path / "d.npz"))
    assert json.loads(grouped)["target"]["groups"] == "subject"
    assert json.loads(free)["target"]["groups"] is None
    assert json.loads(grouped)["misalignment"] != json.loads(free)["misalignment"]


def test_regression_is_binned_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(200, 16))
    np.savez(tmp_path / "d.npz", x=x, y=x[:, 0] + 0.1 * rng.normal(size=200))
    text = measure(tmp_path / "a", capsys, "--json", "--task", "regression", target=str(tmp_path / "d.npz"))
    content = json.loads(text)
    assert content["target"]["n_classes"] == 10
    assert any("quantiles" in note for note in content["notes"])


def test_more_target_than_source_classes_leaves_the_injection_undefined(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from torch import nn

    with seeded_torch(2):
        module = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    source = gk.Source.from_module(module, input=gk.InputSpec(kind="image", shape=(1, 8, 8)))
    options = gk.MeasureOptions(max_samples=300, bootstrap=200, keep_features=False)
    result = gk.measure(source, gk.load_target("sample:digits"), options=options)
    row = result.find("injection")
    assert (row.status, row.value, row.interval) == ("undefined", None, None)
    assert "10" in row.reason
    assert "4" in row.reason
    assert result.find("channel").status == "ok"


def test_inspect_says_what_was_understood(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(
        tmp_path / "d.npz",
        x=np.random.default_rng(2).normal(size=(40, 2000)),
        y=np.repeat(["low", "high"], 20),
        sample_rate=8000,
        speaker=np.arange(40) % 7,
        split=np.arange(40) % 2,
    )
    text = output(["inspect", str(tmp_path / "d.npz")], capsys)
    for words in ("(40, 2000)", "float64", "low: 20", "high: 20", "speaker", "spectrogram", "8000"):
        assert words in text
    content = json.loads(output(["inspect", str(tmp_path / "d.npz"), "--json"], capsys))
    assert content["embedder"]["name"] == "spectrogram"


def test_inspect_keeps_a_picture_of_the_first_samples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = output(["inspect", "sample:digits", "--out", str(tmp_path / "seen"), "--json"], capsys)
    assert json.loads(text) == json.loads((tmp_path / "seen" / "inspection.json").read_text(encoding="utf-8"))
    with Image.open(tmp_path / "seen" / "figures" / "samples.png") as picture:
        grey = np.asarray(picture.convert("L"), dtype=float)
    assert min(grey.shape) > 300
    assert grey.std() > 20
    with pytest.raises(SystemExit) as stop:
        run(["inspect", "sample:digits", "--out", str(tmp_path / "seen")])
    assert stop.value.code == 2
    assert "not empty" in capsys.readouterr().err
    output(["inspect", "sample:digits", "--out", str(tmp_path / "seen"), "--overwrite"], capsys)


def test_inspect_of_text_and_numbers_has_what_there_is_to_see(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "text.npz", x=np.array([f"text {i}" for i in range(10)]), y=np.arange(10) % 2)
    output(["inspect", str(tmp_path / "text.npz"), "--out", str(tmp_path / "a")], capsys)
    assert [path.name for path in sorted((tmp_path / "a").rglob("*"))] == ["figures", "inspection.json"]
    x = np.random.default_rng(2).normal(size=(40, 30))
    np.savez(tmp_path / "numbers.npz", x=x, y=x[:, 0])
    output(["inspect", str(tmp_path / "numbers.npz"), "--task", "regression", "--out", str(tmp_path / "b")], capsys)
    assert (tmp_path / "b" / "figures" / "samples.png").is_file()


def test_sources_lists_the_bundled_one_and_short_names(capsys: pytest.CaptureFixture[str]) -> None:
    text = output(["sources"], capsys)
    assert "bundled" in next(line for line in text.splitlines() if line.startswith("vit "))
    assert "swin-b" in text
    names = [listing["name"] for listing in json.loads(output(["sources", "--json"], capsys))]
    assert {"vit", "swin-b", "roberta"} <= set(names)


def test_cache_shows_and_clears(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    measure(tmp_path / "run", capsys)
    shown = output(["cache"], capsys)
    assert "vit" in shown
    assert "sample:digits" in shown
    assert "freed" in output(["cache", "--clear"], capsys)
    assert "empty" in output(["cache"], capsys)


def test_interrupt_exits_with_130_and_leaves_no_run(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    np.savez(tmp_path / "d.npz", x=rng.normal(size=(60_000, 16)), y=np.arange(60_000) % 3)
    command = [sys.executable, "-c", HEEDING, "measure", "--source", "vit", "--target", str(tmp_path / "d.npz")]
    command += ["--max-samples", "all", "--out", str(tmp_path / "run"), "--batch-size", "50"]
    environment = os.environ | {"GAPKIT_CACHE": str(tmp_path / "cache")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as child:
        while child.poll() is None and not list((tmp_path / "cache").rglob("*.npy")):
            time.sleep(0.05)
        assert child.poll() is None, "the measurement ended before it could be interrupted"
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    assert child.returncode == 130, err
    assert out == ""
    assert "interrupted" in err
    assert "Traceback" not in err
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[float, dict[str, object]]:
    """How long a measurement takes in a process of its own, and its result."""
    folder = tmp_path_factory.mktemp("whole")
    started = time.monotonic()
    command = [sys.executable, "-m", "gapkit", *REQUEST, *FAST, "--out", str(folder / "run")]
    environment = os.environ | {"GAPKIT_CACHE": str(folder / "cache")}
    subprocess.run(command, check=True, env=environment, capture_output=True)
    return time.monotonic() - started, without_times((folder / "run" / "result.json").read_text(encoding="utf-8"))


def check_interrupts(shares: list[float], uninterrupted: tuple[float, dict[str, object]], tmp_path: Path) -> None:
    """Interrupts at these shares of the time that a measurement takes, one after another, then the run is finished."""
    seconds, expected = uninterrupted
    command = [sys.executable, "-c", HEEDING, *REQUEST, *FAST, "--out", str(tmp_path / "run"), "--resume"]
    environment = os.environ | {"GAPKIT_CACHE": str(tmp_path / "cache")}
    for share in shares:
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        ) as child:
            time.sleep(1.0 + share * seconds)  # Python itself has started
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=120)
        # While Python itself starts or ends it dies of the signal, which shells call 130 too.
        code = 130 if child.returncode == -signal.SIGINT else child.returncode
        assert code in (0, 130), err
        assert "Traceback" not in err
        assert out == ""
        written = tmp_path / "run" / "result.json"
        assert code == 130 or written.is_file()
        if written.is_file():  # also where the interrupt came after the last file, or to a run that was whole before
            assert without_times(written.read_text(encoding="utf-8")) == expected
        assert not list(tmp_path.rglob(".result.json*"))
    subprocess.run(command, check=True, env=environment, capture_output=True)
    assert without_times((tmp_path / "run" / "result.json").read_text(encoding="utf-8")) == expected


def test_interrupted_measurements_are_finished_with_the_same_result(
    tmp_path: Path, uninterrupted: tuple[float, dict[str, object]]
) -> None:
    check_interrupts([0.3, 0.6], uninterrupted, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_interrupts_at_any_time_are_survived(
    seed: int, tmp_path: Path, uninterrupted: tuple[float, dict[str, object]]
) -> None:
    check_interrupts(np.random.default_rng(seed).uniform(0, 1, 3).tolist(), uninterrupted, tmp_path)
