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
class Estimate:
    """One number with its 95 % interval.

    Attributes:
        value: None where undefined.
        interval: None where undefined.
        n: scored samples.
        status: "ok", "partial" (some classes are never scored) or "undefined".
        reason: why it is partial or undefined; empty where it is ok.
    """

    value: float | None
    interval: Interval | None
    n: int
    status: Status = "ok"
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Null:
    """What is seen where labels tell nothing: a cheap statistic, observed and with labels permuted within folds.

    Attributes:
        statistic: its name; a normalised discrepancy, small where the source knows something.
        observed: on the labels as they are; None where undefined.
        mean: over the permutations.
        p: ``(1 + number of permutations whose statistic is at most the observed one) / (1 + r)``.
        r: permutations.
        status: "ok" or "undefined".
        reason: why it is undefined.
    """

    statistic: str
    observed: float | None
    mean: float | None
    p: float | None
    r: int
    status: Status = "ok"
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Misalignment:
    """The misalignment of one label-map family under one discrepancy, cross-fitted.

    Attributes:
        label_map: "injection", "partition", "channel", "linear" or "ceiling", or a variant that was asked for.
        discrepancy: "kl" (nats), "brier", "total_variation", "zero_one", "squared_hellinger", "jensen_shannon" (nats).
        value: mean per-sample discrepancy on held-out folds; None where undefined.
        normalised: value over the same discrepancy of the cross-fitted class prior.
        interval: 95 % interval of ``normalised``.
        value_interval: 95 % interval of ``value``.
        in_sample: the optimum fitted and scored on all samples: in expectation a lower bound of D.
        bounds: of D, raw, under the discrepancy that maps were fitted under (KL unless asked otherwise): from the lower
            end of the 95 % interval of ``in_sample`` to the upper end of ``value_interval``. The in-sample optimum
            itself is below D only in expectation.
        proper: whether, against one-hot labels, the expected loss is least at the true conditional.
        excess: ``value`` minus that of the ceiling, for KL and Brier, which contain the label noise.
        null: the permutation test; None where none was asked for.
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
    bounds: Interval | None = None
    excess: Estimate | None = None
    null: Null | None = None
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
        misalignment: one entry for each label-map family and discrepancy; of a multi-label target the mean over its
            labels.
        decomposition: parts of the injection's normalised KL: "relabelling", "readout", "nonlinear",
            "absent_or_noise".
        r_squared: family -> R^2 of the expected bin mean, of a binned regression target.
        per_label: label -> its own entries, of a multi-label target.
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
    decomposition: dict[str, Estimate] = field(default_factory=dict[str, Estimate])
    r_squared: dict[str, Estimate] = field(default_factory=dict[str, Estimate])
    per_label: dict[str, tuple[Misalignment, ...]] = field(default_factory=dict[str, tuple[Misalignment, ...]])
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
                decomposition={name: _estimate(item) for name, item in content["decomposition"].items()},
                r_squared={name: _estimate(item) for name, item in content["r_squared"].items()},
                per_label={
                    name: tuple(_misalignment(row) for row in rows) for name, rows in content["per_label"].items()
                },
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
    for key in ("interval", "value_interval", "bounds"):
        whole[key] = None if row[key] is None else tuple(row[key])
    whole["excess"] = None if row["excess"] is None else _estimate(row["excess"])
    whole["null"] = None if row["null"] is None else Null(**row["null"])
    return Misalignment(**whole)


def _estimate(item: dict[str, Any]) -> Estimate:
    """One number from JSON."""
    whole: dict[str, Any] = dict(item)
    whole["interval"] = None if item["interval"] is None else tuple(item["interval"])
    return Estimate(**whole)


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that compute; a library that is not installed is left out."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
