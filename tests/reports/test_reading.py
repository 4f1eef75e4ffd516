"""The reading never claims more than the numbers hold."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gapkit.estimates import Estimate, Misalignment, Null
from gapkit.reports.reading import (
    ALMOST_NOTHING,
    LARGE_PART,
    LITTLE,
    MOST,
    NEARLY_ALL,
    STEPS,
    level,
    percent,
    read_gap,
)
from gapkit.results import GapResult

FAMILIES = ("injection", "channel", "linear", "ceiling")
CASES = (
    # interval of the normalised value, level
    ((0.0, 0.05), "nearly all"),
    ((0.05, 0.15), "most"),
    ((0.3, 0.49), "most"),
    ((0.3, 0.55), "some"),
    ((0.7, 0.8), "some"),
    ((0.8, 0.9), "little"),
    ((0.96, 0.98), "almost nothing"),
    ((0.96, 1.02), "almost nothing"),
    ((0.94, 1.02), "open"),
    ((0.5, 1.0), "open"),
    ((1.0, 1.0), "unread"),
    ((1.001, 1.2), "misleads"),
)
TELLS = {
    "nearly all of": lambda low, high: low > NEARLY_ALL,
    "recovers most of": lambda low, high: low > MOST,
    "recover most of": lambda low, high: low > MOST,
    "almost nothing": lambda low, high: high < ALMOST_NOTHING,
    "little about": lambda low, high: high < LITTLE,
    "a part of": lambda low, high: low > 0,
    "may say nothing": lambda low, high: low <= 0 <= high,
    "mislead": lambda low, high: high < 0,
    "nothing beyond": lambda low, high: low == high == 0,
    "contains 1": lambda low, high: low <= 0 < high,
}
"""Words about a family -> what the share recovered has to be for them."""


@pytest.mark.parametrize(("interval", "expected"), CASES)
def test_words_follow_from_the_ends(interval: tuple[float, float], expected: str) -> None:
    assert level(interval) == expected


@st.composite
def intervals(draw: st.DrawFn, low: float, high: float) -> tuple[float, tuple[float, float]]:
    """A value with an interval around it; some are of no width."""
    ends = sorted(draw(st.tuples(st.floats(low, high), st.floats(low, high))))
    if draw(st.booleans()):
        ends = [ends[0], ends[0]]
    return (ends[0] + ends[1]) / 2, (ends[0], ends[1])


@st.composite
def measured(draw: st.DrawFn, family: str) -> Misalignment:
    """An entry with any value, interval and p, or an undefined one."""
    if draw(st.integers(0, 9)) == 0:
        return entry(family, None, None, None)
    value, interval = draw(intervals(0.0, 1.4))
    p = draw(st.none() | st.integers(1, 201).map(lambda k: k / 201))
    return entry(family, value, interval, p)


def entry(
    family: str, value: float | None, interval: tuple[float, float] | None, p: float | None, r: int = 200
) -> Misalignment:
    """An entry under KL; families have a statistic each."""
    null = None if p is None else Null(statistic=family, observed=0.9, mean=1.0, p=p, r=r, interval=(0.98, 1.02))
    return Misalignment(
        label_map=family,
        discrepancy="kl",
        value=None if value is None else 2 * value,
        normalised=value,
        interval=interval,
        value_interval=interval,
        in_sample=None,
        proper=True,
        n=60,
        null=null,
        status="undefined" if value is None else "ok",
        reason="there are too many classes" if value is None else "",
    )


@st.composite
def parts(draw: st.DrawFn) -> dict[str, Estimate]:
    """Parts with any value and interval, or undefined."""
    found: dict[str, Estimate] = {}
    for name in (*STEPS, "absent_or_noise"):
        if draw(st.integers(0, 9)) == 0:
            found[name] = Estimate(value=None, interval=None, n=0, status="undefined", reason="why")
        else:
            value, interval = draw(intervals(-0.5, 1.2))
            found[name] = Estimate(value=value, interval=interval, n=60)
    return found


def random_results() -> st.SearchStrategy[tuple[tuple[Misalignment, ...], dict[str, Estimate]]]:
    """Rows of some families and parts; they need not fit together, which makes contradictions only more likely."""
    rows = st.tuples(*(st.none() | measured(family) for family in FAMILIES))
    return st.tuples(rows.map(lambda own: tuple(row for row in own if row is not None)), parts() | st.just({}))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=random_results(), task=st.sampled_from(["classification", "regression", "multilabel"]))
def test_sentences_never_contradict_the_numbers(
    gap: GapResult, content: tuple[tuple[Misalignment, ...], dict[str, Estimate]], task: str
) -> None:
    rows, decomposition = content
    target = replace(gap.target, task=task)
    result = replace(gap, misalignment=rows, decomposition=decomposition, target=target)
    said = read_gap(result)
    for row in rows:
        for sentence in said:
            check_family(row, sentence)
    check_parts(decomposition, {row.label_map: row for row in rows}, said)
    check_tests(rows, said)


def check_family(row: Misalignment, sentence: str) -> None:
    """What is said of a family holds at both ends of its interval, and its numbers are its own."""
    if f"({row.label_map}: " not in sentence or row.interval is None or row.normalised is None:
        return
    first = sentence.split(")")[0]
    low, high = 1 - row.interval[1], 1 - row.interval[0]
    told = [words for words in TELLS if words in first]
    assert told
    for words in told:
        assert TELLS[words](low, high), (words, low, high)
    if "normalised misalignment" not in sentence:
        assert f"({row.label_map}: {percent(1 - row.normalised)} %" in sentence
    else:
        assert f"misalignment {row.normalised:.2f}" in sentence


def check_parts(decomposition: dict[str, Estimate], rows: dict[str, Misalignment], said: list[str]) -> None:
    """A gain is said only of a part above 0 whose family beats the prior, advice only of a large one."""
    for name, step in STEPS.items():
        part = decomposition.get(name)
        own = [sentence for sentence in said if f"({name} " in sentence]
        for sentence in own:
            assert part is not None
            assert part.interval is not None
            reached = rows[step.family].interval
            assert reached is not None
            assert ("The gain" in sentence) == (part.interval[0] > 0 and reached[1] < 1)
            assert (f": {step.advice}." in sentence) == (part.interval[0] > LARGE_PART and reached[1] < 1)
            assert ("no gain, but a loss" in sentence) == (part.interval[1] < 0)
        if part is None or part.interval is None:
            assert own == []
    rest = decomposition.get("absent_or_noise")
    large = rest is not None and rest.interval is not None and rest.interval[0] > LARGE_PART and bool(rows)
    assert any("by no reader here" in sentence for sentence in said) == large
    assert any(sentence.startswith("Most of") for sentence in said) == (large and rest.interval[0] > MOST)


def check_tests(rows: tuple[Misalignment, ...], said: list[str]) -> None:
    """Evidence is said only where p stays small for all the tests that were made."""
    p = [row.null.p for row in rows if row.null is not None and row.null.p is not None]
    text = " ".join(said)
    assert ("There is evidence that the source knows something" in text) == (bool(p) and min(p) * len(p) <= 0.05)
    assert ("weak evidence" in text) == (bool(p) and min(p) * len(p) > 0.05 and min(p) <= 0.05)
    assert ("There is no evidence" in text) == (bool(p) and min(p) > 0.05)
    assert ("not evidence that it knows nothing" in text) == ("There is no evidence" in text)


def test_few_permutations_say_so(gap: GapResult) -> None:
    rows = tuple(entry(family, 0.5, (0.4, 0.6), 1 / 11, r=10) for family in FAMILIES)
    said = " ".join(read_gap(replace(gap, misalignment=rows)))
    assert "10 permutations are too few" in said
    assert "There is no evidence" not in said


def test_small_p_beside_a_value_of_one_says_that_something_is_left_unused(gap: GapResult) -> None:
    rows = (entry("injection", 1.0, (1.0, 1.0), 1 / 201), entry("linear", 0.5, (0.4, 0.6), 1 / 201))
    said = " ".join(read_gap(replace(gap, misalignment=rows)))
    assert "nothing beyond the class prior on these samples" in said
    assert "something that injection cannot use" in said


def test_undefined_families_give_their_reason(kinds: dict[str, GapResult]) -> None:
    assert read_gap(kinds["undefined"])[0] == "The injection is undefined: 4 target classes but 3 source classes."


def test_partial_rows_and_groups_are_mentioned(kinds: dict[str, GapResult]) -> None:
    said = " ".join(read_gap(kinds["partial"]))
    assert "leave something out: classes x have few." in said
    assert "whole groups (speaker)" in said


def test_regression_and_several_labels_have_their_own_words(kinds: dict[str, GapResult]) -> None:
    said = " ".join(read_gap(kinds["regression"]))
    assert "entropy of the bins" in said
    assert "R^2" in said
    assert "linear 0.80 (0.77 - 0.83)" in said
    said = " ".join(read_gap(kinds["several labels"]))
    assert "the labels' entropy (mean over labels)" in said
    assert "injection 9 of 9" in said


def test_a_share_of_the_label_entropy_is_said_of_kl_against_labels_only(kinds: dict[str, GapResult]) -> None:
    assert "label entropy" in " ".join(read_gap(kinds["minimal"]))
    other = replace(kinds["minimal"].misalignment[0], discrepancy="zero_one")
    said = " ".join(read_gap(replace(kinds["minimal"], misalignment=(other,))))
    assert "entropy" not in said
    assert "zero one" in said
    probe = replace(kinds["minimal"].provenance, options={"target_conditional": "probe"})
    assert "entropy" not in " ".join(read_gap(replace(kinds["minimal"], provenance=probe)))


def test_every_kind_is_read_and_the_table_prints_it_before_the_notes(kinds: dict[str, GapResult]) -> None:
    for kind, result in kinds.items():
        said = read_gap(result)
        assert bool(said) == (kind != "empty")
        assert all(sentence.endswith(".") and ".." not in sentence for sentence in said)
        lines = result.table().splitlines()
        assert sum(line.startswith("reading   ") for line in lines) == len(said)
        assert all(len(line) <= 110 for line in lines if line.startswith("reading"))
    lines = kinds["small"].table().splitlines()
    first = [re.split(r"\s", line)[0] for line in lines]
    assert first.index("reading") < first.index("note")
