"""Plain-text tables of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gapkit.results import GapResult, Misalignment

FAMILY_WIDTH = 14
DISCREPANCY_TITLES = {"kl": "KL", "zero_one": "zero-one"}


def gap_table(result: GapResult) -> str:
    """The lines that ``gapkit measure`` prints: source, target, one row per label map, notes."""
    lines = [f"source  {result.source.description}", f"target  {target_line(result)}"]
    discrepancies = list(dict.fromkeys(row.discrepancy for row in result.misalignment))
    for discrepancy in discrepancies:
        title = f"normalised misalignment ({DISCREPANCY_TITLES[discrepancy]})"
        lines += ["", f"  {'label map':<{FAMILY_WIDTH}}{title:<36}{'95 % interval':<17}{'raw value':<12}in sample"]
        lines += [row_line(row) for row in result.misalignment if row.discrepancy == discrepancy]
    lines += ["", "0: the source already holds the target's knowledge; 1: nothing beyond the class prior."]
    lines += [f"note    {note}" for note in result.notes]
    return "\n".join(lines)


def target_line(result: GapResult) -> str:
    """Name, size, classes and embedder of the target in one line."""
    target = result.target
    shape = "x".join(str(size) for size in target.shape[1:])
    return (
        f"{target.name}: {target.n} samples ({target.split}), {target.dtype} {shape}, "
        f"{target.n_classes} classes -> embedder: {target.embedder} ({target.embedder_reason})"
    )


def row_line(row: Misalignment) -> str:
    """One family: value, interval and status."""
    if row.value is None or row.normalised is None:
        return f"  {row.label_map:<{FAMILY_WIDTH}}{row.status}: {row.reason}"
    interval = "" if row.interval is None else f"{row.interval[0]:.2f} - {row.interval[1]:.2f}"
    in_sample = "" if row.in_sample is None else f"{row.in_sample:.3f}"
    status = "" if row.status == "ok" else f"  {row.status}: {row.reason}"
    return (
        f"  {row.label_map:<{FAMILY_WIDTH}}{row.normalised:<36.2f}{interval:<17}{row.value:<12.3f}{in_sample}{status}"
    )


def columns(rows: Sequence[Sequence[str]], *, gap: int = 2) -> str:
    """Rows of cells as left-aligned columns.

    Example:
        >>> print(columns([["name", "n"], ["mnist", "10"]]))
        name   n
        mnist  10
    """
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ["".join(cell.ljust(width + gap) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def megabytes(nbytes: int) -> str:
    """A number of bytes in MB (10^6 bytes).

    Example:
        >>> megabytes(1_550_000)
        '1.6 MB'
    """
    return f"{nbytes / 1e6:.1f} MB"


def inspection_table(inspection: Mapping[str, Any]) -> str:
    """What was understood of a target: one line for each field that has something to say."""
    embedder = inspection["embedder"]
    rows: list[list[str]] = []
    for key, value in inspection.items():
        if key == "embedder" or value in (None, "", [], (), {}):
            continue
        first, *rest = _lines(value)
        rows += [[key.replace("_", " "), first], *(["", line] for line in rest)]
    if embedder["name"] is None:
        rows.append(["embedder", f"none for an image source: {embedder['reason']}"])
    else:
        rows += [["embedder", f"{embedder['name']}: {embedder['reason']}"], ["", embedder["description"]]]
    return columns(rows)


def _lines(value: object, *, most: int = 30) -> list[str]:
    """A value of an inspection as one or more lines."""
    if isinstance(value, Mapping):
        pairs = [f"{key}: {item}" for key, item in value.items()]
        return [*pairs[:most], *([f"... and {len(pairs) - most} more"] if len(pairs) > most else [])]
    if isinstance(value, list | tuple):
        if all(isinstance(item, int | float) for item in value):
            return ["(" + ", ".join(str(item) for item in value) + ")"]
        return [str(item) for item in value]
    return [str(value)]
