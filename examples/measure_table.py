"""Measure the bundled source on several targets: a table in Markdown, normalised misalignment (KL) with 95 % intervals.

    python examples/measure_table.py TARGET[:SPLIT] ...

``python examples/measure_table.py mnist.npz:test sensors.csv sample:digits`` gives three rows. SPLIT: train, test, all.
"""

from __future__ import annotations

import sys

import gapkit as gk

SPLITS = ("train", "test", "all")
FAMILIES = ("injection", "partition", "channel", "linear", "ceiling")


def cell(row: gk.Misalignment) -> str:
    """A normalised value with its interval, or why there is none."""
    if row.normalised is None or row.interval is None:
        return row.status
    mark = "" if row.status == "ok" else f" {row.status}"
    return f"{row.normalised:.2f} ({row.interval[0]:.2f} - {row.interval[1]:.2f}){mark}"


def measure_one(source: gk.Source, argument: str) -> str:
    """One row of the table."""
    name, _, split = argument.rpartition(":")
    if not name or split not in SPLITS:
        name, split = argument, "train"
    options = gk.MeasureOptions(split=split, discrepancies=("kl",), scores=("none",))
    gap = gk.measure(source, gk.load_target(name), options=options)
    target = gap.target
    embedder = target.embedder.partition(":")[0]
    first = [target.name, f"{target.n} ({target.split})", str(target.n_classes), target.groups or "-", embedder]
    return "| " + " | ".join(first + [cell(row) for row in gap.misalignment]) + " |"


def main() -> None:
    """Measure every target and write the table."""
    source = gk.load_source("vit")
    titles = ("target", "samples", "classes", "groups", "embedder", *FAMILIES)
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    lines += [measure_one(source, argument) for argument in sys.argv[1:]]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
