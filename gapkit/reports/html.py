"""One self-contained HTML file of a result: no scripts, no network, every text escaped."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import jinja2

from gapkit.reports.charts import CHARTS, Chart
from gapkit.reports.plots import figure_bytes
from gapkit.reports.reading import read_gap
from gapkit.reports.tables import Table, map_tables, misalignment_tables, part_tables, provenance_rows, score_tables
from gapkit.reports.text import target_line
from gapkit.results import GapResult

TEMPLATE = "report.html.j2"
SCALE = "0: the source already holds the target's knowledge; 1: nothing beyond the class prior."


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A chart in a page: the picture as a data URI, and what it shows in words."""

    chart: Chart
    uri: str
    alt: str


def gap_page(result: GapResult, drawn: Mapping[str, bytes] | None = None) -> str:
    """The report as the text of one file; the same result gives the same text.

    Args:
        result: what is reported.
        drawn: name of a chart -> its SVG, as ``draw_charts`` gives them; by default they are drawn.
    """
    return _render("page", result, drawn if drawn is not None else draw_charts(result))


def gap_fragment(result: GapResult) -> str:
    """The reading, the first figure and the tables, for a notebook."""
    figure = CHARTS[0].draw(result)
    return _render("fragment", result, {} if figure is None else {CHARTS[0].name: figure_bytes(figure, "svg")})


def draw_charts(result: GapResult) -> dict[str, bytes]:
    """Name -> SVG of every chart that the result has something for."""
    figures = {chart.name: chart.draw(result) for chart in CHARTS}
    return {name: figure_bytes(figure, "svg") for name, figure in figures.items() if figure is not None}


def _render(kind: str, result: GapResult, drawn: Mapping[str, bytes]) -> str:
    """A page or a fragment."""
    return _template().render(
        kind=kind,
        result=result,
        scale=SCALE,
        target_line=target_line(result),
        reading=read_gap(result),
        values=misalignment_tables(result),
        parts=part_tables(result),
        scores=score_tables(result),
        maps=map_tables(result),
        provenance=Table(title="Provenance", head=(), rows=list(provenance_rows(result))),
        charts=[_show(chart, drawn[chart.name], result) for chart in CHARTS if chart.name in drawn],
    )


def _show(chart: Chart, svg: bytes, result: GapResult) -> Shown:
    """A chart with its picture inline."""
    uri = "data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii")
    return Shown(chart=chart, uri=uri, alt=chart.describe(result))


@cache
def _template() -> jinja2.Template:
    """The template, which escapes every text that it is given."""
    loader = jinja2.PackageLoader("gapkit.reports", "")
    return jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).get_template(TEMPLATE)
