"""The table and the reading of an alignment say what the result holds, and no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gapkit.errors import DataError
from gapkit.estimates import Estimate
from gapkit.reports.align_reading import read_alignment, read_change
from gapkit.reports.html import page
from gapkit.results import AlignmentResult, GapResult, Metric
from gapkit.results.alignment import METHODS

KINDS = ("usual", "one seed", "orca", "bare", "undefined", "negative", "hostile")
Learn = Callable[..., AlignmentResult]


def words(result: AlignmentResult) -> str:
    """The table with single spaces."""
    return " ".join(result.table().split())


def test_the_table_holds_every_number_once_with_its_interval(
    learn: Learn, ladders: dict[str, dict[str, float]]
) -> None:
    table = learn().table()
    lines = {line.split("  ")[1].strip(): line for line in table.splitlines() if line.startswith("  ")}
    assert lines["test"].split()[1:6] == ["0.820", "0.780", "-", "0.860", "60"]
    assert "mean over 3 seeds, interval over samples and seeds" in lines["test"]
    assert "0.850" in lines["validation"]
    assert [lines[seed].split()[1] for seed in "012"] == ["0.800", "0.820", "0.840"]
    head = lines["label map (KL)"]
    places = [head.index(title) for title in ("before", "after warm-up", "after alignment", "after fine-tuning")]
    for place, ladder in zip(places, ladders.values(), strict=True):
        for family, value in ladder.items():
            shown = lines[family][place:].split("  ")[0].rstrip()
            assert shown == f"{value:.2f} ({value - 0.04:.2f} - {value + 0.04:.2f})"
    assert "1,234.6 s of training, 50 steps, 190 forward passes" in table
    assert "peak memory 812 MiB" in words(learn())
    assert "knowledge reuse of the model 0.70 (0.66 - 0.74); retention by layer: blocks.0 0.95 (0.91 - 0.99)" in words(
        learn()
    )
    assert table.splitlines()[-1] == "note      a note"


def test_stages_that_a_method_does_not_have_are_not_in_its_budget(learn: Learn) -> None:
    told = {name: words(learn(method=name)) for name in METHODS}
    assert "50steps: steps 5 of warm-up, 10 of alignment, 35 of fine-tuning; batches of 32; trained on" in told["mona"]
    assert "steps 10 of alignment, 5 of warm-up, 35 of fine-tuning;" in told["orca"]
    assert "steps 5 of warm-up, 35 of fine-tuning;" in told["warmup"]
    for name in ("finetune", "finetune+", "frozen", "scratch"):
        assert "50steps: steps 35 of fine-tuning;" in told[name]


def test_gaps_stand_in_the_order_of_the_training(learn: Learn) -> None:
    orders = {name: learn(method=name).table() for name in ("mona", "orca")}
    heads = {name: next(line for line in text.splitlines() if "label map" in line) for name, text in orders.items()}
    assert heads["mona"].index("after warm-up") < heads["mona"].index("after alignment")
    assert heads["orca"].index("after alignment") < heads["orca"].index("after warm-up")
    assert "After warm-up against after alignment: " in " ".join(read_alignment(learn()))
    assert "After warm-up against" not in " ".join(read_alignment(learn(method="orca")))


def test_undefined_values_say_why_once_below_the_table(alignments: dict[str, AlignmentResult]) -> None:
    result = alignments["undefined"]
    text = words(result)
    assert "undefined [1]" in text
    assert text.count("4 target classes but 3 source classes, so that no injection is there") == 1
    assert "The R2 on the test samples is undefined: the test values do not vary." in text
    assert "retention of a is undefined: no" in text
    assert "4 target classes but 3 source classes, so that no injection is there" in page(result)


def test_partial_values_are_marked_and_say_why(
    learn: Learn, ladders: dict[str, dict[str, float]], gap: GapResult
) -> None:
    part = learn().gap_before
    rows = tuple(replace(one, status="partial", reason="class b is never scored") for one in part.misalignment)
    text = words(learn(gap_before=replace(part, misalignment=rows)))
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
def test_the_metric_is_read_against_the_largest_class(value: float, place: str, learn: Learn, gap: GapResult) -> None:
    said = read_alignment(
        learn(
            metric=Metric(name="accuracy", estimate=Estimate(value=value, interval=(value - 0.04, value + 0.04), n=60))
        )
    )[0]
    share = max(gap.target.class_counts.values()) / sum(gap.target.class_counts.values())
    assert said.endswith(f", {place} {share:.3f}, the share of the largest class.")


def test_limits_of_seeds_are_said(learn: Learn, alignments: dict[str, AlignmentResult]) -> None:
    assert "One seed was trained" in read_alignment(learn(seeds=(3,)))[-1]
    assert "of the first seed's model (4)" in read_alignment(learn(seeds=(4, 5)))[-1]
    assert not any("first seed" in said for said in read_alignment(alignments["bare"]))


@pytest.mark.parametrize("kind", KINDS)
def test_json_gives_an_equal_result_and_the_same_table(kind: str, alignments: dict[str, AlignmentResult]) -> None:
    result = alignments[kind]
    read = AlignmentResult.from_json(result.to_json())
    assert read == result
    assert read.to_json() == result.to_json()
    assert read.table() == result.table()


def test_another_kind_of_result_is_refused_by_the_name_of_its_command(gap: GapResult) -> None:
    with pytest.raises(DataError, match="not an alignment.*expected the JSON of `gapkit align`"):
        AlignmentResult.from_json(gap.to_json())
