"""Reasons in text tables: long ones below, once each, so that no column is as wide as a sentence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gapkit.estimates import DistanceRow, ScoreRow
from gapkit.reports.footnotes import LONG, WIDTH, footnoted
from gapkit.reports.html import page
from gapkit.reports.scores import score_lines, table_lines
from gapkit.results import GapResult

LONG_REASON = "14 samples for a mixture of 15 components, 5 for each class; expected at least 30; give more samples"
NO_INTERVAL = "no interval: without 3 of the samples, all samples have the same label"
NO_FLOOR = "no floor: the surrogate has 1 groups"


def score(name: str, value: float | None, reason: str = "") -> ScoreRow:
    """A score; without a value an undefined one, with a reason one without interval."""
    interval = None if value is None or reason else (value - 0.1, value + 0.1)
    status = "undefined" if value is None else "ok"
    return ScoreRow(
        name=name, title=name, value=value, interval=interval, n=9, direction="higher", status=status, reason=reason
    )


def distance(name: str, *, interval: bool, floor: float | None, reason: str) -> DistanceRow:
    """A distance that has a value."""
    return DistanceRow(
        name=name,
        title=name,
        value=1.0,
        interval=(0.5, 1.5) if interval else None,
        n=9,
        n_surrogate=9,
        halves=1.1 if floor else None,
        floor=floor,
        reason=reason,
    )


@pytest.fixture(name="scored")
def scores_of_every_kind(gap: GapResult) -> GapResult:
    """Defined and undefined ones, with short and with long reasons, one of them twice."""
    scores = (
        score("first", 1.0),
        score("second", None, LONG_REASON),
        score("third", None, "no head"),
        score("fourth", 2.0, NO_INTERVAL),
        score("fifth", None, LONG_REASON),
    )
    distances = (
        distance("near", interval=True, floor=0.2, reason=""),
        distance("ungrouped", interval=True, floor=None, reason=NO_FLOOR),
        distance("few", interval=False, floor=0.3, reason=NO_INTERVAL),
    )
    return replace(gap, scores=scores, distances=distances)


def test_long_reasons_stand_below_once_and_short_ones_in_their_cells(scored: GapResult) -> None:
    lines = [line.strip() for line in score_lines(scored)]
    beginning = {line.split("  ")[0]: line for line in lines if line}
    assert beginning["second"].endswith("undefined [1]")
    assert beginning["fifth"].endswith("undefined [1]")
    assert beginning["third"].endswith("undefined: no head")
    assert "[2]" in beginning["fourth"]
    text = " ".join(" ".join(lines).split())
    assert text.count(LONG_REASON) == 1
    assert f"[1] {LONG_REASON}" in text
    assert text.count(f"[2] {NO_INTERVAL}") == 2  # the second of the scores, and of the distances, which count anew


def test_a_floor_that_there_is_not_says_why(scored: GapResult) -> None:
    text = "\n".join(score_lines(scored))
    row = next(line for line in text.splitlines() if line.startswith("  ungrouped"))
    assert row.split() == ["ungrouped", "1", "0.5", "to", "1.5", "[1]"]
    assert f"[1] {NO_FLOOR}" in text
    assert NO_FLOOR in page(scored)


def test_no_line_is_wider_than_a_terminal_of_100_columns(scored: GapResult) -> None:
    assert max(len(line) for line in score_lines(scored)) <= 100


def test_the_columns_are_as_wide_as_their_cells_and_no_wider(scored: GapResult) -> None:
    lines = score_lines(scored)
    head = next(line for line in lines if line.startswith("  score"))
    first = next(line for line in lines if line.startswith("  first"))
    fourth = next(line for line in lines if line.startswith("  fourth"))
    for title, cell in (("95 % interval", "0.9 to 1.1"), ("better", "higher")):
        assert head.index(title) == first.index(cell)
    assert fourth.index("[2]") == head.index("95 % interval")
    assert head.index("better") - head.index("95 % interval") == len("95 % interval") + 2


def test_a_short_row_is_aligned_but_for_its_last_cell() -> None:
    lines = table_lines(("a", "b", "c"), [("x", "y", "z"), ("w", "longer", "1"), ("v", "the longest", "no")[:2]])
    assert lines == ["  a  b       c", "  x  y       z", "  w  longer  1", "  v  the longest"]


def test_notes_are_wrapped_and_reasons_that_stand_nowhere_are_left_out() -> None:
    long = " ".join(["word"] * 60)
    rows, notes = footnoted([("a", long)], ["x" * (LONG + 1), long, ""])
    assert rows == [("a", "[1]")]
    assert len(notes) > 2
    assert all(len(line) <= WIDTH for line in notes)
    assert all(line.startswith("    ") for line in notes[1:])
    assert footnoted([("a", "r" * LONG)], ["r" * LONG]) == ([("a", "r" * LONG)], [])
