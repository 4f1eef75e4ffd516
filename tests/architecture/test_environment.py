"""What ``tests/conftest.py`` promises, tried in a pytest of its own on a small package."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"
PACKAGE = """
import numpy as np
from jaxtyping import Float64

def add(a: Float64[np.ndarray, " n"], b: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    return a + b.sum()
"""
TESTS = """
import os, random, socket
import numpy as np
import pytest
import threadpoolctl
from gapkit.shapes import add

def test_shapes_agree(): add(np.zeros(3), np.zeros(3))
def test_shapes_differ(): add(np.zeros(3), np.zeros(4))
def test_many_calls(): assert all(add(np.zeros(3), np.zeros(3)).shape == (3,) for _ in range(1000))
def test_shapes_differ_again(): add(np.zeros(3), np.zeros(4))
def test_one_thread(): assert all(pool["num_threads"] == 1 for pool in threadpoolctl.threadpool_info())
def test_network_address(): socket.create_connection(("192.0.2.1", 80), timeout=60)
def test_network_name(): socket.create_connection(("example.org", 80), timeout=60)
def test_network_code(): assert socket.socket().connect_ex(("192.0.2.1", 80)) == 0
def test_loopback():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
def test_numpy_global(): np.random.random()
def test_numpy_generator(): np.random.default_rng(0).random()
def test_cache(tmp_path): assert os.environ["GAPKIT_CACHE"].startswith(str(tmp_path))
def test_hub(): assert (os.environ["HF_HUB_OFFLINE"], os.environ["HF_ENDPOINT"]) == ("1", "http://127.0.0.1:9")
@pytest.mark.network
def test_network_allowed(): assert socket.socket.connect.__qualname__ != "_no_network.<locals>.guarded_connect"
"""
FOLDER_CONFTEST = "import numpy\nimport gapkit.shapes\n"  # as those of some folders here: before pytest is configured
DIFFER = {"shapes_differ", "shapes_differ_again"}
ALWAYS = {
    "PASSED": {
        "shapes_agree",
        "many_calls",
        "one_thread",
        "loopback",
        "numpy_generator",
        "cache",
        "hub",
        "network_allowed",
    },
    "FAILED": {"network_address", "network_name", "network_code"},
    "ERROR": {"numpy_global"},
}


@pytest.mark.parametrize(("option", "outcome"), [("--check-shapes", "FAILED"), ("--no-check-shapes", "PASSED")])
def test_the_guards_hold(tmp_path: Path, option: str, outcome: str) -> None:
    files = {"gapkit/__init__.py": "", "gapkit/shapes.py": PACKAGE}
    files |= {"tests/inner/conftest.py": FOLDER_CONFTEST, "tests/inner/test_inner.py": TESTS}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    shutil.copy(CONFTEST, tmp_path / "tests")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    network: x\n", encoding="utf-8")
    said = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/inner", option, "-rA", "-q", "--import-mode=importlib"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    found = dict(re.findall(r"^(?:PASSED|FAILED|ERROR) tests/inner/test_inner\.py::(test_\w+)()", said, re.MULTILINE))
    assert len(found) == sum(len(names) for names in ALWAYS.values()) + len(DIFFER), said
    for status, names in (*ALWAYS.items(), (outcome, DIFFER)):
        for name in names:
            assert f"{status} tests/inner/test_inner.py::test_{name}" in said, said
