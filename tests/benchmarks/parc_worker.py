"""Takes PARC once in a process of its own and prints the largest memory of the process, in bytes.

Arguments: n, d, and "classes", "numbers" or "several" for the labels.
"""

from __future__ import annotations

import resource
import sys

import numpy as np

from gapkit.arrays import Array, generator
from gapkit.scores.parc import parc


def labels(kind: str, n: int, rng: np.random.Generator) -> Array:
    """Ten classes, numbers that all differ, or eight labels at once."""
    if kind == "numbers":
        return rng.normal(size=n)
    return rng.integers(2, size=(n, 8)) if kind == "several" else rng.integers(10, size=n)


def main(n: int, d: int, kind: str) -> int:
    """The peak, features and Python included."""
    rng = generator(0)
    parc(rng.normal(size=(n, d)), labels(kind, n, rng), task="regression" if kind == "numbers" else None)
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    print(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))  # noqa: T201
