"""The short example scripts run, without a warning, and print what they promise."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import gapkit as gk

EXAMPLES = Path(__file__).parents[2] / "examples"


def printed(script: str, *arguments: str) -> str:
    """What a script prints, in a process of its own; warnings are errors."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / script), *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_sensors_are_measured_by_person_and_reported(tmp_path: Path) -> None:
    text = printed("measure_sensors.py", str(tmp_path / "run"))
    assert "grouped by person" in text
    found = gk.GapResult.from_json((tmp_path / "run" / "result.json").read_text(encoding="utf-8"))
    assert found.target.n == 480
    assert found.find("linear").interval[1] < found.find("injection").interval[0]


def test_a_model_of_ones_own_is_measured_layer_by_layer() -> None:
    text = printed("own_model.py")
    assert "digits 5 to 9: 896 samples" in text
    first, last = (float(value) for value in re.findall(r"is left with (\d\.\d\d)", text))
    assert last < first < 1
    assert len(set(re.findall(r"([5-9]) as [0-4]", text))) == 5


def test_arrays_are_measured_and_the_known_gap_lies_within_the_bounds() -> None:
    text = printed("own_arrays.py")
    truth = float(re.search(r"true D is (\d\.\d+)", text)[1])
    low, high = (float(end) for end in re.search(r"injection.*between (\S+) and (\S+)", text).groups())
    assert low <= truth <= high
    found, true = re.findall(r"\[[\d, ]+\]", text)
    assert found == true


def test_notebooks_run_and_are_kept_without_outputs(tmp_path: Path) -> None:
    notebooks = sorted((EXAMPLES.parent / "notebooks").glob("*.ipynb"))
    assert notebooks
    command = [sys.executable, "-m", "pytest", "--nbmake", "-p", "no:cacheprovider", *map(str, notebooks)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    for notebook in notebooks:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in cells)
