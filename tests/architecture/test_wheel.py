"""What is in the wheel."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_package(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("gapkit-*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("gapkit/")}
    expected = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "gapkit").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == expected
    assert "gapkit/py.typed" in packed
    assert any(name.startswith("gapkit/sources/weights/") and name.endswith(".safetensors") for name in packed)
