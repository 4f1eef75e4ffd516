"""What OTDD costs beside the transport that nobody can save."""

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

WORKER = Path(__file__).with_name("otdd_worker.py")
SAMPLES, CLASSES, PAIRS = 3000, 10, 15
LIMIT = 1.2


def core_seconds(n: int, width: int, *, pairs: int = PAIRS) -> Array:
    """Core-seconds (pairs, 2) of POT's transport and of OTDD."""
    done = subprocess.run(
        [sys.executable, str(WORKER), *map(str, (n, width, CLASSES, pairs))],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(gapkit.__file__).parents[1])},
    )
    return np.array(json.loads(done.stdout)["core_seconds"])


def summary(spent: Array) -> tuple[float, str]:
    """The lower end of the median ratio's 95 % interval, and all of it in words."""
    ratios = spent[:, 1] / spent[:, 0]
    index = generator(0).integers(len(ratios), size=(4000, len(ratios)))
    low, high = np.quantile(np.median(ratios[index], axis=1), [0.025, 0.975])
    bare, whole = np.median(spent, axis=0)
    said = (
        f"OTDD takes {np.median(ratios):.3f} ({low:.3f} to {high:.3f}) times ot.emd2, "
        f"{whole:.2f} against {bare:.2f} core-seconds, {len(ratios)} pairs"
    )
    logging.getLogger(__name__).info(said)  # shown by --log-cli-level=INFO
    return float(low), said


@pytest.mark.benchmark
@pytest.mark.parametrize("width", [16, 128, 512, 768])
def test_exact_otdd_costs_at_most_a_fifth_more_than_its_transport(width: int) -> None:
    low, said = summary(core_seconds(SAMPLES, width))
    assert low <= LIMIT, said


def test_the_worker_times_both_and_compares_their_values() -> None:
    spent = core_seconds(200, 8, pairs=2)
    assert spent.shape == (2, 2)
    assert (spent > 0).all()
    assert "2 pairs" in summary(spent)[1]
