"""The gap between a source and a target."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from gapkit.arrays import Array
from gapkit.estimates import (
    ClassGap,
    DistanceRow,
    Estimate,
    Misalignment,
    ScoreRow,
    read_class,
    read_distance,
    read_estimate,
    read_misalignment,
    read_score,
)
from gapkit.results.base import Result
from gapkit.results.provenance import SourceSummary, TargetSummary, read_target


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Examples to look at, each (H, W) or (H, W, 3) uint8.

    Attributes:
        target: target class -> samples as they are, where they are images.
        seen: target class -> the same samples as the embedder gives them to an image source.
        source: source class -> images that the source's surrogate has of it.
    """

    target: dict[str, tuple[Array, ...]] = field(default_factory=dict[str, tuple[Array, ...]])
    seen: dict[str, tuple[Array, ...]] = field(default_factory=dict[str, tuple[Array, ...]])
    source: dict[str, tuple[Array, ...]] = field(default_factory=dict[str, tuple[Array, ...]])


@dataclass(frozen=True, kw_only=True)
class GapResult(Result):
    """The gap between a source and a target through one embedder.

    Attributes:
        source: the source as it was used.
        target: the target as it was used, with the embedder.
        misalignment: one entry for each label-map family and discrepancy; of a multi-label target the mean over its
            labels.
        decomposition: parts of the injection's normalised KL: "relabelling", "readout", "nonlinear",
            "absent_or_noise".
        r_squared: family -> R^2 of the expected bin mean, of a binned regression target.
        per_label: label -> its own entries, of a multi-label target.
        classes: the misalignment class by class, of a target with one label per sample.
        layers: layer -> entries of the families that read features, from that layer's.
        label_maps: lines of each family refitted on all samples used: target and source class, agreement (the share of
            folds whose own map has the line) and, of a channel, mass.
        label_map_fits: their temperature and eps, and the evidence of convergence that the family has.
        scores: transferability scores, as far as they were asked for.
        distances: between the target and the source's surrogate, likewise.
        notes: what the reader, the embedder and the estimators said, in words.
        pictures: examples of both sides, for the report; they are no part of the JSON.
    """

    kind: ClassVar[str] = "gap"
    noun: ClassVar[str] = "a gap result"
    command: ClassVar[str] = "measure"

    source: SourceSummary
    target: TargetSummary
    misalignment: tuple[Misalignment, ...]
    label_maps: dict[str, list[dict[str, Any]]]
    label_map_fits: dict[str, dict[str, Any]]
    decomposition: dict[str, Estimate] = field(default_factory=dict[str, Estimate])
    r_squared: dict[str, Estimate] = field(default_factory=dict[str, Estimate])
    per_label: dict[str, tuple[Misalignment, ...]] = field(default_factory=dict[str, tuple[Misalignment, ...]])
    classes: tuple[ClassGap, ...] = ()
    layers: dict[str, tuple[Misalignment, ...]] = field(default_factory=dict[str, tuple[Misalignment, ...]])
    scores: tuple[ScoreRow, ...] = ()
    distances: tuple[DistanceRow, ...] = ()
    notes: tuple[str, ...] = ()
    pictures: Pictures | None = field(default=None, repr=False, compare=False)

    def find(self, label_map: str, discrepancy: str = "kl") -> Misalignment:
        """The entry of one family and discrepancy.

        Raises:
            KeyError: it was not measured.
        """
        for row in self.misalignment:
            if (row.label_map, row.discrepancy) == (label_map, discrepancy):
                return row
        raise KeyError(f"{label_map} under {discrepancy}")

    def to_dict(self) -> dict[str, Any]:
        """The JSON object: ``schema``, ``kind``, then the fields; pictures are no part of it."""
        content = Result.to_dict(replace(self, pictures=None))
        del content["pictures"]
        return content

    @classmethod
    def _read(cls, content: dict[str, Any]) -> dict[str, Any]:
        """The fields but the provenance, from the JSON object."""
        return {
            "source": SourceSummary(**content["source"]),
            "target": read_target(content["target"]),
            "misalignment": _entries(content["misalignment"]),
            "label_maps": content["label_maps"],
            "label_map_fits": content["label_map_fits"],
            "decomposition": {name: read_estimate(item) for name, item in content["decomposition"].items()},
            "r_squared": {name: read_estimate(item) for name, item in content["r_squared"].items()},
            "per_label": {name: _entries(rows) for name, rows in content["per_label"].items()},
            "classes": tuple(read_class(item) for item in content["classes"]),
            "layers": {name: _entries(rows) for name, rows in content["layers"].items()},
            "scores": tuple(read_score(row) for row in content["scores"]),
            "distances": tuple(read_distance(row) for row in content["distances"]),
            "notes": tuple(content["notes"]),
        }

    def table(self) -> str:
        """The table that ``gapkit measure`` prints, as plain text."""
        from gapkit.reports.text import gap_table

        return gap_table(self)

    def plot(self, figure: str = "misalignment") -> Any:
        """A matplotlib figure: "misalignment", "decomposition", "matches", "label_map", "classes" or "layers".

        Raises:
            OptionError: there is no such figure, or the result has nothing for it.
        """
        from gapkit.reports.charts import draw_chart

        return draw_chart(self, figure)


def _entries(rows: list[dict[str, Any]]) -> tuple[Misalignment, ...]:
    """Entries from JSON."""
    return tuple(read_misalignment(row) for row in rows)
