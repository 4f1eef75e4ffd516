"""A command that is stopped within generated source, as imports run some, ends with the code of its signal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import gapkit

STOPPED = """
from gapkit import cli
from gapkit.cli import app

def run():
    exec("raise KeyboardInterrupt")

app.run = run
cli.terminations.extend({terminations})
cli.main()
"""


@pytest.mark.parametrize(("terminations", "code"), [("[]", 130), ("[15]", 143)])
def test_an_interrupt_within_generated_source(tmp_path: Path, terminations: str, code: int) -> None:
    (tmp_path / "stopped.py").write_text(STOPPED.format(terminations=terminations), encoding="utf-8")
    environment = {"PYTHONPATH": os.pathsep.join(map(str, (tmp_path, Path(gapkit.__file__).parents[1])))}
    done = subprocess.run([sys.executable, "-m", "stopped"], check=False, capture_output=True, env=environment)
    assert (done.returncode, done.stderr) == (code, b"")
