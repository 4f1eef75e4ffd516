"""Every figure, of every kind of result: it is there where there is something to show, whole, and always the same."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from PIL import Image

from gapkit.errors import OptionError
from gapkit.reports import plots
from gapkit.reports.charts import CHARTS, Chart
from gapkit.reports.plots import lettering
from gapkit.reports.plots.style import WIDTH
from gapkit.results import GapResult, Pictures

KINDS = (
    *("small", "full", "minimal", "empty", "undefined", "worse than the prior", "one part", "every discrepancy"),
    *("partial", "regression", "several labels", "2 classes", "242 classes"),
)
DRAWN = {
    "small": {"misalignment", "label_map"},
    "minimal": {"misalignment"},
    "empty": set(),
    "undefined": {"misalignment", "decomposition", "classes", "layers"},
    "one part": {"misalignment", "decomposition", "label_map"},
    "several labels": {"misalignment", "decomposition", "label_map"},
}
"""Charts of the kinds that lack some."""


def texts(figure: Figure) -> list[str]:
    """Every text in a figure."""
    return [text.get_text() for text in figure.findobj(Text) if text.get_visible() and text.get_text()]


@pytest.mark.parametrize("kind", KINDS)
def test_every_chart_is_drawn_without_a_warning_where_there_is_something(
    kind: str, kinds: dict[str, GapResult]
) -> None:
    open_before = plt.get_fignums()
    result = kinds[kind]
    drawn = set()
    for chart in CHARTS:
        figure = chart.draw(result)
        if figure is None:
            continue
        drawn.add(chart.name)
        with Image.open(io.BytesIO(plots.figure_bytes(figure, "png"))) as image:
            assert 900 <= image.width <= 960
            assert image.height <= 15 * image.width / WIDTH
        assert len(chart.describe(result)) > 10
    assert drawn == DRAWN.get(kind, {chart.name for chart in CHARTS})
    assert plt.get_fignums() == open_before


def test_a_result_plots_every_figure_by_name_and_says_what_it_cannot(kinds: dict[str, GapResult]) -> None:
    for chart in CHARTS:
        assert texts(kinds["full"].plot(chart.name)) == texts(chart.draw(kinds["full"]) or Figure())
    assert texts(kinds["full"].plot()) == texts(kinds["full"].plot("misalignment"))
    with pytest.raises(OptionError, match="figure 'misaligment'.*did you mean"):
        kinds["full"].plot("misaligment")
    with pytest.raises(OptionError, match="figure 'layers' of a result.*expected one of misalignment, label_map;"):
        kinds["small"].plot("layers")


def test_kinds_are_those_of_the_fixture(kinds: dict[str, GapResult]) -> None:
    assert tuple(kinds) == KINDS


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.name)
def test_the_same_result_gives_the_same_bytes_whatever_the_user_has_set(
    chart: Chart, kinds: dict[str, GapResult]
) -> None:
    result, draw = kinds["full"], chart.draw
    first = [plots.figure_bytes(draw(result), kind) for kind in ("png", "svg")]
    with matplotlib.rc_context():
        matplotlib.rcParams.update(
            {"font.size": 30, "text.color": "red", "lines.linewidth": 9, "svg.hashsalt": "other"}
        )
        before = dict(matplotlib.rcParams)
        assert [plots.figure_bytes(draw(result), kind) for kind in ("png", "svg")] == first
        assert dict(matplotlib.rcParams) == before
    assert b"dc:date" not in first[1]


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.name)
def test_nothing_is_cut_off_at_the_edges(chart: Chart, kinds: dict[str, GapResult]) -> None:
    for kind in ("full", "242 classes", "2 classes", "undefined", "worse than the prior", "several labels"):
        figure = chart.draw(kinds[kind])
        if figure is None:
            continue
        with Image.open(io.BytesIO(plots.figure_bytes(figure, "png"))) as image:
            pixels = np.asarray(image.convert("L"))
        for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
            assert edge.min() > 250, kind


def test_names_are_no_formulas_and_have_a_glyph_for_every_letter(kinds: dict[str, GapResult]) -> None:
    for chart in CHARTS:
        figure = chart.draw(kinds["full"])
        assert not any(text.get_parse_math() for text in figure.findobj(Text) if text.get_text())
        for text in texts(figure):
            assert text == lettering.legible(text)
    assert any("$x$" in text for text in texts(plots.plot_classes(kinds["full"])))


def test_figure_has_a_point_and_a_bar_for_each_defined_value(gap: GapResult) -> None:
    axes = plots.plot_misalignment(gap).axes[0]
    points = [line for line in axes.lines if line.get_linestyle() == "None"]
    drawn = sorted(float(x) for line in points for x in np.asarray(line.get_xdata()))
    assert drawn == [0.25, 0.25, 0.75, 0.75]
    bars = [line for line in axes.lines if line.get_linestyle() == "-"]
    assert len(bars) == 4


def test_permutation_panel_shows_observed_range_and_p_and_rows_without_a_test(kinds: dict[str, GapResult]) -> None:
    result = kinds["full"]
    without = replace(result.misalignment[1], null=None)
    mixed = replace(result, misalignment=(result.misalignment[0], without))
    values, tests = plots.plot_misalignment(mixed).axes
    assert values.get_ylim() == tests.get_ylim()
    data = [np.asarray(line.get_xdata()).tolist() for line in tests.lines]
    assert [0.98, 1.02] in data
    assert [0.9] in data
    assert [text.get_text() for text in tests.texts] == ["0.005", "no test", "p"]
    (only,) = plots.plot_misalignment(kinds["several labels"]).axes
    assert "no permutation test" in [text.get_text() for text in only.texts]


def test_waterfall_goes_from_the_injection_to_zero_in_steps_that_join(kinds: dict[str, GapResult]) -> None:
    axes = plots.plot_decomposition(kinds["full"]).axes[0]
    bars = [bar for bar in axes.patches if isinstance(bar, Rectangle)]
    ends = [sorted((bar.get_x(), bar.get_x() + bar.get_width())) for bar in bars]
    assert np.allclose(ends, [(0, 0.7), (0.45, 0.7), (0.2, 0.45), (0.18, 0.2), (0, 0.18)])


def test_negative_parts_are_hatched_and_said(kinds: dict[str, GapResult]) -> None:
    figure = plots.plot_decomposition(kinds["worse than the prior"])
    bars = [bar for bar in figure.axes[0].patches if isinstance(bar, Rectangle)]
    assert [bool(bar.get_hatch()) for bar in bars] == [False, True, True, False, False]
    assert sum("no gain" in text for text in texts(figure)) == 2


def test_undefined_parts_say_why(kinds: dict[str, GapResult]) -> None:
    said = " ".join(texts(plots.plot_decomposition(kinds["undefined"]))).replace("\n", " ")
    assert "undefined: 4 target classes but 3 source classes" in said


def test_label_map_holds_all_mass_that_is_listed(kinds: dict[str, GapResult]) -> None:
    for kind in ("full", "2 classes"):
        result = kinds[kind]
        (mesh,) = plots.plot_label_map(result).axes[0].findobj(QuadMesh)
        assert mesh.get_array().sum() == pytest.approx(sum(line["mass"] for line in result.label_maps["channel"]))


def test_label_map_frames_the_matches_and_counts_the_others(kinds: dict[str, GapResult]) -> None:
    axes = plots.plot_label_map(kinds["full"]).axes[0]
    frames = {patch.get_xy() for patch in axes.patches if isinstance(patch, Rectangle)}
    rows = [label.get_text() for label in axes.get_yticklabels()]
    assert {(float(k), float(rows.index(f"source/{k}"))) for k in range(10)} == {
        (float(x), float(y)) for x, y in frames
    }
    many = plots.plot_label_map(kinds["242 classes"]).axes[0]
    assert len(many.get_yticklabels()) <= 31
    assert "218 more" in many.get_xlabel()


def test_classes_are_the_ones_that_lose_most_and_the_others_are_counted(kinds: dict[str, GapResult]) -> None:
    figure = plots.plot_classes(kinds["242 classes"])
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len(rows) == 30
    assert rows[0].endswith("haracter0  (6)")
    assert any("212 others" in text for text in texts(figure))
    assert len(plots.plot_classes(kinds["2 classes"]).axes[0].get_yticklabels()) == 2


def test_matches_say_where_there_is_no_picture_and_show_what_the_source_sees(kinds: dict[str, GapResult]) -> None:
    result = kinds["2 classes"]
    words = texts(plots.plot_matches(result))
    assert words.count("no picture here") == 1
    assert words.count("60 % of folds agree") == 2
    seen = replace(result, pictures=Pictures(seen=result.pictures.target))
    words = texts(plots.plot_matches(seen))
    assert any("as the source sees it" in text for text in words)
    assert words.count("no picture here") == 2
    assert plots.plot_matches(replace(result, pictures=Pictures(source=result.pictures.source))) is None
    assert any("first 12 of 242" in text for text in texts(plots.plot_matches(kinds["242 classes"])))


def test_layers_of_many_names_label_the_first_and_the_last(kinds: dict[str, GapResult]) -> None:
    result = kinds["2 classes"]
    own = next(iter(result.layers.values()))
    many = replace(result, layers={f"encoder.layers.{k}.output": own for k in range(49)})
    ticks = [label.get_text() for label in plots.plot_layers(many).axes[0].get_xticklabels()]
    assert len(ticks) <= 20
    assert ticks[0].endswith(".0.output")
    assert ticks[-1].endswith("48.output")


def test_picture_grid_has_a_row_for_each_class_with_pictures() -> None:
    rng = np.random.default_rng(0)
    grey = list(rng.integers(0, 256, (3, 8, 8), dtype=np.uint8))
    colour = list(rng.integers(0, 256, (12, 8, 8, 3), dtype=np.uint8))
    figure = plots.picture_grid({"grey $x$": grey, "colour": colour, "none": []}, "sample:digits")
    assert len(figure.axes) == 3 + 6
    assert texts(figure) == ["sample:digits", "grey $x$", "colour"]
    plots.figure_bytes(figure, "png")
    assert plots.picture_grid({"none": []}, "t") is None
    many = plots.picture_grid({str(k): grey for k in range(242)}, "t")
    assert "and 212 more classes" in texts(many)


@pytest.mark.parametrize(
    ("shorten", "name"),
    [(lettering.shorten, "a" * 80), (lettering.shorten_end, "b" * 80), (lettering.shorten, "x" * 21)],
)
def test_long_names_end_in_an_ellipsis(shorten: Callable[[str, int], str], name: str) -> None:
    assert len(shorten(name, 20)) == 20
    assert "\u2026" in shorten(name, 20)


def test_letters_that_no_font_has_are_replaced() -> None:
    assert lettering.legible("a\x00b\U000f0000") == "a\ufffdb\ufffd"
    assert lettering.shorten("") == "(no name)"
