"""The figures and the page of an alignment: whole where parts are missing, escaped, always the same."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from PIL import Image

from gapkit.errors import OptionError
from gapkit.reports import plots
from gapkit.reports.align_charts import ALIGN_CHARTS
from gapkit.reports.html import fragment, page
from gapkit.reports.plots.alignment import course_of
from gapkit.results import AlignmentResult

KINDS = ("usual", "one seed", "orca", "bare", "undefined", "negative", "hostile")
Learn = Callable[..., AlignmentResult]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_page(kind: str, alignments: dict[str, AlignmentResult]) -> None:
    result = alignments[kind]
    assert max(len(line) for line in result.table().splitlines()) <= 120
    text = page(result, {chart.name: b"<svg/>" for chart in ALIGN_CHARTS} if kind != "bare" else {})
    assert "<script" not in text
    assert " nan" not in re.sub(r"<img[^>]*>", "", text).lower()
    assert text.count("data:image/svg+xml") == (len(ALIGN_CHARTS) if kind != "bare" else 0)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("one seed", "usual")])
def test_every_kind_has_figures_of_which_nothing_is_cut_off(kind: str, alignments: dict[str, AlignmentResult]) -> None:
    result = alignments[kind]
    for chart in ALIGN_CHARTS:
        figure = chart.draw(result)
        assert (figure is None) == (kind == "bare")
        if figure is not None:
            with Image.open(io.BytesIO(plots.figure_bytes(figure, "png"))) as image:
                pixels = np.asarray(image.convert("L"))
            assert pixels.min() < 128
            for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
                assert edge.min() > 250
            assert len(chart.describe(result)) > 10


def test_notebooks_show_the_first_figure_the_reading_and_the_tables(alignments: dict[str, AlignmentResult]) -> None:
    for kind, pictures in (("hostile", 1), ("bare", 0)):
        text = alignments[kind]._repr_html_()
        assert text == fragment(alignments[kind])
        assert "<script" not in text
        assert text.count("<img") == pictures
        assert "the share of the largest class" in text
        assert ("blocks.3" in text) == (kind == "hostile")


def test_kinds_are_those_of_the_parameters(alignments: dict[str, AlignmentResult]) -> None:
    assert tuple(alignments) == KINDS


def test_the_course_joins_stages_and_keeps_every_entry(learn: Learn) -> None:
    history = learn().history
    course = course_of(history)
    assert course.ends == {"warm-up": 5, "alignment": 15, "fine-tuning": 50}
    steps, values = course.series("loss")
    assert steps.tolist() == list(range(1, 51))
    assert values.tolist() == [one["loss"] for one in history if "loss" in one]
    assert course.series("validation")[0].tolist() == [5, 15, 25, 35, 45, 50]
    assert course.series("cosine")[0].tolist() == list(range(6, 16))


def test_waterfalls_have_one_scale_and_steps_that_join(learn: Learn, ladders: dict[str, dict[str, float]]) -> None:
    figure = learn().plot("gaps")
    assert len(figure.axes) == len(ladders)
    assert len({axes.get_ylim() for axes in figure.axes}) == 1
    for axes, ladder in zip(figure.axes, ladders.values(), strict=True):
        bars = [bar for bar in axes.patches if isinstance(bar, Rectangle)]
        ends = [sorted((bar.get_y(), bar.get_y() + bar.get_height())) for bar in bars]
        levels = [*ladder.values(), 0.0]
        steps = [sorted((levels[k], levels[k + 1])) for k in range(4)]
        assert np.allclose(ends, [(0.0, levels[0]), *steps])


def test_training_shows_losses_of_one_kind_in_each_panel(learn: Learn) -> None:
    titles = {
        name: [axes.get_title(loc="left") for axes in learn(method=name).plot("training").axes]
        for name in ("mona", "orca")
    }
    assert titles["mona"][:2] == ["loss on the target", "accuracy on the validation samples"]
    assert "cosine of the gradients of both losses" in titles["mona"]
    assert "OTDD of the alignment" in titles["orca"]
    drawn = learn(method="orca").plot("training").axes[0]
    data = [line.get_xdata() for line in drawn.lines if len(line.get_xdata()) > 2]
    assert not any(6 <= float(step) <= 14 for steps in data for step in steps)


def test_figures_that_there_are_not_say_what_they_need(learn: Learn, alignments: dict[str, AlignmentResult]) -> None:
    bare = alignments["bare"]
    with pytest.raises(OptionError, match="figure 'trainin'.*did you mean"):
        bare.plot("trainin")
    needs = {"gaps": "decomposition", "training": "a history", "projection": "maps"}
    for name, need in needs.items():
        with pytest.raises(OptionError, match=f"expected a result with something to draw; it needs .*{need}"):
            bare.plot(name)
    read = AlignmentResult.from_json(learn().to_json())
    with pytest.raises(OptionError, match="expected one of gaps;"):
        read.plot("training")


def test_the_same_result_gives_the_same_files(tmp_path: Path, learn: Learn) -> None:
    first, second = (learn().save(tmp_path / name) for name in ("one", "two"))
    files = sorted(path.relative_to(first) for path in first.rglob("*.*"))
    figures = {"gaps.svg", "training.svg", "projection.svg"}
    assert {"report.html", "result.json", *figures} <= {path.name for path in files}
    for path in files:
        assert (first / path).read_bytes() == (second / path).read_bytes()
