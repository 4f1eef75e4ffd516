"""``gapkit align`` as a process that is killed or interrupted: the same command ends where an undisturbed one does."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from gapkit.arrays import generator
from tests.cli.launched import HEEDING, PHASES, check_same_run, finish, launch, stopped, timed, write_inputs

KILLS = 2
"""In each phase."""


def test_an_interrupt_a_termination_and_a_kill_lose_nothing(tmp_path: Path) -> None:
    given = ["align", *write_inputs(tmp_path), "--budget", "200steps", "--no-measure", "--no-probe", "--quiet"]
    whole, out = tmp_path / "whole", tmp_path / "run"
    times = timed(["-m", "gapkit", *given, "--out", str(whole)], whole)
    command = [*given, "--out", str(out)]
    assert stopped(["-c", HEEDING, *command], out, ("fine-tuning", 0.3), times=times, by=signal.SIGINT) == 130
    assert stopped(["-m", "gapkit", *command], out, ("fine-tuning", 0.6), times=times, by=signal.SIGTERM) == 143
    assert not (out / "result.json").exists()
    assert stopped(["-m", "gapkit", *command], out, ("writing", 0.4), times=times, by=signal.SIGKILL) == -9
    finish(launch(["-m", "gapkit", *command]))
    check_same_run(out, whole)


@pytest.mark.slow
def test_kills_at_ten_moments_lose_nothing(tmp_path: Path) -> None:
    given, rng = ["-m", "gapkit", "align", *write_inputs(tmp_path), "--budget", "500steps", "--quiet"], generator(17)
    whole, out = tmp_path / "whole", tmp_path / "run"
    times = timed([*given, "--out", str(whole)], whole)
    command = [*given, "--out", str(out)]
    for phase in PHASES:
        for share in rng.uniform(0, 0.8, KILLS):
            assert stopped(command, out, (phase, share), times=times, by=signal.SIGKILL) == -signal.SIGKILL
    finish(launch(command))
    check_same_run(out, whole)
