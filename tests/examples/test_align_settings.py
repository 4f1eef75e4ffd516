"""Settings of the alignment are compared on validation samples, and the script goes on where it was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gapkit.arrays import generator

SCRIPT = Path(__file__).parents[2] / "examples" / "align_settings.py"


def compared(data: Path, out: Path, *more: str) -> str:
    """What the script prints."""
    small = ("--samples", "60", "--seeds", "2", "--targets", "rows", "--settings", "mona,no warm-up,warmup")
    command = [sys.executable, str(SCRIPT), str(data), str(out), *small, *more]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_table_is_made_from_what_was_trained(tmp_path: Path) -> None:
    rng = generator(0)
    labels = rng.integers(2, size=80)
    np.savez(tmp_path / "rows.npz", x=rng.normal(size=(80, 6)) + labels[:, None], y=labels, split=np.arange(80) % 2)
    out = tmp_path / "settings"
    first = compared(tmp_path, out)
    files = {path.stem: path.stat().st_mtime_ns for path in (out / "rows-60-2").iterdir()}
    assert set(files) == {"mona", "no_warm-up", "warmup"}
    assert compared(tmp_path, out) == compared(tmp_path, out, "--table") == first
    assert {path.stem: path.stat().st_mtime_ns for path in (out / "rows-60-2").iterdir()} == files
    default, other = (
        np.array(json.loads((out / "rows-60-2" / f"{name}.json").read_text())) for name in ("mona", "warmup")
    )
    assert len(default) == len(other) == 2
    line = next(line for line in first.splitlines() if line.startswith("warmup"))
    assert line.split()[1:3] == [f"{other.mean():.3f}", f"{(default - other).mean():+.3f}"]


def test_a_table_without_files_is_empty(tmp_path: Path) -> None:
    assert compared(tmp_path, tmp_path / "none", "--table").strip() == ""
