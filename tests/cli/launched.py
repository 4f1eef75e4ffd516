"""``gapkit align`` as a process of its own: a tiny source and target in files, and what equal runs have in common."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from gapkit.mona.checkpoint import CHECKPOINT
from tests.mona.small import small_source, small_surrogate, small_target

ROOT = Path(__file__).parents[2]
HEEDING = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("gapkit", run_name="__main__", alter_sys=True)
"""
"""``python -m gapkit`` that can be interrupted also where the tests run in the background, which ignores interrupts."""
DIFFERING = ("created", "seconds", "peak_bytes")
"""What two equal runs differ in."""
ENDED = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
PHASES = ("warm-up", "alignment", "fine-tuning", "measuring", "writing")
POLL = 0.01


def write_inputs(folder: Path) -> list[str]:
    """The small source, its surrogate and the small target in files; the options that name them."""
    source, target, surrogate = small_source(), small_target(150), small_surrogate()
    told = {"config": json.dumps(asdict(source.module.config)), "class_names": json.dumps(list("abcdef"))}
    save_file(source.module.state_dict(), folder / "small.safetensors", metadata=told)
    np.savez(folder / "series.npz", x=target.x, y=target.y, split=np.arange(len(target)) % 5 == 0)
    np.savez(folder / "surrogate.npz", x=surrogate.x, y=surrogate.y)
    given = {"source": f"file:{folder / 'small.safetensors'}", "arch": "vit", "batch-size": "8"}
    given |= {name: str(folder / f"{file}.npz") for name, file in (("target", "series"), ("surrogate", "surrogate"))}
    return [word for name, value in given.items() for word in (f"--{name}", value)]


def launch(command: list[str], **more: str) -> subprocess.Popen[str]:
    """Start a command of Python's; what it says is read at its end."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **more}
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, *command], stdout=pipe, stderr=pipe, text=True, env=environment)


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Stdout and stderr of a command that must succeed."""
    out, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return out, said


def without_costs(content: Any) -> Any:
    """JSON without times and memory, at any depth."""
    if isinstance(content, Mapping):
        return {key: without_costs(value) for key, value in content.items() if key not in DIFFERING}
    return [without_costs(item) for item in content] if isinstance(content, list) else content


def outcome_of(out: Path) -> dict[str, Any]:
    """The result and the history in a run folder, without times and memory."""
    lines = (out / "history.jsonl").read_text(encoding="utf-8").splitlines()
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    return without_costs({"result": result, "history": [json.loads(line) for line in lines]})


def check_same_run(out: Path, whole: Path) -> None:
    """Two run folders hold the same files with the same numbers, and the same weights to the last bit."""
    names = [{str(path.relative_to(place)) for path in place.rglob("*")} for place in (out, whole)]
    assert names[0] == names[1]  # nothing half-written is left either
    assert outcome_of(out) == outcome_of(whole)
    for name in sorted(names[0]):
        if name.endswith(CHECKPOINT):  # its header has the times of the history
            one, two = load_file(out / name), load_file(whole / name)
            assert one.keys() == two.keys()
            assert all(torch.equal(tensor, two[key]) for key, tensor in one.items())
        elif name.endswith(".safetensors"):
            assert (out / name).read_bytes() == (whole / name).read_bytes(), name


@dataclass(kw_only=True)
class Watch:
    """Looks at a run folder while a process works in it.

    Attributes:
        out: the run folder.
        since: nanoseconds since the epoch at which the process was started.
    """

    out: Path
    since: int
    _seen: tuple[int, int] = (0, 0)

    @property
    def phase(self) -> int:
        """Position in ``PHASES`` by the files; -1 before there is a folder."""
        history = self.out / "history.jsonl"
        if history.is_file() and history.stat().st_mtime_ns >= self.since:
            return PHASES.index("writing")
        return self._stage() if self.out.is_dir() else -1

    def _stage(self) -> int:
        """The stage that the checkpoint is in; the number of stages after the last one."""
        path = self.out / "seed-0" / CHECKPOINT
        if not path.is_file():
            return 0
        with path.open("rb") as file:
            written = os.fstat(file.fileno()).st_mtime_ns
            if written != self._seen[0]:
                header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
                self._seen = written, json.loads(header["__metadata__"]["gapkit"])["stage"]
        return self._seen[1]


def timed(command: list[str], out: Path) -> list[float]:
    """Run a command to its end; seconds from its start to the beginning of each phase, and to the end."""
    started, watch, times = time.monotonic(), Watch(out=out, since=time.time_ns()), list[float]()
    process = launch(command)
    while process.poll() is None:
        times += [time.monotonic() - started] * (watch.phase + 1 - len(times))
        time.sleep(POLL)
    finish(process)
    assert len(times) == len(PHASES)
    return [*times, time.monotonic() - started]


def stopped(command: list[str], out: Path, moment: tuple[str, float], *, times: list[float], by: int) -> int:
    """Send a signal to a command in the middle of a phase; its exit code.

    Machines are slower and faster by turns: where a process got further than was meant, the folder is put back to what
    it was, and another process is sent the signal sooner.

    Args:
        command: that is started.
        out: its run folder.
        moment: a phase, and how much of it is over.
        times: of an undisturbed run, by ``timed``.
        by: the signal.
    """
    phase, share = PHASES.index(moment[0]), moment[1]
    kept = out.with_name("kept")
    shutil.rmtree(kept, ignore_errors=True)
    if out.is_dir():
        shutil.copytree(out, kept)
    for sooner in (1.0, 0.7, 0.4, 0.1):
        after = sooner * share * (times[phase + 1] - times[phase])
        code, reached = _signalled(command, Watch(out=out, since=time.time_ns()), phase, (sooner * times[0], after), by)
        if code != 0 and reached == phase and not (out / "result.json").is_file():
            return code
        shutil.rmtree(out)
        if kept.is_dir():
            shutil.copytree(kept, out)
    raise AssertionError(f"no signal came in time for {moment}")


def _signalled(
    command: list[str], watch: Watch, phase: int, seconds: tuple[float, float], number: int
) -> tuple[int, int]:
    """A process that is sent a signal after a phase began: its exit code and the phase that it had reached.

    Args:
        command: that is started.
        watch: of its folder.
        phase: that is waited for.
        seconds: that are waited at least, since one that goes on in the phase shows it from its start; and after that.
        number: of the signal.
    """
    started, process = time.monotonic(), launch(command)
    while process.poll() is None and (watch.phase < phase or time.monotonic() - started < seconds[0]):
        time.sleep(POLL)
    time.sleep(seconds[1])
    process.send_signal(number)
    printed, said = process.communicate(timeout=120)
    assert printed == ""
    assert "Traceback" not in said
    if process.returncode != 0 and number in ENDED:
        assert f"gapkit: {ENDED[number]}; the same command goes on where it was" in said
    return process.returncode, watch.phase
