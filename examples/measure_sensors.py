"""Can a vision transformer read a sensor? Measure it, print the table with its reading, and write the report.

    python examples/measure_sensors.py [FOLDER]

The data are made here: three kinds of movement seen by a three-axis sensor, 40 recordings of 12 people.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import gapkit as gk


def make_sensors(people: int = 12, recordings: int = 40, seed: int = 0) -> gk.Target:
    """Walking, running and shaking: sums of waves whose pace differs from person to person."""
    rng = np.random.default_rng(seed)
    kinds = ("walking", "running", "shaking")
    person, kind = np.repeat(np.arange(people), recordings), np.tile(np.arange(recordings) % 3, people)
    time = np.linspace(0, 2, 100)
    pace = np.array([1.8, 2.9, 5.5])[kind] * rng.normal(1.0, 0.08, people)[person]
    phase = rng.uniform(0, 2 * np.pi, (len(kind), 3, 1))
    x = np.sin(2 * np.pi * pace[:, None, None] * time + phase) + 0.5 * rng.normal(size=(len(kind), 3, 100))
    return gk.Target(x, kind, class_names=kinds, name="sensors", groups=person, group_key="person")


def main() -> None:
    """Measure and show."""
    gap = gk.measure(gk.load_source("vit"), make_sensors())
    print(gap.table())
    if len(sys.argv) > 1:
        print("report   ", gap.save(Path(sys.argv[1])) / "report.html")


if __name__ == "__main__":
    main()
