"""How much memory a misalignment takes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import gapkit

WORKER = Path(__file__).with_name("misalignment_worker.py")
COPIES, BASE = 12, 40 << 20
"""Copies of p in float64, and what does not grow: permuted labels, resamples, features."""


def peak(n: int, n_source: int) -> int:
    """Bytes above the inputs, in a process of its own."""
    done = subprocess.run(
        [sys.executable, str(WORKER), str(n), str(n_source)],
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
        env=os.environ
        | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(Path(gapkit.__file__).parents[1])},
    )
    return int(done.stdout)


@pytest.mark.benchmark
@pytest.mark.parametrize(("n", "n_source"), [(2500, 352), (10_000, 352), (5000, 1000)])
def test_memory_is_a_few_copies_of_the_source_conditional(n: int, n_source: int) -> None:
    assert peak(n, n_source) <= BASE + COPIES * 8 * n * n_source
