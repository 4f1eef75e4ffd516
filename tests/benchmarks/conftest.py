"""What benchmarks share: workers in processes of their own, and the median of ratios with its interval."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gapkit
from gapkit.arrays import PerSample, generator

Interval = tuple[float, float, float]


@pytest.fixture(scope="session")
def run_worker() -> Callable[..., Any]:
    """What a worker beside this file prints; on one thread, in a process without other memory and shape checks."""

    def run(name: str, *arguments: str) -> Any:
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name(name)), *arguments],
            capture_output=True,
            text=True,
            timeout=1200,
            check=True,
            env=os.environ | threads | {"PYTHONPATH": str(Path(gapkit.__file__).parents[1])},
        )
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="session")
def median_interval() -> Callable[[PerSample], Interval]:
    """The median and its 95 % interval (percentiles of 4000 resamples)."""

    def interval(ratios: PerSample) -> Interval:
        index = generator(0).integers(len(ratios), size=(4000, len(ratios)))
        low, high = np.quantile(np.median(ratios[index], axis=1), [0.025, 0.975])
        return float(np.median(ratios)), float(low), float(high)

    return interval
