"""Times POT's bare transport and a whole OTDD in turns and prints the core-seconds of both as JSON.

Run by ``test_otdd.py`` as a process of its own: ``python otdd_worker.py SAMPLES FEATURES CLASSES PAIRS``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import numpy as np
import ot
from scipy.spatial.distance import cdist

from gapkit.arrays import Array, generator
from gapkit.scores.otdd import otdd

PIVOTS = 10**9
"""Without it POT stops before the optimum."""


def core_seconds(work: Callable[[], float]) -> tuple[float, float]:
    """Processor time, which other processes change least, and what the work returns."""
    start = time.process_time()
    value = work()
    return time.process_time() - start, value


def draw(seed: int, n: int, width: int, n_classes: int) -> tuple[Array, Array]:
    """Gaussian classes of their own means and spreads."""
    rng = generator(seed)
    labels = np.arange(n) % n_classes
    scales = rng.uniform(0.5, 2.0, size=(n_classes, width))
    return rng.normal(size=(n, width)) * scales[labels] + 0.3 * rng.normal(size=(n_classes, width))[labels], labels


def main(n: int, width: int, n_classes: int, pairs: int) -> list[tuple[float, float]]:
    """Core-seconds of ``ot.emd2`` on the finished cost matrix and of ``otdd`` on the features, pair by pair."""
    first, second = draw(0, n, width, n_classes), draw(1, n, width, n_classes)
    found = otdd(*first, *second)
    cost = cdist(first[0], second[0], "sqeuclidean") + found.label_distances[first[1]][:, second[1]]

    def bare() -> float:
        return float(ot.emd2([], [], cost, numItermax=PIVOTS))

    def whole() -> float:
        return otdd(*first, *second).value

    spent: list[tuple[float, float]] = []
    for pair in range(pairs):
        both = [bare, whole] if pair % 2 else [whole, bare]
        took = {work: core_seconds(work) for work in both}
        if abs(took[bare][1] - took[whole][1]) > 1e-8 * abs(took[bare][1]):
            raise RuntimeError("the two values differ")
        spent.append((took[bare][0], took[whole][0]))
    return spent


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"core_seconds": main(*map(int, sys.argv[1:]))}))
