"""The report of a probe: whole where layers, intervals or maps are missing, escaped, always the same."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gapkit.arrays import generator
from gapkit.errors import DataError
from gapkit.estimates import Estimate
from gapkit.reports import plots
from gapkit.reports.html import fragment, page
from gapkit.reports.reuse_charts import REUSE_CHARTS
from gapkit.reports.reuse_text import GROUPS, reasons
from gapkit.reports.text import LINE_WIDTH
from gapkit.results import GapResult, ReuseResult
from gapkit.results.reuse import LayerReuse, Projection

HOSTILE = "<script>alert(1)</script>$x$"
MEASURES = tuple(name for names in GROUPS.values() for name in names)


def estimate(value: float | None) -> Estimate:
    if value is None:
        return Estimate(value=None, interval=None, n=50, status="undefined", reason="nothing <b>varies</b>")
    return Estimate(value=value, interval=(value - 0.1, value + 0.1), n=50)


def walked(
    gap: GapResult, layers: list[str], *, value: float | None = 0.6, matrices: tuple[str, ...] = ("cka",)
) -> ReuseResult:
    """Every measure of every layer, all of one value or all undefined."""
    rows = tuple(LayerReuse(layer=name, measures=dict.fromkeys(MEASURES, estimate(value))) for name in layers)
    points = generator(0).normal(size=(60, 2))
    classes = tuple(f"{HOSTILE}{k % 12}" for k in range(60))
    return ReuseResult(
        before=gap.source,
        after=replace(gap.source, name=f"tuned {layers[0]}"),
        surrogate=gap.target,
        target=gap.target,
        layers=rows,
        on_target=rows[:1],
        model={"knowledge_reuse": estimate(value), "reuse": estimate(value), "criticality": estimate(value)},
        matrices={name: [[value] * len(layers)] * len(layers) for name in matrices},
        notes=(HOSTILE,),
        projection=None if value is None else Projection(before=points, after=points[::-1], classes=classes),
        provenance=gap.provenance,
    )


KINDS = {
    "one layer": (["a"], 0.6, ("cka",)),
    "usual": ([*(f"blocks.{k}" for k in range(12)), "features"], 0.6, ("cka",)),
    "60 layers": ([f"encoder.layer.{k}" for k in range(60)], 0.6, ("cka",)),
    "undefined": (["a", "b"], None, ("cka",)),
    "several matrices": (["a", "b", "c"], 0.6, ("cka", "rsa", "svcca")),
    "hostile": ([HOSTILE, "b"], 0.6, (HOSTILE,)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_table_a_page_and_figures(kind: str, gap: GapResult) -> None:
    layers, value, matrices = KINDS[kind]
    result = walked(gap, layers, value=value, matrices=matrices)
    assert ReuseResult.from_json(result.to_json()) == result
    assert layers[-1] in result.table()
    for text in (page(result), fragment(replace(result, projection=None))):
        assert "<script" not in text
        assert "<b>varies" not in text
        assert "data:image/svg+xml" in text or value is None
    for chart in REUSE_CHARTS:
        figure = chart.draw(result)
        assert (figure is None) == (value is None)
        if figure is not None:
            with Image.open(io.BytesIO(plots.figure_bytes(figure, "png"))) as image:
                assert np.asarray(image.convert("L")).min() < 128
            assert len(chart.describe(result)) > 10


@pytest.mark.parametrize(("n", "numbers", "named"), [(1, 1, 1), (16, 256, 16), (60, 0, 15)])
def test_matrices_of_many_layers_have_no_numbers_and_fewer_names(
    n: int, numbers: int, named: int, gap: GapResult
) -> None:
    figure = walked(gap, [f"encoder.layer.{k}" for k in range(n)]).plot("matrices")
    (axes,) = figure.axes
    assert len(axes.texts) == numbers
    assert len(axes.get_xticks()) == len(axes.get_yticks()) == named
    assert max(figure.get_size_inches()) < 9


def test_every_layer_is_said_only_where_none_is_undefined(gap: GapResult) -> None:
    whole = walked(gap, ["a", "b", "c"], value=0.95)
    assert "more than 80 % is left in every layer." in " ".join(whole.table().split())
    hole = replace(whole.layers[2], measures=whole.layers[2].measures | {"retention": estimate(None)})
    partly = " ".join(replace(whole, layers=(*whole.layers[:2], hole)).table().split())
    assert "more than 80 % is left in a and b." in partly
    assert "every layer" not in partly


def test_reasons_that_are_left_out_are_counted(gap: GapResult) -> None:
    one = walked(gap, ["a"]).layers[0]
    for n, left in ((6, []), (7, ["1 more reason is"]), (9, ["3 more reasons are"])):
        names = ("probe_before", "probe_after", "probe_random", "retention", "cka", "knowledge_reuse", "drift")
        names = (*names, "criticality", "reuse")[:n]
        row = replace(one, measures=one.measures | {name: estimate(None) for name in names})
        assert reasons([row])[6:] == [f"{words} in the report and in the JSON" for words in left]


def test_the_same_result_gives_the_same_files(gap: GapResult, tmp_path: Path) -> None:
    result = walked(gap, ["a", "b"])
    first, second = (result.save(tmp_path / name) for name in ("one", "two"))
    files = sorted(path.relative_to(first) for path in first.rglob("*.*"))
    figures = {f"{chart.name}.svg" for chart in REUSE_CHARTS}
    assert {path.name for path in files} == {"report.html", "result.json", *figures}
    for path in files:
        assert (first / path).read_bytes() == (second / path).read_bytes()


def test_another_kind_of_result_is_refused_by_the_name_of_its_command(gap: GapResult) -> None:
    with pytest.raises(DataError, match="not a reuse result.*expected the JSON of `gapkit probe`.*probe again"):
        ReuseResult.from_json(gap.to_json())


def test_the_printed_table_fits_a_terminal_and_has_two_parts(gap: GapResult) -> None:
    layers, value, matrices = KINDS["usual"]
    said = walked(gap, layers, value=value, matrices=matrices).table()
    assert max(map(len, said.splitlines())) <= LINE_WIDTH
    seen, used = (next(line for line in said.splitlines() if word in line) for word in ("probe before", "causal reuse"))
    assert "retention" in seen
    assert "criticality" in used
    assert "probe" not in used
    alone = replace(walked(gap, layers, value=value, matrices=matrices), target=None, on_target=())
    assert "put back" not in alone.table()
