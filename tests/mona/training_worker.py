"""Trains the small model as a process of its own: ``training_worker.py train|double|lora METHOD FOLDER [COUNT]``."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from gapkit.mona.team import Team
from gapkit.mona.training_options import Steps
from tests.mona.small import LONG, small_run, weights

PAUSE = 0.05
"""Seconds that a step takes, so that a signal meets the training in one."""


def train(method: str, folder: Path, **options: Any) -> None:
    """Go on with the run in a folder, slowly, and write the weights at its end."""
    folder.mkdir(exist_ok=True)
    began = len(list(folder.glob(".began-*")))

    def progress(task: str, done: int, total: int) -> None:
        (folder / f".began-{began}").touch()
        time.sleep(PAUSE)

    learned = small_run(method, folder=folder, progress=progress, steps=LONG, **options)
    save_file(weights(learned), folder / "weights.safetensors")


def double(method: str, folder: Path) -> None:
    """Twenty steps in float64; the first process writes the weights."""
    learned = small_run(method, steps=Steps(warm=5, align=5, tune=10), precision="fp64")
    team = Team()
    (folder / f"rank-{team.rank}.json").write_text(json.dumps({"size": team.size}), encoding="utf-8")
    if team.first:
        save_file(weights(learned), folder / "weights.safetensors")


def lora(method: str, folder: Path) -> None:
    """The same with adapters."""
    train(method, folder, lora=2)


if __name__ == "__main__":
    {"train": train, "double": double, "lora": lora}[sys.argv[1]](sys.argv[2], Path(sys.argv[3]))
