"""The same ten digits in four modalities, measured with one source: a table in Markdown.

    python examples/digit_ladder.py DATA

``DATA`` holds ``mnist.npz`` (images), ``tab_optdigits.npz`` (8x8 images as vectors), ``tab_pendigits.npz`` (pen
trajectories) and ``fsdd.npz`` (spoken digits, 8 kHz, with ``speaker``), each with x, y and split.
"""

from __future__ import annotations

import sys
from pathlib import Path

import gapkit as gk

LADDER = {
    "mnist.npz": "test",
    "tab_optdigits.npz": "train",
    "tab_pendigits.npz": "train",
    "fsdd.npz": "train",
}


def cell(row: gk.Misalignment) -> str:
    """A normalised value with its interval."""
    if row.normalised is None or row.interval is None:
        return row.status
    return f"{row.normalised:.2f} ({row.interval[0]:.2f} - {row.interval[1]:.2f})"


def main() -> None:
    """Measure every step of the ladder and write the table."""
    source = gk.load_source("vit")
    lines = ["| target | samples | embedder | injection | channel | linear |", "|---|---|---|---|---|---|"]
    for name, split in LADDER.items():
        options = gk.MeasureOptions(split=split, discrepancies=("kl",))
        gap = gk.measure(source, gk.load_target(Path(sys.argv[1]) / name), options=options)
        embedder = gap.target.embedder.partition(":")[0]
        cells = [cell(row) for row in gap.misalignment]
        lines.append(f"| {name} | {gap.target.n} ({split}) | {embedder} | " + " | ".join(cells) + " |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
