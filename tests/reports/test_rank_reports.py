"""The report of a ranking: whole where rows, scores or intervals are missing, escaped, always the same."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gapkit.errors import DataError, OptionError
from gapkit.estimates import ScoreRow
from gapkit.reports import plots
from gapkit.reports.html import fragment, page
from gapkit.reports.rank_charts import RANK_CHARTS
from gapkit.results import GapResult, RankResult
from gapkit.results.rank import Agreement, Rank, RankRow

HOSTILE = "<script>alert(1)</script>$x$"


def score(name: str, value: float | None, *, reason: str = "") -> ScoreRow:
    low = None if value is None else (value - 0.1, value + 0.1)
    status = "ok" if value is not None else "undefined"
    return ScoreRow(
        name=name, title=name.upper(), value=value, interval=low, n=50, direction="higher", status=status, reason=reason
    )


def ranking(gap: GapResult, names: list[str], scores: list[str], *, holes: bool = False) -> RankResult:
    """Rows in the order of the names; a hole is a score that is undefined."""
    rows = []
    for k, name in enumerate(names):
        own = {one: score(one, None if holes and k == 0 else -float(k), reason="no head") for one in scores}
        known = {
            one: Rank(value=k + 1.0, interval=None if k % 2 else (1.0, k + 2.0))
            for one, row in own.items()
            if row.value is not None
        }
        rows.append(RankRow(source=name, layer="features", scores=own, rank=known))
    pairs = tuple(
        Agreement(a=a, b=b, tau=1.0, interval=(0.5, 1.0), n=len(names))
        for i, a in enumerate(scores)
        for b in scores[i + 1 :]
    )
    return RankResult(
        target=gap.target,
        sources=tuple(replace(gap.source, name=name) for name in names),
        embedders=dict.fromkeys(names, "resize"),
        rows=tuple(rows),
        agreement=pairs,
        provenance=gap.provenance,
    )


KINDS = {
    "usual": (["a", "b", "c"], ["x", "y"], False),
    "one source": (["a"], ["x"], False),
    "holes": (["a", "b"], ["x", "y"], True),
    "many": ([f"source{k}" for k in range(50)], [f"s{k}" for k in range(13)], False),
    "hostile": ([HOSTILE, "b"], ["x", "y"], False),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_table_a_page_and_figures(kind: str, gap: GapResult) -> None:
    names, scores, holes = KINDS[kind]
    result = ranking(gap, names, scores, holes=holes)
    assert RankResult.from_json(result.to_json()) == result
    assert names[-1] in result.table()
    for text in (page(result), fragment(result)):
        assert "<script" not in text
        assert "SOURCE" not in text.upper() or "data:image/svg+xml" in text
    for chart in RANK_CHARTS:
        figure = chart.draw(result)
        if figure is None:
            assert (chart.name, len(scores)) == ("agreement", 1)
            continue
        with Image.open(io.BytesIO(plots.figure_bytes(figure, "png"))) as image:
            assert np.asarray(image.convert("L")).min() < 128
        assert len(chart.describe(result)) > 10


def test_undefined_scores_say_why(gap: GapResult) -> None:
    result = ranking(gap, ["a", "b"], ["x"], holes=True)
    assert "undefined: no head" in result.table()
    assert "undefined: no head" in page(result)
    assert [row.source for row in result.order("x")] == ["b"]
    with pytest.raises(KeyError):
        result.order("z")


def test_the_same_result_gives_the_same_files(gap: GapResult, tmp_path: Path) -> None:
    result = ranking(gap, *KINDS["usual"][:2])
    first, second = (result.save(tmp_path / name) for name in ("one", "two"))
    files = sorted(path.relative_to(first) for path in first.rglob("*.*"))
    assert {path.name for path in files} == {"report.html", "result.json", "ranks.svg", "values.svg", "agreement.svg"}
    for path in files:
        assert (first / path).read_bytes() == (second / path).read_bytes()


def test_rows_are_called_by_their_source_and_where_layers_are_ranked_by_both(gap: GapResult) -> None:
    result = ranking(gap, ["a", "b"], ["x"])
    assert [result.label(row) for row in result.rows] == ["a", "b"]
    layered = replace(result, rows=(replace(result.rows[0], layer="blocks.0"), result.rows[1]))
    assert [layered.label(row) for row in layered.rows] == ["a blocks.0", "b features"]


def test_a_figure_with_nothing_to_draw_says_what_a_ranking_needs(gap: GapResult) -> None:
    with pytest.raises(OptionError, match="expected one of ranks, values; it needs two scores that order two rows"):
        ranking(gap, ["a", "b"], ["x"]).plot("agreement")
    empty = replace(ranking(gap, ["a"], ["x"]), rows=())
    with pytest.raises(OptionError, match="expected a result with something to draw; it needs a score") as said:
        empty.plot("ranks")
    assert "layers" not in str(said.value)


def test_another_kind_of_result_is_refused_by_the_name_of_its_command(gap: GapResult) -> None:
    result = ranking(gap, ["a", "b"], ["x"])
    with pytest.raises(DataError, match="not a ranking.*expected the JSON of `gapkit rank`.*rank again"):
        RankResult.from_json(gap.to_json())
    with pytest.raises(DataError, match="not a gap result.*expected the JSON of `gapkit measure`.*measure again"):
        GapResult.from_json(result.to_json())


def test_the_table_says_how_rows_are_ordered(gap: GapResult) -> None:
    result = ranking(gap, ["a", "b"], ["x"])
    for text in (" ".join(result.table().split()), page(result)):
        assert "mean place, (rank - 1) / (ranked rows - 1), over the scores that rank several rows" in text
