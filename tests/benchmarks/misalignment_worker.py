"""Measures one misalignment in a process of its own and prints its peak memory above the inputs, in bytes.

Arguments: n, K_s.
"""

from __future__ import annotations

import resource
import sys

from gapkit.data.worlds import WorldOptions, make_world
from gapkit.gap import ConditionalInputs, GapOptions, measure_misalignment


def peak() -> int:
    """Largest resident set so far, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def inputs(n: int, n_source: int) -> ConditionalInputs:
    """One world with ten target classes and 192 features."""
    options = WorldOptions(
        relation="channel", n_source=n_source, n_target=10, dimension=32, noise_dimensions=160, separation=4.0, seed=3
    )
    draw = make_world(options).draw(n, seed=1)
    return ConditionalInputs(
        log_probabilities=draw.log_probabilities, features=draw.features, labels=draw.labels, n_classes=10
    )


def main(n: int, n_source: int) -> int:
    """Peak above the inputs; a first small measurement loads what is loaded once."""
    options = GapOptions(ceiling=("channel", "linear", "knn"))
    measure_misalignment(inputs(100, 12), options)
    given = inputs(n, n_source)
    before = peak()
    measure_misalignment(given, options)
    return peak() - before


if __name__ == "__main__":
    print(main(int(sys.argv[1]), int(sys.argv[2])))  # noqa: T201
