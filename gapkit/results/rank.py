"""Sources, and layers, ordered by transferability scores on one target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from gapkit.estimates import Interval, ScoreRow, read_score, with_interval
from gapkit.results.base import Result
from gapkit.results.provenance import SourceSummary, TargetSummary, read_target

FEATURES = "features"
"""The layer that is what the head sees."""


@dataclass(frozen=True, kw_only=True)
class Rank:
    """A place in the order of one score.

    Attributes:
        value: 1 is the best; equal scores share the mean of their places.
        interval: of 95 %, over the samples of the target.
    """

    value: float
    interval: Interval | None


@dataclass(frozen=True, kw_only=True)
class RankRow:
    """One source, or one of its layers.

    Attributes:
        source: its name.
        layer: "features" is what the head sees.
        scores: name -> score. Those that are read off the head stand with "features" only.
        rank: name -> place among the rows that have the score.
    """

    source: str
    layer: str
    scores: dict[str, ScoreRow]
    rank: dict[str, Rank]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far two scores agree on the order of the rows.

    Attributes:
        a: name of a score.
        b: name of another.
        tau: Kendall's tau-b; None where fewer than two rows have both, or one score is the same for all.
        interval: of 95 %, over the samples of the target; other sources would be another question.
        n: rows that have both.
    """

    a: str
    b: str
    tau: float | None
    interval: Interval | None
    n: int


@dataclass(frozen=True, kw_only=True)
class RankResult(Result):
    """Sources ordered for one target.

    Attributes:
        target: the target as it was used; each source has its own embedder, in ``embedders``.
        sources: the sources as they were used.
        embedders: source -> its embedder, in words.
        rows: sources, or layers of sources, the best first: by the mean of their places, ``(rank - 1) / (count - 1)``,
            over the scores that ``count`` > 1 rows have. A rank among few rows so weighs as much as one among many.
        agreement: one entry for each pair of scores.
        notes: what the readers and sources said, in words.
        provenance: versions, seed, hashes, options; the weights' hash is that of all sources' hashes.
    """

    kind: ClassVar[str] = "rank"
    noun: ClassVar[str] = "a ranking"
    command: ClassVar[str] = "rank"

    target: TargetSummary
    sources: tuple[SourceSummary, ...]
    embedders: dict[str, str]
    rows: tuple[RankRow, ...]
    agreement: tuple[Agreement, ...]
    notes: tuple[str, ...] = ()

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of the scores, in the order of the catalogue."""
        by_length = sorted((row.scores for row in self.rows), key=len, reverse=True)
        return tuple(dict.fromkeys(name for scores in by_length for name in scores))

    @property
    def titles(self) -> dict[str, str]:
        """Name of each score -> its title."""
        found = {name: score.title for row in self.rows for name, score in row.scores.items()}
        return {name: found[name] for name in self.scores}

    def order(self, score: str) -> tuple[RankRow, ...]:
        """The rows by one score, the best first; rows without it are left out.

        Raises:
            KeyError: no row has it.
        """
        held = [row for row in self.rows if score in row.rank]
        if not held:
            raise KeyError(score)
        return tuple(sorted(held, key=lambda row: row.rank[score].value))

    def label(self, row: RankRow) -> str:
        """What a row is called: its source, with its layer where layers are ranked."""
        layers = any(other.layer != FEATURES for other in self.rows)
        return f"{row.source} {row.layer}" if layers else row.source

    @classmethod
    def _read(cls, content: dict[str, Any]) -> dict[str, Any]:
        """The fields but the provenance, from the JSON object."""
        return {
            "target": read_target(content["target"]),
            "sources": tuple(SourceSummary(**source) for source in content["sources"]),
            "embedders": content["embedders"],
            "rows": tuple(_read_row(row) for row in content["rows"]),
            "agreement": tuple(Agreement(**with_interval(pair)) for pair in content["agreement"]),
            "notes": tuple(content["notes"]),
        }

    def table(self) -> str:
        """The table that ``gapkit rank`` prints, as plain text."""
        from gapkit.reports.rank_text import rank_table

        return rank_table(self)

    def plot(self, figure: str = "ranks") -> Any:
        """A matplotlib figure: "ranks", "values" or "agreement".

        Raises:
            OptionError: there is no such figure, or the result has nothing for it.
        """
        from gapkit.reports.rank_charts import draw_rank_chart

        return draw_rank_chart(self, figure)


def _read_row(row: dict[str, Any]) -> RankRow:
    """A row from JSON."""
    return RankRow(
        source=row["source"],
        layer=row["layer"],
        scores={name: read_score(item) for name, item in row["scores"].items()},
        rank={name: Rank(**with_interval(item)) for name, item in row["rank"].items()},
    )
