"""How much memory PARC takes: it ranks all pairs of samples."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import gapkit

WORKER = Path(__file__).with_name("parc_worker.py")
LIMIT = 1 << 30


@pytest.mark.benchmark
@pytest.mark.parametrize("kind", ["classes", "numbers", "several"])
def test_five_thousand_samples_fit_into_one_gibibyte(kind: str) -> None:
    done = subprocess.run(
        [sys.executable, str(WORKER), "5000", "768", kind],
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
        env=os.environ
        | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(Path(gapkit.__file__).parents[1])},
    )
    assert 200 << 20 < int(done.stdout) < LIMIT  # the pairs alone take 100 MB twice
