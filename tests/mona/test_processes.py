"""Two processes that train one model, and a process that is killed: both end where a single, undisturbed one does."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from gapkit.arrays import generator
from tests.mona.small import LONG, small_run, weights

WORKER = Path(__file__).with_name("training_worker.py")
ROOT = Path(__file__).parents[2]
KILLS, LATEST = 10, 0.3


def environment(**more: str) -> dict[str, str]:
    """That of this process, with the checkout importable."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def in_processes(count: int, method: str, folder: Path) -> dict[str, torch.Tensor]:
    """Weights after 20 steps in float64 of so many processes with one global batch."""
    port = str(free_port())
    started = [
        subprocess.Popen(
            [sys.executable, str(WORKER), "double", method, str(folder), str(count)],
            env=environment(
                RANK=str(rank),
                LOCAL_RANK=str(rank),
                WORLD_SIZE=str(count),
                MASTER_ADDR="127.0.0.1",
                MASTER_PORT=port,
            ),
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    for process in started:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
    told = [json.loads((folder / f"rank-{rank}.json").read_text(encoding="utf-8")) for rank in range(count)]
    assert [one["size"] for one in told] == [count] * count  # there were so many, and they knew of each other
    return load_file(folder / "weights.safetensors")


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("orca", "mmd")]


@pytest.mark.parametrize("method", ["mona", *SLOW])
def test_two_processes_equal_one_with_the_same_global_batch(method: str, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one, two = (in_processes(count, method, tmp_path / name) for count, name in ((1, "one"), (2, "two")))
    for name, tensor in one.items():
        error = float((tensor - two[name]).double().norm()) / max(float(tensor.double().norm()), 1e-12)
        assert error < 1e-5, (name, error)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "options"), [("train", {}), ("lora", {"lora": 2})])
def test_a_run_that_is_killed_at_ten_moments_goes_on_to_the_same_bits(
    kind: str, options: dict[str, int], tmp_path: Path
) -> None:
    whole = weights(small_run("mona", steps=LONG, **options))
    rng, folder = generator(11), tmp_path / "run"
    for number in range(KILLS):
        process = subprocess.Popen([sys.executable, str(WORKER), kind, "mona", str(folder)], env=environment())
        while process.poll() is None and not (folder / f".began-{number}").exists():
            time.sleep(0.01)
        time.sleep(float(rng.uniform(0, LATEST)))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL  # it was not at its end
    subprocess.run([sys.executable, str(WORKER), kind, "mona", str(folder)], env=environment(), check=True)
    ended = load_file(folder / "weights.safetensors")
    assert all(torch.equal(tensor, ended[name]) for name, tensor in whole.items())
    assert not list(folder.glob(".checkpoint*"))  # what a killed write has left is gone, or never was
