"""The report of an alignment: what it shows is what the result holds, whole where parts are missing, escaped."""

from __future__ import annotations

import ast
import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from PIL import Image

import gapkit
from gapkit.arrays import generator
from gapkit.errors import DataError, OptionError
from gapkit.estimates import Estimate, Misalignment, undefined
from gapkit.reports import plots
from gapkit.reports.align_charts import ALIGN_CHARTS
from gapkit.reports.align_reading import METHOD_WORDS, read_alignment, read_change
from gapkit.reports.html import fragment, page
from gapkit.reports.plots.alignment import course_of
from gapkit.results import AlignmentResult, Cost, GapResult, Metric, ReuseResult, SeedRun
from gapkit.results.reuse import LayerReuse, Projection

HOSTILE = "<script>alert(1)</script>$x$"
LADDERS = {
    "gap_before": {"injection": 0.97, "channel": 0.92, "linear": 0.6, "ceiling": 0.55},
    "gap_warm": {"injection": 0.95, "channel": 0.9, "linear": 0.57, "ceiling": 0.52},
    "gap_aligned": {"injection": 0.8, "channel": 0.7, "linear": 0.4, "ceiling": 0.38},
    "gap_after": {"injection": 0.62, "channel": 0.5, "linear": 0.3, "ceiling": 0.31},
}
WORSE = {"injection": 0.9, "channel": 1.1, "linear": 1.2, "ceiling": 1.0}
PARTS = ("relabelling", "readout", "nonlinear", "absent_or_noise")


def near(value: float, width: float = 0.04) -> Estimate:
    return Estimate(value=value, interval=(value - width, value + width), n=60)


def row(family: str, value: float | None) -> Misalignment:
    """An entry with this normalised KL."""
    known = value is not None
    return Misalignment(
        label_map=family,
        discrepancy="kl",
        value=2 * value if known else None,
        normalised=value,
        interval=(value - 0.04, value + 0.04) if known else None,
        value_interval=None,
        in_sample=None,
        proper=True,
        n=60,
        status="ok" if known else "undefined",
        reason="" if known else "4 target classes but 3 source classes, so that no injection is there",
    )


def measured(gap: GapResult, ladder: dict[str, float]) -> GapResult:
    """A gap with these normalised values and the parts between them."""
    ends = [*ladder.values(), 0.0]
    parts = {name: near(ends[k] - ends[k + 1], 0.02) for k, name in enumerate(PARTS)}
    return replace(gap, misalignment=tuple(row(*one) for one in ladder.items()), decomposition=parts)


def probed(gap: GapResult, layers: int = 4) -> ReuseResult:
    """What is left, less and less of it."""
    rows = tuple(
        LayerReuse(layer=f"blocks.{k}", measures={"retention": near(0.95 - k / 8), "cka": near(0.9 - k / 9)})
        for k in range(layers)
    )
    points = generator(0).normal(size=(40, 2))
    classes = tuple(f"{HOSTILE}{k % 4}" for k in range(40))
    return ReuseResult(
        before=gap.source,
        after=replace(gap.source, name="tuned"),
        surrogate=gap.target,
        target=None,
        layers=rows,
        model={"knowledge_reuse": near(0.7)},
        projection=Projection(before=points, after=points[::-1], classes=classes),
        provenance=gap.provenance,
    )


STAGES = {"warm-up": 5, "alignment": 10, "fine-tuning": 35}


def history_of(stages: dict[str, int] = STAGES) -> list[dict[str, Any]]:
    """A step counts from 0 in its stage; a look has the number of steps done."""
    rng, found = generator(1), []
    for stage, steps in stages.items():
        for step in range(steps):
            entry = {"stage": stage, "step": step, "loss": 2.0 - step / 40 + 0.1 * rng.normal(), "rate_head": 1e-3}
            more = {"source_loss": 1.5 + step / 50, "cosine": 0.3 - step / 30} if stage == "alignment" else {}
            found.append(entry | more | {"seconds": 0.1, "peak_bytes": 5})
            done = step + 1
            if done == steps or (stage == "fine-tuning" and done % 10 == 0):
                found.append({"stage": stage, "step": done, "validation": 0.4 + done / 100, "validation_loss": 1.8})
    return found


def learned(gap: GapResult, *, seeds: tuple[int, ...] = (0, 1, 2), **fields: Any) -> AlignmentResult:
    """A small alignment with everything in it; fields in place of the usual ones."""
    usual: dict[str, Any] = {name: measured(gap, ladder) for name, ladder in LADDERS.items()}
    runs = tuple(
        SeedRun(seed=seed, metric=0.8 + seed / 50, validation=0.85, best_step=30, scores=(1.0, 0.0)) for seed in seeds
    )
    budget = {"asked": "50steps", "steps": {"warm": 5, "align": 10, "tune": 35}, "batch_size": 32, "n_fit": 160}
    usual |= {
        "method": "mona",
        "source": gap.source,
        "target": gap.target,
        "surrogate": "sample:letters",
        "seeds": seeds,
        "budget": budget | {"n_validation": 40, "trials": 3},
        "metric": Metric(name="accuracy", estimate=near(0.82)),
        "validation": Estimate(value=0.85, interval=None, n=40, reason="the samples that models were chosen by"),
        "runs": runs,
        "reuse": probed(gap),
        "cost": Cost(seconds=1234.56, steps=50, passes=190, peak_bytes=812 * 2**20),
        "notes": ("a note",),
        "history": history_of(),
        "provenance": gap.provenance,
    }
    return AlignmentResult(**(usual | fields))


def hostile(gap: GapResult) -> AlignmentResult:
    """A result all of whose texts are markup."""
    bad = replace(gap, target=replace(gap.target, name=HOSTILE, embedder=HOSTILE, class_counts={HOSTILE: 60}))
    return learned(
        bad,
        method=HOSTILE,
        source=replace(gap.source, name=HOSTILE, description=HOSTILE),
        surrogate=HOSTILE,
        notes=(HOSTILE,),
        metric=Metric(name=HOSTILE, estimate=near(0.5)),
        budget={"asked": HOSTILE},
        validation=Estimate(value=0.8, interval=None, n=40, reason=HOSTILE),
    )


def every_kind(gap: GapResult) -> dict[str, AlignmentResult]:
    """One result of each kind that tables, figures and words have to cope with."""
    unfit = measured(gap, LADDERS["gap_before"])
    rows = (row("injection", None), *unfit.misalignment[1:])
    unfit = replace(unfit, misalignment=rows, decomposition=unfit.decomposition | {"relabelling": undefined("few", 60)})
    without = dict.fromkeys(LADDERS)
    return {
        "usual": learned(gap),
        "one seed": learned(gap, seeds=(7,)),
        "orca": learned(gap, method="orca"),
        "bare": learned(gap, **without, reuse=None, history=[], notes=(), method="scratch", surrogate=None, budget={}),
        "undefined": learned(
            gap,
            gap_before=unfit,
            metric=Metric(name="R2", estimate=undefined("the test values do not vary", 60)),
            reuse=replace(probed(gap), layers=(LayerReuse(layer="a", measures={"retention": undefined("no", 9)}),)),
        ),
        "negative": learned(gap, gap_after=measured(gap, WORSE)),
        "hostile": hostile(gap),
    }


KINDS = ("usual", "one seed", "orca", "bare", "undefined", "negative", "hostile")


def words(result: AlignmentResult) -> str:
    """The table with single spaces."""
    return " ".join(result.table().split())


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_table_a_page_and_figures(kind: str, gap: GapResult) -> None:
    result = every_kind(gap)[kind]
    assert max(len(line) for line in result.table().splitlines()) <= 120
    for text in (page(result), fragment(result)):
        assert "<script" not in text
        assert " nan" not in re.sub(r"<img[^>]*>", "", text).lower()
        assert ("data:image/svg+xml" in text) == (kind != "bare")
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


def test_kinds_are_those_of_the_parameters(gap: GapResult) -> None:
    assert tuple(every_kind(gap)) == KINDS


def test_the_table_holds_every_number_once_with_its_interval(gap: GapResult) -> None:
    table = learned(gap).table()
    lines = {line.split("  ")[1].strip(): line for line in table.splitlines() if line.startswith("  ")}
    assert lines["test"].split()[1:6] == ["0.820", "0.780", "-", "0.860", "60"]
    assert "mean over 3 seeds, interval over samples and seeds" in lines["test"]
    assert "0.850" in lines["validation"]
    assert [lines[seed].split()[1] for seed in "012"] == ["0.800", "0.820", "0.840"]
    head = lines["label map (KL)"]
    places = [head.index(title) for title in ("before", "after warm-up", "after alignment", "after fine-tuning")]
    for place, ladder in zip(places, LADDERS.values(), strict=True):
        for family, value in ladder.items():
            shown = lines[family][place:].split("  ")[0].rstrip()
            assert shown == f"{value:.2f} ({value - 0.04:.2f} - {value + 0.04:.2f})"
    assert "1,234.6 s of training, 50 steps, 190 forward passes" in table
    assert "peak memory 812 MiB" in words(learned(gap))
    assert "knowledge reuse of the model 0.70 (0.66 - 0.74); retention by layer: blocks.0 0.95 (0.91 - 0.99)" in words(
        learned(gap)
    )
    assert table.splitlines()[-1] == "note      a note"


def test_stages_that_a_method_does_not_have_are_not_in_its_budget(gap: GapResult) -> None:
    told = {name: words(learned(gap, method=name)) for name in METHOD_WORDS}
    assert "50steps: steps 5 of warm-up, 10 of alignment, 35 of fine-tuning; batches of 32; trained on" in told["mona"]
    assert "steps 10 of alignment, 5 of warm-up, 35 of fine-tuning;" in told["orca"]
    assert "steps 5 of warm-up, 35 of fine-tuning;" in told["warmup"]
    for name in ("finetune", "finetune+", "frozen", "scratch"):
        assert "50steps: steps 35 of fine-tuning;" in told[name]


def test_the_words_for_methods_are_those_of_the_learner() -> None:
    """Read and not imported: reports go without torch."""
    tree = ast.parse((Path(gapkit.__file__).parent / "mona" / "methods.py").read_text(encoding="utf-8"))
    (found,) = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and [ast.unparse(name) for name in node.targets] == ["METHODS"]
    ]
    assert ast.literal_eval(found) == METHOD_WORDS


def test_gaps_stand_in_the_order_of_the_training(gap: GapResult) -> None:
    orders = {name: learned(gap, method=name).table() for name in ("mona", "orca")}
    heads = {name: next(line for line in text.splitlines() if "label map" in line) for name, text in orders.items()}
    assert heads["mona"].index("after warm-up") < heads["mona"].index("after alignment")
    assert heads["orca"].index("after alignment") < heads["orca"].index("after warm-up")
    assert "From after warm-up to after alignment" in " ".join(read_alignment(learned(gap)))
    assert "From after warm-up" not in " ".join(read_alignment(learned(gap, method="orca")))


def test_undefined_values_say_why_once_below_the_table(gap: GapResult) -> None:
    result = every_kind(gap)["undefined"]
    text = words(result)
    assert "undefined [1]" in text
    assert text.count("4 target classes but 3 source classes, so that no injection is there") == 1
    assert "The R2 on the test samples is undefined: the test values do not vary." in text
    assert "retention of a is undefined: no" in text
    assert "4 target classes but 3 source classes, so that no injection is there" in page(result)


def test_partial_values_are_marked_and_say_why(gap: GapResult) -> None:
    part = measured(gap, LADDERS["gap_before"])
    rows = tuple(replace(one, status="partial", reason="class b is never scored") for one in part.misalignment)
    text = words(learned(gap, gap_before=replace(part, misalignment=rows)))
    assert "0.60 (0.56 - 0.64)*" in text
    assert text.count("* partial: class b is never scored.") == 1


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ((0.5, 0.7), (0.3, 0.4), "falls under linear"),
        ((0.3, 0.4), (0.5, 0.7), "rises under linear"),
        ((0.3, 0.5), (0.5, 0.7), "overlap"),
        ((0.3, 0.5), (0.4, 0.45), "overlap"),
        (None, (0.4, 0.45), ""),
    ],
)
def test_a_change_is_said_only_where_intervals_are_apart(
    first: tuple[float, float] | None, second: tuple[float, float], said: str
) -> None:
    ladders = [{"linear": Estimate(value=0.4, interval=ends, n=9)} for ends in (first, second)]
    sentence = read_change(*ladders)
    assert said in sentence
    assert ("apart" in sentence) == (said in ("falls under linear", "rises under linear"))
    assert bool(sentence) == bool(said)


@pytest.mark.parametrize(("value", "place"), [(0.8, "above"), (0.52, "not clearly above or below"), (0.3, "below")])
def test_the_metric_is_read_against_the_largest_class(value: float, place: str, gap: GapResult) -> None:
    said = read_alignment(learned(gap, metric=Metric(name="accuracy", estimate=near(value))))[0]
    share = max(gap.target.class_counts.values()) / sum(gap.target.class_counts.values())
    assert said.endswith(f", {place} {share:.3f}, the share of the largest class.")


def test_limits_of_seeds_are_said(gap: GapResult) -> None:
    assert "One seed was trained" in read_alignment(learned(gap, seeds=(3,)))[-1]
    assert "of the first seed's model (4)" in read_alignment(learned(gap, seeds=(4, 5)))[-1]
    assert not any("first seed" in said for said in read_alignment(every_kind(gap)["bare"]))


def test_the_course_joins_stages_and_keeps_every_entry() -> None:
    course = course_of(history_of())
    assert course.ends == {"warm-up": 5, "alignment": 15, "fine-tuning": 50}
    steps, values = course.series("loss")
    assert steps.tolist() == list(range(1, 51))
    assert values.tolist() == [one["loss"] for one in history_of() if "loss" in one]
    assert course.series("validation")[0].tolist() == [5, 15, 25, 35, 45, 50]
    assert course.series("cosine")[0].tolist() == list(range(6, 16))


def test_waterfalls_have_one_scale_and_steps_that_join(gap: GapResult) -> None:
    figure = learned(gap).plot("gaps")
    assert len(figure.axes) == len(LADDERS)
    assert len({axes.get_ylim() for axes in figure.axes}) == 1
    for axes, ladder in zip(figure.axes, LADDERS.values(), strict=True):
        bars = [bar for bar in axes.patches if isinstance(bar, Rectangle)]
        ends = [sorted((bar.get_y(), bar.get_y() + bar.get_height())) for bar in bars]
        levels = [*ladder.values(), 0.0]
        steps = [sorted((levels[k], levels[k + 1])) for k in range(4)]
        assert np.allclose(ends, [(0.0, levels[0]), *steps])


def test_training_shows_losses_of_one_kind_in_each_panel(gap: GapResult) -> None:
    titles = {
        name: [axes.get_title(loc="left") for axes in learned(gap, method=name).plot("training").axes]
        for name in ("mona", "orca")
    }
    assert titles["mona"][:2] == ["loss on the target", "accuracy on the validation samples"]
    assert "cosine of the gradients of both losses" in titles["mona"]
    assert "OTDD of the alignment" in titles["orca"]
    drawn = learned(gap, method="orca").plot("training").axes[0]
    data = [line.get_xdata() for line in drawn.lines if len(line.get_xdata()) > 2]
    assert not any(6 <= float(step) <= 14 for steps in data for step in steps)


def test_figures_that_there_are_not_say_what_they_need(gap: GapResult) -> None:
    bare = every_kind(gap)["bare"]
    with pytest.raises(OptionError, match="figure 'trainin'.*did you mean"):
        bare.plot("trainin")
    needs = {"gaps": "decomposition", "training": "a history", "projection": "maps"}
    for name, need in needs.items():
        with pytest.raises(OptionError, match=f"expected a result with something to draw; it needs .*{need}"):
            bare.plot(name)
    read = AlignmentResult.from_json(learned(gap).to_json())
    with pytest.raises(OptionError, match="expected one of gaps;"):
        read.plot("training")


@pytest.mark.parametrize("kind", KINDS)
def test_json_gives_an_equal_result_and_the_same_table(kind: str, gap: GapResult) -> None:
    result = every_kind(gap)[kind]
    read = AlignmentResult.from_json(result.to_json())
    assert read == result
    assert read.to_json() == result.to_json()
    assert read.table() == result.table()


def test_the_same_result_gives_the_same_files(gap: GapResult, tmp_path: Path) -> None:
    first, second = (learned(gap).save(tmp_path / name) for name in ("one", "two"))
    files = sorted(path.relative_to(first) for path in first.rglob("*.*"))
    figures = {"gaps.svg", "training.svg", "projection.svg"}
    assert {"report.html", "result.json", *figures} <= {path.name for path in files}
    for path in files:
        assert (first / path).read_bytes() == (second / path).read_bytes()


def test_another_kind_of_result_is_refused_by_the_name_of_its_command(gap: GapResult) -> None:
    with pytest.raises(DataError, match="not an alignment.*expected the JSON of `gapkit align`"):
        AlignmentResult.from_json(gap.to_json())
