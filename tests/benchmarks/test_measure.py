"""What a whole measurement costs beside the forward pass that nobody can save."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gapkit
from gapkit.arrays import Array, generator

WORKER = Path(__file__).with_name("measure_worker.py")
SAMPLES, PAIRS, MINUTES = 5000, 30, 60
SIDE = 96
"""Pixels: fewer tokens than usual, so that a pair takes minutes; the forward pass is shorter, and the bar harder."""
LIMIT = 1.10


def core_seconds(model: str, side: int, *, n: int = SAMPLES, pairs: int = PAIRS, minutes: int = MINUTES) -> Array:
    """Core-seconds (pairs, 2) of the bare loop and of the measurement."""
    done = subprocess.run(
        [sys.executable, str(WORKER), model, *map(str, (side, n, pairs, minutes))],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(gapkit.__file__).parents[1])},
    )
    return np.array(json.loads(done.stdout)["core_seconds"])


def summary(model: str, spent: Array) -> tuple[float, str]:
    """The lower end of the median ratio's interval, and all of it in words."""
    ratios = spent[:, 1] / spent[:, 0]
    index = generator(0).integers(len(ratios), size=(4000, len(ratios)))
    low, high = np.quantile(np.median(ratios[index], axis=1), [0.025, 0.975])
    bare, whole = np.median(spent, axis=0)
    said = (
        f"{model}: measure takes {np.median(ratios):.3f} ({low:.3f} to {high:.3f}) times the bare forward loop, "
        f"{whole:.1f} against {bare:.1f} core-seconds, {len(ratios)} pairs"
    )
    logging.getLogger(__name__).info(said)  # shown by --log-cli-level=INFO
    return float(low), said


@pytest.mark.benchmark
def test_measure_of_a_base_size_transformer_costs_at_most_a_tenth_more() -> None:
    low, said = summary("vit_base", core_seconds("vit_base_patch16_224", SIDE))
    assert low <= LIMIT, said


@pytest.mark.benchmark
def test_measure_of_a_tiny_transformer_is_reported() -> None:
    """No bar: the forward pass is short, and the misalignment takes what it takes."""
    spent = core_seconds("vit_tiny_patch16_224", SIDE)
    low, said = summary("vit_tiny", spent)
    assert low > 1.0, said


def test_the_worker_times_both(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    spent = core_seconds("vit_tiny_patch16_224", 32, n=200, pairs=2, minutes=1)
    assert spent.shape == (2, 2)
    low, said = summary("vit_tiny", spent)
    assert low > 1.0
    assert "2 pairs" in said
