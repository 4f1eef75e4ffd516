"""What ``import gapkit`` and ``gapkit --help`` load, and what they cost."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {
    *("torch", "torchvision", "timm", "transformers", "datasets", "matplotlib", "seaborn", "jinja2"),
    *("lightning", "torchmetrics"),
    *("numpy", "scipy", "sklearn", "pandas", "pyarrow", "ot", "PIL"),
}
HELP_SECONDS = 0.4


def python(*arguments: str) -> str:
    """What Python prints on standard output, in a process of its own."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=os.environ | {"PYTHONPATH": "."}, check=True, capture_output=True
    ).stdout.decode()


def loaded(code: str) -> set[str]:
    """The top-level names of the modules that are loaded after ``code`` has run, whatever it prints itself."""
    watch = f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\nprint('\\n' + ' '.join(sys.modules))"
    return {name.split(".")[0] for name in python("-c", watch).splitlines()[-1].split()}


def test_import_gapkit_loads_nothing_heavy() -> None:
    modules = loaded("import gapkit")
    assert "gapkit" in modules
    assert modules & HEAVY == set()


def test_help_loads_nothing_heavy() -> None:
    modules = loaded("sys.argv = ['gapkit', '--help']; from gapkit.cli import main; main()")
    assert "typer" in modules
    assert modules & HEAVY == set()


def test_a_name_loads_what_it_needs() -> None:
    assert "numpy" in loaded("import gapkit; gapkit.Target")
    assert "matplotlib" in loaded("import matplotlib")


def test_every_public_name_is_there_and_documented() -> None:
    code = "import gapkit; print(' '.join(n for n in gapkit.__all__ if not (getattr(gapkit, n).__doc__ or '').strip()))"
    assert python("-c", code).split() == []


@pytest.mark.benchmark
def test_help_takes_little_time() -> None:
    def child_seconds() -> float:
        before = os.times()
        assert "measure" in python("-m", "gapkit", "--help")
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    assert statistics.median(child_seconds() for _ in range(5)) < HELP_SECONDS
