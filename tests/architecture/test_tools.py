"""ruff, pyright and import-linter find nothing in the project, and do find what is put there for them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MISSING = "reportMissingParameterType"
PYTHON = (sys.executable, "-m")
LINT_IMPORTS = (str(Path(sysconfig.get_path("scripts")) / "lint-imports"), "--no-cache", "--no-logo")


def run(*command: str, cwd: Path = ROOT, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run a tool and return its exit code and all it said."""
    environment = os.environ | {"PYTHONPATH": str(cwd), "NO_COLOR": "1", "COLUMNS": "200"}
    return subprocess.run(
        command,
        cwd=cwd,
        input=stdin,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the configuration and the modules, to put mistakes into."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(
        ROOT / "gapkit", tmp_path / "gapkit", ignore=lambda folder, names: {n for n in names if n == "__pycache__"}
    )
    return tmp_path


@pytest.mark.parametrize("command", [("check", "--no-cache"), ("format", "--check", "--no-cache")])
def test_ruff_finds_nothing(command: tuple[str, ...]) -> None:
    result = run(*PYTHON, "ruff", *command, ".")
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        ("D103", "gapkit/gap/a.py", "def f() -> None:\n    pass\n"),
        (
            "D417",
            "gapkit/gap/a.py",
            'def f(a: int, b: int) -> None:\n    """Do.\n\n    Args:\n        a: x.\n    """\n',
        ),
        ("E501", "tests/a.py", "x = '" + "a" * 120 + "'\n"),
        ("F401", "examples/a.py", "import os\n"),
        ("I001", "gapkit/a.py", "import sys\nimport os\nprint(os, sys)\n"),
        ("T201", "gapkit/cli/a.py", "print(1)\n"),
        ("S101", "gapkit/a.py", "assert x\n"),
        ("S301", "gapkit/a.py", "import pickle\npickle.loads(b'a')\n"),
        ("BLE001", "gapkit/a.py", "try:\n    f()\nexcept Exception:\n    g()\n"),
        ("NPY002", "tests/a.py", "import numpy as np\nnp.random.seed(0)\n"),
        ("TID251", "tests/a.py", "import torch\ntorch.manual_seed(0)\n"),
        ("TID251", "gapkit/gap/a.py", "from sys import exit\n"),
        ("TID252", "gapkit/gap/a.py", "from . import b\n"),
        ("PLR0913", "gapkit/a.py", "def f(a, b, c, d, e, g, h): ...\n"),
        ("C901", "gapkit/a.py", "def f(a):\n" + "".join(f"    if a == {i}:\n        g()\n" for i in range(8))),
        ("PLR0915", "gapkit/a.py", "def f():\n" + "    g()\n" * 41),
        ("PGH003", "gapkit/a.py", "x = 1  # type: ignore\n"),
        ("PGH004", "gapkit/a.py", "import os  # noqa\n"),
        ("PT011", "tests/a.py", "import pytest\nwith pytest.raises(ValueError):\n    f()\n"),
    ],
)
def test_ruff_reports(rule: str, path: str, text: str) -> None:
    result = run(*PYTHON, "ruff", "check", "--output-format", "concise", "--stdin-filename", path, "-", stdin=text)
    assert result.returncode == 1
    assert f" {rule} " in result.stdout


def test_ruff_lets_shapes_and_commands_be() -> None:
    shapes = '"""Doc."""\n\nfrom jaxtyping import Float\n\nA = Float[object, "n d"]\nB = Float[object, " n"]\n'
    command = '"""Doc."""\n\n\ndef f(a: int, b: int, c: int, d: int, e: int, g: int, h: int) -> None:\n    """Do."""\n'
    for path, text in (("gapkit/gap/a.py", shapes), ("gapkit/cli/a.py", command)):
        result = run(*PYTHON, "ruff", "check", "--stdin-filename", path, "-", stdin=text)
        assert result.returncode == 0, result.stdout


def test_pyright_finds_nothing() -> None:
    result = run(*PYTHON, "pyright", "--pythonpath", sys.executable)
    assert result.returncode == 0, result.stdout


def test_pyright_reports_what_strict_and_standard_ask_for(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    strict = [tmp_path / "gapkit" / name for name in ("errors.py", "gap/a.py", "statistics/a.py", "results/a.py")]
    standard = [tmp_path / "gapkit" / name for name in ("data/a.py", "cli/a.py")]
    for path in (*strict, *standard):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("def f(a) -> int:\n    return 'x'\n\n\ndef _unused() -> None:\n    pass\n", encoding="utf-8")
    said = run(*PYTHON, "pyright", "--outputjson", "--pythonpath", sys.executable, cwd=tmp_path).stdout
    found = {(Path(entry["file"]), entry["rule"]) for entry in json.loads(said)["generalDiagnostics"]}
    everywhere = {(path, rule) for path in (*strict, *standard) for rule in ("reportReturnType", MISSING)}
    assert everywhere <= found
    assert {path for path, rule in found if rule == "reportUnusedFunction"} == set(strict)


def test_imports_go_down_only() -> None:
    result = run(*LINT_IMPORTS)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("contract", "path", "text", "expected"),
    [
        ("layers", "errors.py", "from gapkit import results", "gapkit.errors -> gapkit.results"),
        (
            "layers",
            "statistics/folds.py",
            "from gapkit.gap import conditional",
            "gapkit.statistics.folds -> gapkit.gap",
        ),
        ("layers", "embedders/choice.py", "import gapkit.sources.source", "gapkit.embedders.choice -> gapkit.sources"),
        ("layers", "data/load.py", "from gapkit.embedders import choose", "gapkit.data.load -> gapkit.embedders"),
        ("layers", "sources/source.py", "from gapkit.data import load", "gapkit.sources.source -> gapkit.data.load"),
        ("layers", "results/gap.py", "from gapkit.pipeline import measure", "gapkit.results.gap -> gapkit.pipeline"),
        (
            "layers",
            "pipeline/measure.py",
            "from gapkit.integrations import trainer",
            "gapkit.pipeline.measure -> gapkit.integrations",
        ),
        (
            "layers",
            "integrations/trainer.py",
            "from gapkit.cli import app",
            "gapkit.integrations.trainer -> gapkit.cli",
        ),
        ("layers", "new_part.py", "", "new_part"),
        ("torch", "gap/conditional.py", "from torch import nn", "gapkit.gap.conditional -> torch"),
        ("torch", "types.py", "def f():\n    import torch", "gapkit.types -> torch"),
        ("timm", "sources/source.py", "import timm.models", "gapkit.sources.source -> timm"),
        ("transformers", "embedders/choice.py", "import transformers", "gapkit.embedders.choice -> transformers"),
        ("drawing", "pipeline/measure.py", "from matplotlib import pyplot", "gapkit.pipeline.measure -> matplotlib"),
        ("trainers", "integrations/metrics.py", "import torchmetrics", "gapkit.integrations.metrics -> torchmetrics"),
        ("terminal", "pipeline/measure.py", "import rich", "gapkit.pipeline.measure -> rich"),
    ],
)
def test_an_import_that_is_not_allowed_is_reported(
    tree: Path, contract: str, path: str, text: str, expected: str
) -> None:
    with (tree / "gapkit" / path).open("a", encoding="utf-8") as file:
        file.write(f"\n{text}\n")
    result = run(*LINT_IMPORTS, "--contract", contract, cwd=tree)
    assert result.returncode == 1
    assert expected in result.stdout


def test_an_import_for_annotations_alone_is_allowed(tree: Path) -> None:
    with (tree / "gapkit" / "errors.py").open("a", encoding="utf-8") as file:
        file.write("\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\n    import gapkit.types\n")
    assert run(*LINT_IMPORTS, cwd=tree).returncode == 0
