"""The numbers of a result as rows of cells, for HTML."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from gapkit.estimates import Estimate, Misalignment
from gapkit.reports.reading import span
from gapkit.reports.scores import (
    DISTANCE_HEAD,
    DISTANCE_NOTE,
    SCORE_HEAD,
    SCORE_NOTE,
    distance_cells,
    score_cells,
)
from gapkit.reports.text import DISCREPANCY_TITLES, PART_MEANINGS
from gapkit.results import GapResult, Provenance

MOST_LINES = 500


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table.

    Attributes:
        title: what it is.
        head: names of the columns.
        rows: cells; a row with fewer cells ends in one that spans the rest.
        note: what is left out, or how it is read.
    """

    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]
    note: str = field(default="")


def misalignment_tables(result: GapResult) -> list[Table]:
    """One table for each discrepancy."""
    head = ("label map", "normalised", "95 % interval", "p", "raw value", "in sample", "excess")
    names = dict.fromkeys(row.discrepancy for row in result.misalignment)
    return [
        Table(
            title=f"Normalised misalignment ({DISCREPANCY_TITLES[name]})",
            head=head,
            rows=[_row(row) for row in result.misalignment if row.discrepancy == name],
            note="" if all(row.proper for row in result.misalignment if row.discrepancy == name) else NOT_PROPER,
        )
        for name in names
    ]


NOT_PROPER = "Not proper against labels: it rewards a conditional that is sharper than the true one."


def part_tables(result: GapResult) -> list[Table]:
    """The decomposition, R^2, single labels: those that there are."""
    tables: list[Table] = []
    if result.decomposition:
        rows = [(name, *_estimate(part, PART_MEANINGS[name])) for name, part in result.decomposition.items()]
        head = ("part of the injection", "normalised KL", "95 % interval", "what it is")
        tables.append(Table(title="Decomposition", head=head, rows=rows))
    if result.r_squared:
        rows = [(name, *_estimate(found, "")) for name, found in result.r_squared.items()]
        tables.append(Table(title="R\u00b2, held out", head=("label map", "R\u00b2", "95 % interval", ""), rows=rows))
    return [*tables, *label_tables(result)]


def label_tables(result: GapResult) -> list[Table]:
    """Of a multi-label target the labels with the value and p of every family, under the first discrepancy."""
    if not result.per_label:
        return []
    first = result.misalignment[0].discrepancy
    families = [row.label_map for row in result.misalignment if row.discrepancy == first]
    rows: list[tuple[str, ...]] = []
    for label, own in result.per_label.items():
        found = {row.label_map: row for row in own if row.discrepancy == first}
        rows.append((label, *(_short(found.get(family)) for family in families)))
    title = f"Label by label ({DISCREPANCY_TITLES[first]})"
    note = "Normalised misalignment and p of the permutation test."
    return [Table(title=title, head=("label", *families), rows=rows, note=note)]


def score_tables(result: GapResult) -> list[Table]:
    """Transferability scores and distances to the surrogate: those that there are."""
    tables: list[Table] = []
    if result.scores:
        rows = score_cells(result.scores)
        tables.append(Table(title="Transferability scores", head=SCORE_HEAD, rows=rows, note=SCORE_NOTE))
    if result.distances:
        rows = distance_cells(result.distances)
        tables.append(Table(title="Distances to the surrogate", head=DISTANCE_HEAD, rows=rows, note=DISTANCE_NOTE))
    return tables


def map_tables(result: GapResult) -> list[Table]:
    """The lines of every label map, refitted on all samples."""
    tables: list[Table] = []
    for family, lines in result.label_maps.items():
        kept = [line for line in lines if line.get("target") is not None]
        if not kept:
            continue
        keys = [key for key in ("label", "source", "target", "mass", "agreement") if key in kept[0]]
        notes = [_fit(result.label_map_fits.get(family, {}))]
        if len(kept) < len(lines):
            notes.append(f"{len(lines) - len(kept)} source classes are read as no target class.")
        if len(kept) > MOST_LINES:
            notes.append(f"{len(kept) - MOST_LINES} further lines are in result.json.")
        rows = [tuple(_cell(line[key]) for key in keys) for line in kept[:MOST_LINES]]
        tables.append(Table(title=family, head=tuple(keys), rows=rows, note=" ".join(filter(None, notes))))
    return tables


def provenance_rows(made: Provenance) -> list[tuple[str, ...]]:
    """Everything that is needed to get the same numbers again."""
    return [
        ("created", made.created),
        ("seconds", f"{made.seconds:g}"),
        ("seed", str(made.seed)),
        ("data hash", made.data_hash),
        ("weights hash", made.weights_hash),
        *((f"option {name}", json.dumps(value, ensure_ascii=False)) for name, value in made.options.items()),
        *((f"version of {name}", version) for name, version in made.versions.items()),
    ]


def _row(row: Misalignment) -> tuple[str, ...]:
    """The cells of one family."""
    name = row.label_map if row.status == "ok" else f"{row.label_map} ({row.status})"
    if row.value is None or row.normalised is None:
        return name, row.reason
    p = "" if row.null is None or row.null.p is None else f"{row.null.p:.3f}"
    excess = None if row.excess is None else row.excess.value
    return (
        name,
        f"{row.normalised:z.2f}",
        span(row.interval),
        p,
        f"{row.value:z.3f}",
        _three(row.in_sample),
        _three(excess),
    )


def _three(value: float | None) -> str:
    """A number with three decimals, if there is one."""
    return "" if value is None else f"{value:z.3f}"


def _estimate(found: Estimate, meaning: str) -> tuple[str, ...]:
    """The cells of a number."""
    if found.value is None:
        return (f"{found.status}: {found.reason}",)
    return f"{found.value:z.2f}", span(found.interval), meaning


def _short(row: Misalignment | None) -> str:
    """Value and p in one cell."""
    if row is None or row.normalised is None:
        return "-"
    p = "" if row.null is None or row.null.p is None else f" (p {row.null.p:.3f})"
    return f"{row.normalised:z.2f}{p}"


def _cell(value: Any) -> str:
    """A name, or a share."""
    return f"{value:z.2f}" if isinstance(value, float) else str(value)


def _fit(fit: dict[str, Any]) -> str:
    """Temperature, eps and evidence of convergence."""
    told = [f"{key.replace('_', ' ')} {value:.3g}" for key, value in fit.items() if not isinstance(value, bool)]
    if "optimal" in fit:
        told.append("optimum proved" if fit["optimal"] else "best found, optimum not proved")
    return f"{'; '.join(told)}." if told else ""
