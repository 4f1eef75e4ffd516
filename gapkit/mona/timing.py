"""A time turned into steps: by timing some of each stage, once."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from gapkit.files import write_atomically
from gapkit.mona.learner import Surrogate, learn
from gapkit.mona.lesson import Lesson
from gapkit.mona.team import Team
from gapkit.mona.training_options import ALIGN_SHARE, WARM_SHARE, Steps
from gapkit.sources.source import Source
from gapkit.types import Target

TIMED = 20
"""Steps that are timed."""
BUDGET = "budget.json"
FEWEST = 10


def timed_steps(
    source: Source, target: Target, lesson: Lesson, surrogate: Surrogate, *, seconds: float, folder: Path | None
) -> Steps:
    """Steps that take about ``seconds`` on this machine, dealt out to the stages as ``Steps.of`` does.

    Twenty steps of the method are run and forgotten; the median of each stage's steps counts. What was found is kept in
    the folder and read from there, so that a run that goes on has the same number.

    Args:
        source: that is tuned.
        target: training samples.
        lesson: method and options; its steps are not looked at.
        surrogate: with its embedder.
        seconds: of training, without measurements.
        folder: of the run; None keeps nothing.
    """
    kept = None if folder is None else folder / BUDGET
    if kept is not None and kept.is_file():
        return Steps(**json.loads(kept.read_text(encoding="utf-8")))
    trial = Steps(warm=TIMED // 4, align=TIMED // 4, tune=TIMED // 2)
    found = learn(source, target, replace(lesson, training=replace(lesson.training, steps=trial)), surrogate=surrogate)
    durations: dict[str, list[float]] = {}
    for entry in found.record.history:
        if "loss" in entry:
            durations.setdefault(str(entry["stage"]), []).append(float(entry["seconds"]))
    shares = {"warm-up": WARM_SHARE, "alignment": ALIGN_SHARE, "fine-tuning": 1 - WARM_SHARE - ALIGN_SHARE}
    mean = sum(shares[stage] * float(np.median(own)) for stage, own in durations.items())
    team = Team()
    steps = Steps.of(max(FEWEST, int(team.agree(seconds / mean))))
    if kept is not None and team.first:
        write_atomically(kept, (json.dumps(asdict(steps)) + "\n").encode())
    return steps
