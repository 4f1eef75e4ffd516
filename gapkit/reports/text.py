"""Plain-text tables of results."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from gapkit.estimates import Misalignment
from gapkit.reports.reading import read_gap, span
from gapkit.reports.scores import score_lines
from gapkit.results import GapResult, TargetSummary

if TYPE_CHECKING:
    from gapkit.sources.cache import FeatureCache

HEAD_ARRAYS = ("features", "logits")
"""What every entry of the cache holds beside the layers that were asked for."""
FAMILY_WIDTH = 18
TITLE_WIDTH = 10
SCALE = "0: the source already holds the target's knowledge; 1: nothing beyond the class prior."
LINE_WIDTH = 110
BOUND = "\u00a0"
"""A space at which no line is broken."""
DISCREPANCY_TITLES = {
    "kl": "KL",
    "brier": "Brier",
    "total_variation": "total variation",
    "zero_one": "zero-one",
    "squared_hellinger": "squared Hellinger",
    "jensen_shannon": "Jensen-Shannon",
}
PART_MEANINGS = {
    "relabelling": "injection - channel: the source's labels mean other things",
    "readout": "channel - linear: knowledge in the features, not in the labels",
    "nonlinear": "linear - ceiling: knowledge that a linear head does not read",
    "absent_or_noise": "ceiling: not in the features, or noise in the labels",
}


def gap_table(result: GapResult) -> str:
    """The lines that ``gapkit measure`` prints: source, target, embedder, one row per label map, notes."""
    lines = [*paragraph("source", result.source.description), *paragraph("target", target_line(result.target))]
    lines += paragraph("embedder", f"{result.target.embedder} (chosen for {result.target.embedder_reason})")
    for discrepancy in dict.fromkeys(row.discrepancy for row in result.misalignment):
        lines += ["", heading(discrepancy)]
        lines += [row_line(row) for row in result.misalignment if row.discrepancy == discrepancy]
    lines += part_lines(result)
    lines += ["", SCALE]
    for sentence in read_gap(result):
        lines += bound_paragraph("reading", sentence)
    lines += [*scored, ""] if (scored := score_lines(result)) else []
    for note in result.notes:
        lines += paragraph("note", note)
    return "\n".join(lines)


def paragraph(title: str, text: str) -> list[str]:
    """A title and text beside it, in lines of at most ``LINE_WIDTH`` characters."""
    beside = " " * TITLE_WIDTH
    return textwrap.wrap(
        text, LINE_WIDTH, initial_indent=title.ljust(TITLE_WIDTH), subsequent_indent=beside, break_on_hyphens=False
    )


def bound_paragraph(title: str, text: str) -> list[str]:
    """A paragraph in which intervals and percentages stay on one line."""
    bound = text.replace(" - ", f"{BOUND}-{BOUND}").replace(" %", f"{BOUND}%")
    return [line.replace(BOUND, " ") for line in paragraph(title, bound)]


def target_line(target: TargetSummary) -> str:
    """Name, size, type and classes of the target in one line."""
    split = "" if target.split == "all" else f" ({target.split})"
    shape = "x".join(str(size) for size in target.shape[1:]) or "one value"
    groups = "" if target.groups is None else f", grouped by {target.groups}"
    told = {"regression": "a number for each", "dense": "a field for each"}
    labels = told.get(target.task, f"{target.n_classes} classes")
    return f"{target.name}: {target.n} samples{split}, {target.dtype} {shape}, {labels}{groups}"


def heading(discrepancy: str) -> str:
    """The titles above the rows of one discrepancy."""
    title = f"normalised misalignment ({DISCREPANCY_TITLES[discrepancy]})"
    names = f"{'95 % interval':<16}{'p':<7}{'raw value':<11}{'in sample':<11}excess"
    return f"  {'label map':<{FAMILY_WIDTH}}{title:<44}{names}"


def row_line(row: Misalignment) -> str:
    """One family: value, interval, p of the null, raw value, in-sample value, excess over the ceiling and status."""
    if row.value is None or row.normalised is None:
        return f"  {row.label_map:<{FAMILY_WIDTH}}{row.status}: {row.reason}"
    p = "" if row.null is None or row.null.p is None else f"{row.null.p:.3f}"
    in_sample = "" if row.in_sample is None else f"{row.in_sample:z.3f}"
    excess = "" if row.excess is None or row.excess.value is None else f"{row.excess.value:z.3f}"
    status = "" if row.status == "ok" else f"  {row.status}: {row.reason}"
    numbers = f"{row.normalised:<z44.2f}{span(row.interval):<16}{p:<7}{row.value:<z11.3f}{in_sample:<11}{excess}"
    return f"  {row.label_map:<{FAMILY_WIDTH}}{numbers}{status}".rstrip()


def part_lines(result: GapResult) -> list[str]:
    """The decomposition of the injection's normalised KL, R^2 of a regression target, and single labels."""
    lines: list[str] = []
    if result.decomposition:
        lines += ["", f"  {'part of the injection':<24}{'normalised KL':<16}{'95 % interval':<17}what it is"]
    for name, part in result.decomposition.items():
        if part.value is None:
            lines.append(f"  {name:<24}{part.status}: {part.reason}")
        else:
            lines.append(f"  {name:<24}{part.value:<z16.2f}{span(part.interval):<17}{PART_MEANINGS[name]}")
    if result.r_squared:
        lines += ["", f"  {'label map':<24}{'R^2':<16}95 % interval"]
    for name, found in result.r_squared.items():
        value = found.status if found.value is None else f"{found.value:z.2f}"
        lines.append(f"  {name:<24}{value:<16}{span(found.interval)}".rstrip())
    return lines + label_lines(result)


def label_lines(result: GapResult) -> list[str]:
    """Of a multi-label target one line for each label: the normalised value of every family, first discrepancy."""
    if not result.per_label:
        return []
    first = result.misalignment[0].discrepancy
    families = [row.label_map for row in result.misalignment if row.discrepancy == first]
    table = [[f"label ({DISCREPANCY_TITLES[first]})", *families]]
    for label, rows in result.per_label.items():
        values = {row.label_map: row.normalised for row in rows if row.discrepancy == first}
        table.append([label, *("-" if values[name] is None else f"{values[name]:z.2f}" for name in families)])
    return ["", *(f"  {line}" for line in columns(table).splitlines())]


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


def sources_table(listings: Sequence[Mapping[str, Any]]) -> str:
    """The sources that there are: short name, input, whether it is on this machine, what it is.

    Args:
        listings: the fields of ``gapkit.sources.listing.SourceListing``.
    """
    rows = [["source", "input", "here", "what it is"]]
    for listing in listings:
        here = "bundled" if listing["bundled"] else "cached" if listing["cached"] else "-"
        rows.append([listing["name"], listing["kind"], here, listing["meaning"]])
    forms = "Also timm:NAME, hf:NAME-OR-PATH, file:CHECKPOINT --arch NAME, and from Python any nn.Module."
    return f"{columns(rows)}\n\n{forms}"


def cache_table(cache: FeatureCache) -> str:
    """What the cache holds, newest use first, with its size and its folder."""
    entries = cache.list()
    total = f"{megabytes(cache.size())} of at most {megabytes(cache.max_bytes)} in {cache.directory}"
    if not entries:
        return f"empty: {total}"
    rows = [["source", "target", "samples", "size", "layers", "last used"]]
    for entry in entries:
        samples = str(entry.n) if entry.complete else f"{entry.done} of {entry.n}"
        used = f"{datetime.fromtimestamp(entry.last_used):%Y-%m-%d %H:%M}"
        layers = str(len(entry.layers) - len(HEAD_ARRAYS) or "-")
        rows.append([entry.source, entry.target, samples, megabytes(entry.nbytes), layers, used])
    return f"{columns(rows)}\n\n{total}"


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
        rows.append(["embedder", f"{embedder['name']}: {embedder['reason']}"])
        rows += [["", line] for line in textwrap.wrap(embedder["description"], LINE_WIDTH - TITLE_WIDTH)]
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
