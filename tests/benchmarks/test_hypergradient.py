"""What a hypergradient costs beside an ordinary training step, in time and at the peak of memory.

An ordinary step is forward, backward and AdamW on the target batch: 3 passes. With equal batches no method that needs
L_target, L_src and one more gradient can take less than 8 passes, 2.67 times that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gapkit.arrays import PerSample

WORKER, PAIRS, FLOOR = "hypergradient_worker.py", 30, 8 / 3
LIMITS = {"one_sided": 3.1, "central": 3.8}
MEMORY_LIMIT, MIB, PROCESSES = 1.05, 1 << 20, 8
CASES = [("vit_tiny", 4), ("bundled", 64)]

RunWorker = Callable[..., Any]
MedianInterval = Callable[[PerSample], tuple[float, float, float]]


@pytest.mark.benchmark
@pytest.mark.parametrize(("model", "batch"), CASES)
def test_the_differences_keep_their_limits_of_time(
    model: str, batch: int, run_worker: RunWorker, median_interval: MedianInterval
) -> None:
    methods = [*LIMITS, "naive"]
    spent = np.array(run_worker(WORKER, "time", model, str(batch), str(PAIRS), *methods))
    over = []
    for column, method in enumerate(methods, start=1):
        middle, low, high = median_interval(spent[:, column] / spent[:, 0])
        said = (
            f"{model}, batch {batch}: {method} takes {middle:.2f} ({low:.2f} to {high:.2f}) times an ordinary step of "
            f"{1e3 * np.median(spent[:, 0]):.0f} core-ms, {PAIRS} pairs; the floor is {FLOOR:.2f}"
        )
        logging.getLogger(__name__).info(said)  # shown by --log-cli-level=INFO
        if low > LIMITS.get(method, np.inf):
            over.append(said)
    assert not over, over


@pytest.mark.benchmark
@pytest.mark.parametrize(("model", "batch"), [("vit_tiny", 16), ("bundled", 64)])
def test_the_differences_take_no_more_memory_than_an_ordinary_step(
    model: str, batch: int, run_worker: RunWorker, median_interval: MedianInterval
) -> None:
    """Processes in turns: where the allocator leaves holes differs between runs of the same step, by some percent."""

    def peak(method: str) -> float:
        return run_worker(WORKER, "memory", model, str(batch), method) / MIB

    methods = ["ordinary", *LIMITS]
    grown = np.array([[peak(method) for method in methods] for _ in range(PROCESSES)])
    over = []
    for column, method in enumerate(methods[1:], start=1):
        middle, low, high = median_interval(grown[:, column] / grown[:, 0])
        said = (
            f"{model}, batch {batch}: {method} takes {middle:.3f} ({low:.3f} to {high:.3f}) times the memory of an "
            f"ordinary step, {np.median(grown[:, column]):.0f} against {np.median(grown[:, 0]):.0f} MiB"
        )
        logging.getLogger(__name__).info(said)
        if low > MEMORY_LIMIT:
            over.append(said)
    logging.getLogger(__name__).info("%s, batch %d: naive takes %.0f MiB", model, batch, peak("naive"))
    assert not over, over


def test_the_worker_times_every_method_and_takes_memory(run_worker: RunWorker) -> None:
    spent = np.array(run_worker(WORKER, "time", "bundled", "4", "2", "central", "naive"))
    assert spent.shape == (2, 3)
    assert (spent > 0).all()
    assert run_worker(WORKER, "memory", "bundled", "4", "central") > 0
