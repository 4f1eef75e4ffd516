"""Captures that are killed at any time go on where they were, and nothing half-written is ever read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import gapkit

WORKER = Path(__file__).with_name("interrupted_worker.py")
N, BATCH, INTERRUPTED, COUNT = 1501, 10, 130, 10

Case = dict[str, Any]


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    """What the worker says; see ``interrupted_worker.py``."""
    folder = tmp_path_factory.mktemp("interrupted")
    run = subprocess.run(
        [sys.executable, str(WORKER), str(folder), str(COUNT)],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(gapkit.__file__).parents[1])},
    )
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


def one(cases: list[Case], name: str, index: int | None = None) -> Case:
    (case,) = (case for case in cases if case["case"] == name and case.get("index") == index)
    return case


def check_kill(case: Case, name: str) -> None:
    """The signal came while the capture was under way, ended it, and left what can be resumed but not read."""
    assert case["begun"]
    assert not case["ended_before"], "the capture had ended before the signal"
    if name == "SIGKILL":
        assert case["killed_by"] == signal.SIGKILL
    else:
        assert case["exit_code"] == INTERRUPTED, "KeyboardInterrupt did not come through"
    assert (case["complete"], case["readable"]) == ([False], [False])
    assert 0 < case["done"][0] < N
    assert case["done"][0] % BATCH == 0


@pytest.mark.parametrize("index", range(COUNT))
@pytest.mark.parametrize("name", ["SIGKILL", "SIGINT"])
def test_killed_capture_goes_on_bit_for_bit(name: str, index: int, cases: list[Case]) -> None:
    case = one(cases, name, index)
    check_kill(case, name)
    assert case["samples"] == N - case["done"][0]
    assert case["bits"] == one(cases, "whole")["bits"]
    assert (case["again"], case["again_samples"]) == (case["bits"], 0)


def test_signals_come_at_different_times(cases: list[Case]) -> None:
    for name in ("SIGKILL", "SIGINT"):
        found = [one(cases, name, index) for index in range(COUNT)]
        assert len({case["delay"] for case in found}) == COUNT
        assert len({case["done"][0] for case in found}) > 1  # how many depends on how busy the machine is


def test_capture_that_is_killed_again_and_again_ends(cases: list[Case]) -> None:
    chain = one(cases, "chain")
    for name, kill in zip(("SIGKILL", "SIGINT", "SIGKILL"), chain["kills"], strict=True):
        check_kill(kill, name)
    done = [kill["done"][0] for kill in chain["kills"]]
    assert done == sorted(set(done))
    assert chain["samples"] == N - done[-1]
    assert chain["bits"] == one(cases, "whole")["bits"]
