"""Results: frozen values that carry numbers with n, interval and provenance, and become JSON and back.

``to_json`` gives the text of ``result.json``; ``from_json`` reads it again into an equal value. What could not be
computed has the status "undefined" with its reason, never NaN.
"""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar, Literal

from gapkit.errors import DataError

Status = Literal["ok", "partial", "undefined"]
Interval = tuple[float, float]
SCHEMA = 1
LIBRARIES = ("gapkit", "numpy", "scipy", "scikit-learn", "torch", "timm", "transformers")


@dataclass(frozen=True, kw_only=True)
class Misalignment:
    """The misalignment of one label-map family under one discrepancy, cross-fitted.

    Attributes:
        label_map: "injection", "channel" or "linear".
        discrepancy: "kl" (nats) or "zero_one".
        value: mean per-sample discrepancy on held-out folds; None where undefined.
        normalised: value over the same discrepancy of the cross-fitted class prior.
        interval: 95 % interval of ``normalised``.
        value_interval: 95 % interval of ``value``.
        in_sample: the optimum fitted and scored on all samples: in expectation a lower bound of D.
        proper: whether the discrepancy against one-hot labels is a proper loss.
        n: scored samples.
        status: "ok", "partial" (some classes are never scored) or "undefined".
        reason: why it is partial or undefined; empty where it is ok.
    """

    label_map: str
    discrepancy: str
    value: float | None
    normalised: float | None
    interval: Interval | None
    value_interval: Interval | None
    in_sample: float | None
    proper: bool
    n: int
    status: Status = "ok"
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What is needed to get the same numbers again.

    Attributes:
        versions: of Python, gapkit and the libraries that compute.
        seed: of folds, starts and resamples.
        data_hash: SHA-256 of the samples that were used.
        weights_hash: SHA-256 of the source's weights.
        options: every option that changes a number.
        created: time of the measurement, ISO 8601 in UTC.
        seconds: wall-clock seconds of the measurement.
    """

    versions: dict[str, str]
    seed: int
    data_hash: str
    weights_hash: str
    options: dict[str, Any]
    created: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class SourceSummary:
    """The source as it was used: name, K_s, where the head came from, device and precision."""

    name: str
    n_classes: int
    head: str
    description: str
    device: str
    precision: str


@dataclass(frozen=True, kw_only=True)
class TargetSummary:
    """The target as it was used: n samples of one split, K_t classes with their counts, and the embedder."""

    name: str
    n: int
    n_classes: int
    task: str
    embedder: str
    embedder_reason: str
    split: str
    shape: tuple[int, ...]
    dtype: str
    groups: str | None
    class_counts: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class GapResult:
    """The gap between a source and a target through one embedder.

    Attributes:
        source: the source as it was used.
        target: the target as it was used, with the embedder.
        misalignment: one entry for each label-map family and discrepancy.
        label_maps: lines of each family refitted on all samples used: target and source class, agreement (the share of
            folds whose own map has the line) and, of a channel, mass.
        label_map_fits: their temperature and eps, and the evidence of convergence that the family has.
        notes: what the reader, the embedder and the estimators said, in words.
        provenance: versions, seed, hashes, options.
    """

    kind: ClassVar[str] = "gap"

    source: SourceSummary
    target: TargetSummary
    misalignment: tuple[Misalignment, ...]
    label_maps: dict[str, list[dict[str, Any]]]
    label_map_fits: dict[str, dict[str, Any]]
    notes: tuple[str, ...] = ()
    provenance: Provenance = field(repr=False)

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
        """The JSON object: ``schema``, ``kind``, then the fields."""
        return {"schema": SCHEMA, "kind": self.kind, **asdict(self)}

    def to_json(self) -> str:
        """The text of ``result.json``; NaN and infinity cannot occur."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> GapResult:
        """Read ``to_json`` again.

        Raises:
            DataError: the text is not a gap result of this schema.
        """
        try:
            content = json.loads(text)
            if (content.pop("schema"), content.pop("kind")) != (SCHEMA, cls.kind):
                raise KeyError("kind")
            return cls(
                source=SourceSummary(**content["source"]),
                target=TargetSummary(**content["target"] | {"shape": tuple(content["target"]["shape"])}),
                misalignment=tuple(_misalignment(row) for row in content["misalignment"]),
                label_maps=content["label_maps"],
                label_map_fits=content["label_map_fits"],
                notes=tuple(content["notes"]),
                provenance=Provenance(**content["provenance"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"result: not a gap result ({type(error).__name__}: {error})",
                expected=f"the JSON of `gapkit measure`, schema {SCHEMA}",
                remedy="measure again with this version of gapkit",
            ) from error

    def table(self) -> str:
        """The table that ``gapkit measure`` prints, as plain text."""
        from gapkit.reports.text import gap_table

        return gap_table(self)

    def plot(self) -> Any:
        """A matplotlib figure: every family's normalised misalignment with its interval."""
        from gapkit.reports.plots import plot_misalignment

        return plot_misalignment(self)

    def save(self, folder: str | Path) -> Path:
        """Write ``result.json`` and ``figures/`` into ``folder`` and return it."""
        from gapkit.reports.folder import write_run

        return write_run(self, Path(folder))


def _misalignment(row: dict[str, Any]) -> Misalignment:
    """One entry from JSON, where tuples are lists."""
    whole: dict[str, Any] = dict(row)
    for key in ("interval", "value_interval"):
        whole[key] = None if row[key] is None else tuple(row[key])
    return Misalignment(**whole)


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that compute; a library that is not installed is left out."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
