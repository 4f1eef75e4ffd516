"""The report of a comparison: runs and misalignments, with holes, escaped, and a reading that claims no more."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from PIL import Image

from gapkit.errors import DataError, OptionError
from gapkit.estimates import Estimate, undefined
from gapkit.reports import plots
from gapkit.reports.compare_charts import COMPARE_CHARTS
from gapkit.reports.compare_text import read_comparison
from gapkit.reports.html import fragment, page
from gapkit.results import ComparedRun, Comparison, Cost, GapResult, Metric, PairedTest

HOSTILE = "<script>alert(1)</script>$x$"
FAMILIES = ("injection", "partition", "channel", "linear", "ceiling")
PARTS = ("relabelling", "readout", "nonlinear", "absent_or_noise")
LONG = "4 target classes but 3 source classes, so that no injection is there"
LEVELS = {
    "before": (0.97, 0.95, 0.9, 0.6, 0.5),
    "aligned": (0.8, 0.7, 0.6, 0.5, 0.4),
    "after": (0.6, 0.6, 0.5, 0.3, 0.2),
}


def near(value: float, width: float = 0.04) -> Estimate:
    return Estimate(value=value, interval=(value - width, value + width), n=60)


def trained(name: str, *, shift: float = 0.0, **fields: Any) -> ComparedRun:
    """A run of align; its gaps are smaller by the shift."""
    gaps = {
        moment: {family: near(value - shift) for family, value in zip(FAMILIES, values, strict=True)}
        for moment, values in LEVELS.items()
    }
    parts = {moment: parts_of(ladder) for moment, ladder in gaps.items()}
    usual: dict[str, Any] = {
        "folder": f"runs/{name}",
        "metric": Metric(name="accuracy", estimate=near(0.8 + shift)),
        "validation": Estimate(value=0.85, interval=None, n=40),
        "seeds": 3,
        "trials": 2,
        "gaps": gaps,
        "parts": parts,
        "reuse": {"knowledge_reuse": near(0.7), "retention blocks.0": near(0.9), "retention blocks.1": near(0.5)},
        "cost": Cost(seconds=1234.5, steps=500, passes=1300, peak_bytes=2**30),
    }
    return ComparedRun(name=name, **(usual | fields))


def parts_of(ladder: dict[str, Estimate]) -> dict[str, Estimate]:
    """What lies between the levels of injection, channel, linear and ceiling, and 0."""
    values = [ladder[family].value or 0.0 for family in FAMILIES if family != "partition"]
    ends = [*values, 0.0]
    return {name: near(ends[k] - ends[k + 1], 0.02) for k, name in enumerate(PARTS)}


def measured(name: str, shift: float = 0.0) -> ComparedRun:
    """A misalignment."""
    run = trained(name, shift=shift, metric=None, validation=None, seeds=1, trials=1, reuse={}, cost=None)
    return replace(run, gaps={"before": run.gaps["before"]}, parts={"before": run.parts["before"]})


def pair(a: str, b: str, difference: float | None, width: float = 0.02, p: float = 0.0001) -> PairedTest:
    """A paired test; without a difference an undefined one."""
    if difference is None:
        why = {"status": "undefined", "reason": "they share no seed"}
        return PairedTest(a=a, b=b, metric="accuracy", difference=None, interval=None, p=None, test="", **why)
    ends = (difference - width, difference + width)
    return PairedTest(
        a=a, b=b, metric="accuracy", difference=difference, interval=ends, p=p, test="sign flips, 9999 drawn"
    )


def beside(gap: GapResult, *runs: ComparedRun, paired: tuple[PairedTest, ...] = (), **fields: Any) -> Comparison:
    """These runs."""
    return Comparison(
        **({"target": "data.npz", "runs": runs, "paired": paired, "notes": ("a note",)} | fields),
        provenance=gap.provenance,
    )


def every_kind(gap: GapResult) -> dict[str, Comparison]:
    """One comparison of each kind."""
    tests = (pair("mona", "finetune", 0.05), pair("mona", "scratch", None))
    hole = trained("scratch", gaps={}, parts={}, reuse={}, metric=Metric(name="accuracy", estimate=undefined(LONG, 9)))
    few = trained(
        "few", gaps={"before": {"linear": undefined(LONG, 9)}}, parts={"before": {"readout": undefined("", 9)}}
    )
    return {
        "trained": beside(gap, trained("mona", shift=0.1), trained("finetune"), hole, paired=tests),
        "misalignments": beside(gap, measured("vit, resize"), measured("vit, fold", 0.1)),
        "many": beside(gap, *(measured(f"source{k}, log-mel spectrogram", k / 100) for k in range(11))),
        "bare": beside(gap, hole, few),
        "hostile": beside(
            gap,
            trained(HOSTILE, folder=HOSTILE, metric=Metric(name=HOSTILE, estimate=near(0.5))),
            trained("b", metric=Metric(name=HOSTILE, estimate=near(0.5))),
            paired=(pair(HOSTILE, "b", 0.05), pair("b", HOSTILE, None)),
            target=HOSTILE,
            notes=(HOSTILE,),
        ),
    }


KINDS = ("trained", "misalignments", "many", "bare", "hostile")
NOTHING = {"misalignments": {"metrics"}, "many": {"metrics"}, "bare": {"gaps"}}
"""Charts that kinds have nothing for."""


def test_kinds_are_those_of_the_parameters(gap: GapResult) -> None:
    assert tuple(every_kind(gap)) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_table_a_page_and_figures(kind: str, gap: GapResult) -> None:
    comparison = every_kind(gap)[kind]
    assert max(len(line) for line in comparison.table().splitlines()) <= 140 - 20 * (kind != "hostile")
    drawn: dict[str, bytes] = {}
    for chart in COMPARE_CHARTS:
        figure = chart.draw(comparison)
        assert (figure is None) == (chart.name in NOTHING.get(kind, ()))
        if figure is None:
            continue
        drawn[chart.name] = b"<svg/>"
        with Image.open(io.BytesIO(plots.figure_bytes(figure, "png"))) as image:
            pixels = np.asarray(image.convert("L"))
        assert pixels.min() < 128
        for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
            assert edge.min() > 250
        assert len(chart.describe(comparison)) > 10
    text = page(comparison, drawn)
    assert "<script" not in text
    assert " nan" not in re.sub(r"<img[^>]*>", "", text).lower()
    assert text.count("data:image/svg+xml") == len(drawn)


def test_notebooks_show_the_first_figure_and_the_tables(gap: GapResult) -> None:
    comparison = every_kind(gap)["hostile"]
    text = comparison._repr_html_()
    assert text == fragment(comparison)
    assert "<script" not in text
    assert text.count("<img") == 1
    assert "sign flips, 9999 drawn" in text


def test_a_row_holds_all_that_is_known_of_a_run(gap: GapResult) -> None:
    lines = every_kind(gap)["trained"].table().splitlines()
    head = next(line for line in lines if line.startswith("  run "))
    rows = {line.split()[0]: line for line in lines[lines.index(head) :] if line.startswith("  ") and line.strip()}
    starts = {
        "accuracy": "0.900 (0.860 - 0.940)",
        "validation": "0.850",
        "linear gap": "0.50 -> 0.20",
        "knowledge reuse": "0.70 (0.66 - 0.74)",
        "seconds": "1,234.5",
        "passes": "1,300",
        "seeds": "3",
        "trials": "2",
    }
    row = next(line for line in lines[lines.index(head) :] if line.startswith("  mona"))
    for title, cell in starts.items():
        assert row[head.index(title) :].startswith(cell)
    missing = next(line for line in lines if line.startswith("  scratch"))
    assert missing[head.index("accuracy") :].startswith("undefined [1]")
    assert missing[head.index("linear gap") :].startswith("-  ")
    assert sum(LONG in line for line in lines) == 1
    assert rows["linear"].split("  ")[1:] != []
    assert lines[-1] == "note      a note"


def test_the_linear_gap_has_its_interval_at_every_moment(gap: GapResult) -> None:
    lines = every_kind(gap)["trained"].table().splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("  linear gap (95"))
    cells = re.split(r"\s{2,}", lines[start + 2].strip())
    assert re.split(r"\s{2,}", lines[start].strip())[1:] == ["before", "after alignment", "after training"]
    assert cells == ["finetune", *(f"{v:.2f} ({v - 0.04:.2f} - {v + 0.04:.2f})" for v in (0.6, 0.5, 0.3))]


def test_misalignments_stand_side_by_side_by_label_map(gap: GapResult) -> None:
    kinds = every_kind(gap)
    lines = kinds["misalignments"].table().splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("  label map (KL)"))
    table = [re.split(r"\s{2,}", line.strip()) for line in lines[start : start + 6]]
    assert table[0][1:] == ["vit, resize", "vit, fold"]
    assert [row[0] for row in table[1:]] == list(FAMILIES)
    assert [row[2].split()[0] for row in table[1:]] == [f"{value - 0.1:.2f}" for value in LEVELS["before"]]
    many = " ".join(kinds["many"].table().split())
    assert all(many.count(f" source{k}, log-mel") == 3 for k in range(11))  # above, and in each kind of table


def test_runs_with_long_names_are_numbered_and_named_in_full_above(gap: GapResult) -> None:
    names = [f"mona (runs/2026-11-2{k}-153012-align/of-some-folder)" for k in range(3)]
    comparison = beside(gap, *(trained(name, folder="") for name in names), paired=(pair(names[0], names[2], 0.05),))
    text = " ".join(comparison.table().split())
    assert f"runs 1 {names[0]}; 2 {names[1]}; 3 {names[2]}" in text
    assert "1 mona (runs/... - 3 mona (runs/... accuracy 0.050" in text
    assert max(len(line) for line in comparison.table().splitlines()) <= 120


def test_undefined_pairs_say_why_and_the_number_of_tests_is_said(gap: GapResult) -> None:
    text = " ".join(every_kind(gap)["trained"].table().split())
    assert "mona - finetune accuracy 0.050 0.030 - 0.070 0.0001 sign flips, 9999 drawn" in text
    assert "mona - scratch accuracy undefined: they share no seed" in text
    assert "not corrected for their number (2)" in text


@pytest.mark.parametrize(
    ("difference", "p", "said"),
    [
        (0.05, 0.001, "a has a higher accuracy than b"),
        (-0.05, 0.001, "b has a higher accuracy than a"),
        (0.05, 0.04, "weak evidence of a difference between a and b"),
        (0.05, 0.2, "No difference shows between a and b"),
        (0.01, 0.001, "No difference shows between a and b"),
    ],
)
def test_a_difference_is_said_only_where_interval_and_p_hold_it(
    difference: float, p: float, said: str, gap: GapResult
) -> None:
    others = tuple(pair("c", "d", 0.0, p=1.0) for _ in range(2))
    comparison = beside(gap, trained("a"), trained("b"), paired=(pair("a", "b", difference, p=p), *others))
    sentences = [one for one in read_comparison(comparison) if "a and b" in one or "than" in one]
    assert len(sentences) == 1
    assert said in sentences[0]
    alone = replace(comparison, paired=(pair("a", "b", 0.05, p=0.04),))
    assert "higher" in read_comparison(alone)[0]
    assert read_comparison(replace(comparison, paired=())) == []


def test_gaps_are_waterfalls_before_and_after_on_one_scale(gap: GapResult) -> None:
    runs = (trained("a"), trained("b", shift=0.1))
    axes = beside(gap, *runs).plot("gaps").axes
    assert len(axes) == 4
    assert len({one.get_ylim() for one in axes}) == 1
    for place, (run, moment) in enumerate((run, moment) for run in runs for moment in ("before", "after")):
        bars = [bar for bar in axes[place].patches if isinstance(bar, Rectangle)]
        heights = [bar.get_height() for bar in bars]
        known = [part.value for part in run.parts[moment].values()]
        assert np.allclose(heights, [run.gaps[moment]["injection"].value, *known])
    many = every_kind(gap)["many"].plot("gaps")
    assert sum(one.get_visible() for one in many.axes) == 8
    assert "3 more runs are not shown" in many.get_suptitle()


def test_metrics_stand_in_the_order_given_with_their_intervals(gap: GapResult) -> None:
    comparison = every_kind(gap)["trained"]
    (axes,) = comparison.plot("metrics").axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["mona", "finetune", "scratch"]
    bars = [np.asarray(line.get_xdata()).tolist() for line in axes.lines if line.get_linestyle() == "-"]
    assert bars == [pytest.approx([0.86, 0.94]), pytest.approx([0.76, 0.84])]
    test, validation = [np.asarray(line.get_xdata()).tolist() for line in axes.lines if line.get_linestyle() == "None"]
    assert test == pytest.approx([0.9, 0.8])
    assert validation == [0.85] * 2
    assert "undefined" in axes.texts[0].get_text()


def test_figures_that_there_are_not_say_what_they_need(gap: GapResult) -> None:
    kinds = every_kind(gap)
    with pytest.raises(OptionError, match="figure 'metric'.*did you mean"):
        kinds["trained"].plot("metric")
    with pytest.raises(OptionError, match="expected one of gaps; it needs runs of gapkit align"):
        kinds["misalignments"].plot("metrics")
    with pytest.raises(OptionError, match="expected one of metrics; it needs a decomposition"):
        kinds["bare"].plot("gaps")


@pytest.mark.parametrize("kind", KINDS)
def test_json_gives_an_equal_comparison_and_the_same_table(kind: str, gap: GapResult) -> None:
    comparison = every_kind(gap)[kind]
    read = Comparison.from_json(comparison.to_json())
    assert read == comparison
    assert read.to_json() == comparison.to_json()
    assert read.table() == comparison.table()


def test_the_same_comparison_gives_the_same_files(gap: GapResult, tmp_path: Path) -> None:
    comparison = every_kind(gap)["trained"]
    first, second = (comparison.save(tmp_path / name) for name in ("one", "two"))
    files = sorted(path.relative_to(first) for path in first.rglob("*.*"))
    assert {"report.html", "result.json", "gaps.svg", "metrics.svg"} == {path.name for path in files}
    for path in files:
        assert (first / path).read_bytes() == (second / path).read_bytes()
    assert "blocks.1" in (first / "report.html").read_text(encoding="utf-8")


def test_another_kind_of_result_is_refused_by_the_name_of_its_command(gap: GapResult) -> None:
    with pytest.raises(DataError, match="not a comparison.*expected the JSON of `gapkit compare`"):
        Comparison.from_json(gap.to_json())
