"""The study of all methods goes on where it was, chooses on validation samples, and tells what the run folders hold."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import gapkit as gk
from gapkit.arrays import generator

SCRIPT = Path(__file__).parents[2] / "examples" / "align_study.py"
METHODS = ("mona", "frozen")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import align_study

    return align_study


def study(data: Path, out: Path, *more: str) -> str:
    """What the study prints."""
    small = ("--budget", "10steps", "--seeds", "2", "--targets", "rows", "--methods", ",".join(METHODS))
    command = [sys.executable, str(SCRIPT), str(data), str(out), *small, *more]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_study_is_made_from_run_folders_and_goes_on(tmp_path: Path, script: ModuleType) -> None:
    rng = generator(0)
    labels = rng.integers(2, size=80)
    np.savez(tmp_path / "rows.npz", x=rng.normal(size=(80, 6)) + labels[:, None], y=labels, split=np.arange(80) % 2)
    out = tmp_path / "runs"
    first = study(tmp_path, out)
    files = {path: path.stat().st_mtime_ns for path in out.rglob("result.json")}
    assert len(files) == len(METHODS) * (len(script.SCALES) + 1)
    assert study(tmp_path, out) == study(tmp_path, out, "--table") == first
    assert {path: path.stat().st_mtime_ns for path in out.rglob("result.json")} == files
    for method in METHODS:
        line = next(line for line in first.splitlines() if line.startswith(f"{method} "))
        value, _, _, validation, scale = (float(number) for number in re.findall(r"-?\d\.?\d*", line)[:5])
        chosen = script.read(out / "rows" / method / "chosen")
        assert value == round(chosen.metric.estimate.value, 3)
        assert validation == round(chosen.validation.value, 3)
        trials = {one: script.read(out / "rows" / method / f"trial-{one:g}").validation.value for one in script.SCALES}
        assert trials[scale] == max(trials.values())
        assert chosen.budget["trials"] == len(script.SCALES)
    test = gk.compare(*(script.read(out / "rows" / method / "chosen") for method in METHODS)).paired[0]
    assert f"{test.difference:+.3f} ({test.interval[0]:+.3f} to {test.interval[1]:+.3f})" in first


def test_the_mean_over_targets_has_students_interval(script: ModuleType) -> None:
    # t(0.975, 2) = 4.303; mean 0.02, deviation 0.01.
    text = script.over_targets({"orca": [0.01, 0.02, 0.03], "scratch": [0.5]})
    assert text.splitlines()[1:] == ["orca       +0.020 (-0.005 to +0.045), 3 targets"]
    assert script.over_targets({"scratch": [0.5]}) == ""


def test_a_table_without_runs_is_empty(tmp_path: Path) -> None:
    assert study(tmp_path, tmp_path / "none", "--table").strip() == ""
