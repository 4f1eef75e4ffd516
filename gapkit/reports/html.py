"""One self-contained HTML file of a result: no scripts, no network, every text escaped."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import jinja2

from gapkit.reports.align_charts import ALIGN_CHARTS
from gapkit.reports.align_reading import read_alignment
from gapkit.reports.align_text import (
    cost_table,
    gap_table_of,
    header_of,
    metric_table,
    moment_note,
    parts_table,
    reuse_tables_of,
    seed_table,
)
from gapkit.reports.charts import CHARTS, Chart
from gapkit.reports.compare_charts import COMPARE_CHARTS
from gapkit.reports.compare_text import compare_tables, read_comparison, retention_table, run_lines
from gapkit.reports.plots import figure_bytes
from gapkit.reports.rank_charts import RANK_CHARTS
from gapkit.reports.rank_text import agreement_table, rank_table_of, value_table
from gapkit.reports.reading import read_gap
from gapkit.reports.reuse_charts import REUSE_CHARTS
from gapkit.reports.reuse_text import NOTE, read_reuse, reuse_tables
from gapkit.reports.tables import (
    Table,
    map_tables,
    misalignment_tables,
    part_tables,
    provenance_rows,
    score_tables,
)
from gapkit.reports.text import SCALE, target_line
from gapkit.results import AlignmentResult, Comparison, GapResult, RankResult, Result, ReuseResult


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How results of one kind are shown.

    Attributes:
        charts: their figures.
        template: of the page.
        content: what the template is given beside the figures.
    """

    charts: tuple[Chart, ...]
    template: str
    content: Callable[[Any], dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A chart in a page: the picture as a data URI, and what it shows in words."""

    chart: Chart
    uri: str
    alt: str


def page(result: Result, drawn: Mapping[str, bytes] | None = None) -> str:
    """The report as the text of one file; the same result gives the same text.

    Args:
        result: what is reported.
        drawn: name of a chart -> its SVG, as ``draw_charts`` gives them; by default they are drawn.
    """
    return _render("page", result, drawn if drawn is not None else draw_charts(result))


def fragment(result: Result) -> str:
    """The first figure and the tables, for a notebook; of a gap its reading too."""
    first = charts_of(result)[0]
    figure = first.draw(result)
    return _render("fragment", result, {} if figure is None else {first.name: figure_bytes(figure, "svg")})


def charts_of(result: Result) -> tuple[Chart, ...]:
    """The figures of this kind of result."""
    return KINDS[result.kind].charts


def draw_charts(result: Result) -> dict[str, bytes]:
    """Name -> SVG of every chart that the result has something for."""
    figures = {chart.name: chart.draw(result) for chart in charts_of(result)}
    return {name: figure_bytes(figure, "svg") for name, figure in figures.items() if figure is not None}


def _render(kind: str, result: Result, drawn: Mapping[str, bytes]) -> str:
    """A page or a fragment."""
    charts = [_show(chart, drawn[chart.name], result) for chart in charts_of(result) if chart.name in drawn]
    own = KINDS[result.kind]
    return _template(own.template).render(kind=kind, result=result, charts=charts, **own.content(result))


def _gap_content(result: GapResult) -> dict[str, Any]:
    """Reading and tables of a gap."""
    ran = ("device, precision", f"{result.source.device}, {result.source.precision}")
    return {
        "target_line": target_line(result.target),
        "scale": SCALE,
        "reading": read_gap(result),
        "values": misalignment_tables(result),
        "parts_of_gap": part_tables(result),
        "scores": score_tables(result),
        "maps": map_tables(result),
        "provenance": _provenance(result, [ran]),
    }


def _rank_content(result: RankResult) -> dict[str, Any]:
    """Tables of a ranking."""
    return {
        "target_line": target_line(result.target),
        "tables": [rank_table_of(result), value_table(result)],
        "details": [agreement_table(result), _provenance(result, [])],
    }


def _reuse_content(result: ReuseResult) -> dict[str, Any]:
    """Reading and tables of a reuse result."""
    return {
        "surrogate_line": target_line(result.surrogate),
        "target_line": "" if result.target is None else target_line(result.target),
        "reading": read_reuse(result),
        "tables": reuse_tables(result),
        "note": NOTE,
        "details": [_provenance(result, [])],
    }


def _align_content(result: AlignmentResult) -> dict[str, Any]:
    """Reading and tables of an alignment."""
    gaps = [gap_table_of(result), parts_table(result)]
    return {
        "header": header_of(result),
        "reading": read_alignment(result),
        "metrics": _filled(metric_table(result), seed_table(result)),
        "gaps": _filled(*gaps),
        "gap_note": f"{moment_note(result)} {SCALE}" if result.gaps else moment_note(result),
        "costs": _filled(*reuse_tables_of(result), cost_table(result)),
        "details": [_provenance(result, [])],
    }


def _compare_content(comparison: Comparison) -> dict[str, Any]:
    """Reading and tables of a comparison."""
    return {
        "header": run_lines(comparison),
        "reading": read_comparison(comparison),
        "tables": compare_tables(comparison),
        "details": [*_filled(retention_table(comparison)), _provenance(comparison, [])],
    }


def _filled(*tables: Table) -> list[Table]:
    """The tables that have rows."""
    return [table for table in tables if table.rows]


def _provenance(result: Result, more: list[tuple[str, str]]) -> Table:
    """Versions, seed, hashes, options and time."""
    rows = provenance_rows(result.provenance)
    return Table(title="Provenance: versions, seed, hashes, options, time", head=(), rows=[*rows, *more])


def _show(chart: Chart, svg: bytes, result: Result) -> Shown:
    """A chart with its picture inline."""
    uri = "data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii")
    return Shown(chart=chart, uri=uri, alt=chart.describe(result))


@cache
def _template(name: str) -> jinja2.Template:
    """A template, which escapes every text that it is given."""
    loader = jinja2.PackageLoader("gapkit.reports", "")
    return jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).get_template(name)


KINDS = {
    GapResult.kind: Kind(charts=CHARTS, template="report.html.j2", content=_gap_content),
    ReuseResult.kind: Kind(charts=REUSE_CHARTS, template="reuse.html.j2", content=_reuse_content),
    RankResult.kind: Kind(charts=RANK_CHARTS, template="rank.html.j2", content=_rank_content),
    AlignmentResult.kind: Kind(charts=ALIGN_CHARTS, template="align.html.j2", content=_align_content),
    Comparison.kind: Kind(charts=COMPARE_CHARTS, template="compare.html.j2", content=_compare_content),
}
