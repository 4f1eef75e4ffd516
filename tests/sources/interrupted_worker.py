"""Starts captures in forked children, kills them, lets others go on, and prints what came of it as JSON lines.

Run by ``test_interrupt.py`` as a process of its own: ``python interrupted_worker.py FOLDER COUNT``. The children are
forked from a process that has imported torch already, so that each costs its own work only.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from gapkit.arrays import Array, generator, seeded_torch
from gapkit.sources.cache import FeatureCache
from gapkit.sources.capture import CaptureOptions, extract
from gapkit.sources.source import Source
from gapkit.types import InputSpec, Target

N, BATCH, PAUSE = 1501, 10, 0.01
LATEST = 0.4
"""Seconds between the second batch and the latest signal; all batches together take three times as long."""
INTERRUPTED = 130


class Slow(nn.Module):
    """A small model that takes its time where ``pause`` says so, and counts its samples."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.classify = nn.Linear(12, 16), nn.Linear(16, 4)
        self.pause, self.samples, self.started = 0.0, 0, -1

    def forward(self, x: Tensor) -> Tensor:
        time.sleep(self.pause)
        self.samples += len(x)
        if self.samples > 2 * BATCH and self.started >= 0:
            os.write(self.started, b".")
            self.started = -1
        return self.classify(torch.tanh(self.hidden(x)))


class AsTensor:
    """An embedder that hands the samples on."""

    name, description = "as-tensor", "as they are"
    space: Literal["input", "tokens"] = "input"

    def __call__(self, x: Array) -> Tensor:
        return torch.from_numpy(np.array(x, np.float32))


def capture(folder: Path, *, pause: float = 0.0, started: int = -1) -> tuple[str, int]:
    """Capture into the cache at ``folder``; a digest of all bits, and how many samples were run."""
    with seeded_torch(0):
        module = Slow()
    source = Source.from_module(module, input=InputSpec(kind="array", shape=(12,)), device="cpu")
    module.samples, module.pause, module.started = 0, pause, started
    target = Target(generator(0).normal(size=(N, 12)).astype(np.float32), np.arange(N) % 2)
    # Bringing every batch to the disk takes long; only where the kill shall find something is it worth it.
    cache = FeatureCache(folder, checkpoint_seconds=0 if pause else 10)
    found = extract(source, target, AsTensor(), CaptureOptions(layers=("*",), batch_size=BATCH, cache=cache))
    state = hashlib.sha256()
    for name, array in {**found.features, "logits": found.logits}.items():
        state.update(f"{name} {array.shape} {array.dtype}".encode() + array.tobytes())
    return state.hexdigest(), module.samples


def fork(work: Callable[[], None]) -> int:
    """Run ``work`` in a child, which exits with 0, with 130 for an interrupt, with 1 for anything else."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BaseException:  # noqa: BLE001 - a forked child must not come back to its parent's code
        traceback.print_exc()
    os._exit(code)


def in_child(folder: Path) -> tuple[str, int]:
    """``capture`` in a forked child that is left alone."""
    reading, writing = os.pipe()
    child = fork(lambda: void(os.write(writing, json.dumps(capture(folder)).encode())))
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    if status:
        raise RuntimeError(f"the child that was left alone ended with status {status}")
    bits, samples = json.loads(answer)
    return bits, samples


def void(_: object) -> None:
    """Nothing."""


def kill(folder: Path, number: signal.Signals, delay: float) -> dict[str, object]:
    """Send a signal to a capture, ``delay`` seconds after its second batch; how it ended and what it left."""
    reading, writing = os.pipe()
    child = fork(lambda: void(capture(folder, pause=PAUSE, started=writing)))
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        begun = pipe.read(1) == b"."
    time.sleep(delay)
    ended, _ = os.waitpid(child, os.WNOHANG)
    if ended:
        return {"ended_before": True, "begun": begun}
    os.kill(child, number)
    _, status = os.waitpid(child, 0)
    entries = FeatureCache(folder).list()
    return {
        "ended_before": False,
        "begun": begun,
        "killed_by": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
        "exit_code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
        "complete": [entry.complete for entry in entries],
        "done": [entry.done for entry in entries],
        "readable": [FeatureCache(folder).read(entry.key) is not None for entry in entries],
    }


def main(root: Path, count: int) -> None:
    """Every signal at ``count`` seeded times, each in a cache of its own; one cache is interrupted three times."""
    # A process that was started in the background ignores interrupts, and so would its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    whole, _ = in_child(root / "whole")
    say({"case": "whole", "bits": whole})
    for number in (signal.SIGKILL, signal.SIGINT):
        for index in range(count):
            delay = float(generator(index, number).uniform(0, LATEST))
            folder = root / f"{number.name}-{index}"
            killed = kill(folder, number, delay)
            bits, samples = in_child(folder)
            again, none = in_child(folder)
            say(
                {"case": number.name, "index": index, "delay": delay, **killed}
                | {"bits": bits, "samples": samples, "again": again, "again_samples": none}
            )
    chain = [kill(root / "chain", number, 0.1) for number in (signal.SIGKILL, signal.SIGINT, signal.SIGKILL)]
    bits, samples = in_child(root / "chain")
    say({"case": "chain", "kills": chain, "bits": bits, "samples": samples})


def say(content: dict[str, object]) -> None:
    """One line of JSON."""
    sys.stdout.write(json.dumps(content) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), int(sys.argv[2]))
