"""``gapkit align`` under ``torchrun``: several processes are one run, whatever ends them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.cli.launched import PHASES, Watch, check_same_run, finish, launch, write_inputs

TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
LATE = """
import os, runpy, time
time.sleep(1.5 * (os.environ["RANK"] == "1"))
runpy.run_module("gapkit", run_name="__main__", alter_sys=True)
"""
"""``-m gapkit`` whose second process begins in another second."""
CLOSE = 1e-4
"""Relative difference of weights trained in float32; in float64 see tests/mona/test_processes.py."""
QUICK, LONG = ["--no-measure", "--no-probe"], ["--budget", "600steps", "--quiet"]


@pytest.fixture(scope="module")
def request_(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command without its options."""
    return ["align", *write_inputs(tmp_path_factory.mktemp("inputs")), *QUICK]


def said_by_gapkit(said: str) -> list[str]:
    """The messages of gapkit itself, without those of torchrun."""
    return [line for line in said.splitlines() if line.startswith("gapkit:")]


def test_two_processes_are_one_run_with_the_same_result(request_: list[str], tmp_path: Path) -> None:
    # Adam moves a weight whose gradient is nothing but rounding (the bias of the keys) by its rate all the same.
    rates = ["--embedder-rate", "1e-3", "--encoder-rate", "3e-4", "--head-rate", "1e-3"]
    command, (one, two) = [*request_, "--budget", "20steps", *rates], (tmp_path / "one", tmp_path / "two")
    finish(launch(["-m", "gapkit", *command, "--quiet", "--out", str(one)]))
    printed, said = finish(launch([*TORCHRUN, "-m", "gapkit", *command, "--out", str(two)]))
    assert printed.count("source  ") == printed.count("report  ") == 1
    assert said_by_gapkit(said) == []
    assert {path.relative_to(one) for path in one.rglob("*")} == {path.relative_to(two) for path in two.rglob("*")}
    results = [json.loads((out / "result.json").read_text(encoding="utf-8")) for out in (one, two)]
    for key in ("metric", "validation"):
        values = [result[key].get("estimate", result[key])["value"] for result in results]
        assert values[0] == pytest.approx(values[1], abs=CLOSE)
    other = load_file(two / "tuned.safetensors")
    for name, tensor in load_file(one / "tuned.safetensors").items():
        length = max(float(tensor.double().norm()), 1e-12)
        assert float((tensor.double() - other[name].double()).norm()) / length < CLOSE, name


@pytest.mark.slow
def test_a_late_process_finds_the_folder_of_the_first(request_: list[str], tmp_path: Path) -> None:
    """Also where the folder is named by the second, where it is replaced, and where the run is whole already."""
    script = tmp_path / "late.py"
    script.write_text(LATE, encoding="utf-8")
    command = [*TORCHRUN, str(script), *request_, "--budget", "10steps"]
    place = os.getcwd()
    os.chdir(tmp_path)
    try:
        printed, _ = finish(launch(command))
    finally:
        os.chdir(place)
    (out,) = (tmp_path / "runs").iterdir()
    assert f"runs/{out.name}/report.html" in printed
    written = (out / "result.json").stat().st_mtime_ns
    again, _ = finish(launch([*command, "--out", str(out)]))
    assert again.splitlines()[:-1] == printed.splitlines()[:-1]
    assert (out / "result.json").stat().st_mtime_ns == written
    replaced, _ = finish(launch([*command, "--out", str(out), "--overwrite"]))
    assert replaced.count("report  ") == 1
    assert (out / "result.json").stat().st_mtime_ns > written


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--alpha", "-1"], "alpha -1.0; expected a positive finite number"),
        (["--target", "nothing.npz"], "nothing.npz"),
        (["--batch-size", "7"], "a batch of 7 for 2 processes"),
    ],
)
def test_a_mistake_is_one_message(request_: list[str], options: list[str], expected: str, tmp_path: Path) -> None:
    process = launch([*TORCHRUN, "-m", "gapkit", *request_, *options, "--out", str(tmp_path / "run")])
    printed, said = process.communicate(timeout=60)
    assert process.returncode == 1  # torchrun's own; that of the processes is in what it says
    assert "exitcode  : 2" in said
    (message,) = said_by_gapkit(said)
    assert expected in message
    assert printed == ""


def started_by(process: subprocess.Popen[str]) -> list[int]:
    """The processes that torchrun has started, in the order of their ranks."""
    text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
    return sorted(int(word) for word in text.split())


@pytest.fixture(scope="module")
def undisturbed(request_: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two processes."""
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    finish(launch([*TORCHRUN, "-m", "gapkit", *request_, *LONG, "--out", str(out)]))
    return out


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="who started a process is read from /proc")
@pytest.mark.parametrize(
    ("number", "rank", "expected"),
    [
        (signal.SIGINT, None, "interrupted; the same command goes on"),
        (signal.SIGINT, 1, "interrupted; the same command goes on"),
        (signal.SIGTERM, None, "terminated; the same command goes on"),
        (signal.SIGKILL, 0, "another process of this run has ended"),
        (signal.SIGKILL, 1, "another process of this run has ended"),
    ],
)
def test_what_ends_one_process_ends_all_and_loses_nothing(
    number: int, rank: int | None, expected: str, request_: list[str], undisturbed: Path, tmp_path: Path
) -> None:
    """A signal to torchrun, or to one of its processes, in stage 2."""
    out = tmp_path / "run"
    command = [*TORCHRUN, "-m", "gapkit", *request_, *LONG, "--out", str(out)]
    process, watch = launch(command), Watch(out=out, since=0)
    while process.poll() is None and watch.phase < PHASES.index("fine-tuning"):
        time.sleep(0.02)
    time.sleep(0.3)
    both = started_by(process)
    os.kill(process.pid if rank is None else both[rank], number)
    printed, said = process.communicate(timeout=60)
    assert (process.returncode, printed) == (1, "")
    assert not any(Path(f"/proc/{one}").exists() for one in both)
    messages = said_by_gapkit(said)
    # torchrun may end the other process before it has seen that it is alone.
    assert len(messages) == 1 or (not messages and number != signal.SIGINT)
    assert all(expected in message for message in messages)
    assert "[rank" not in said  # no traceback of ours
    assert not (out / "result.json").exists()
    finish(launch(command))
    check_same_run(out, undisturbed)
