"""Measured numbers: each with n, interval, status and reason, and back from JSON.

What could not be computed has the status "undefined" with its reason, never NaN.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["ok", "partial", "undefined"]
Interval = tuple[float, float]


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


def undefined(reason: str, n: int) -> Estimate:
    """No number, and why.

    Example:
        >>> undefined("one sample", 1).status
        'undefined'
    """
    return Estimate(value=None, interval=None, n=n, status="undefined", reason=reason)


@dataclass(frozen=True, kw_only=True)
class Null:
    """What is seen where labels tell nothing: a cheap statistic, observed and with labels permuted within folds.

    Attributes:
        statistic: its name; of a label map a normalised discrepancy, small where the source knows something, of a score
            the score itself.
        observed: on the labels as they are; None where undefined.
        mean: over the permutations.
        p: ``(1 + number of permutations whose statistic is at most the observed one) / (1 + r)``; of a score that is
            high where the source suits the target, at least instead of at most.
        r: permutations.
        interval: that holds 95 % of the permutations' statistics; None where undefined.
        status: "ok" or "undefined".
        reason: why it is undefined.
    """

    statistic: str
    observed: float | None
    mean: float | None
    p: float | None
    r: int
    interval: Interval | None = None
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
class ClassGap:
    """The misalignment of one target class: mean KL, in nats, of its scored samples.

    Attributes:
        name: of the target class.
        n: its scored samples.
        prior: what the cross-fitted class prior loses on them, in nats.
        label_maps: family -> what it loses on them, in nats.
    """

    name: str
    n: int
    prior: float
    label_maps: dict[str, Estimate] = field(default_factory=dict[str, Estimate])


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """A transferability score of a source on a target, beside the misalignment.

    Attributes:
        name: such as "logme".
        title: such as "LogME".
        value: None where undefined.
        interval: 95 % interval; None where undefined.
        n: samples that were read.
        direction: "higher" or "lower": which end means that the source suits the target better.
        unit: such as "nats"; empty where it has none.
        conditional: whether it tells about P(Y|X).
        null: the permutation test on the score itself; None where none was asked for.
        status: "ok" or "undefined".
        reason: why it is undefined, why it has no interval, or what the interval leaves out.
    """

    name: str
    title: str
    value: float | None
    interval: Interval | None
    n: int
    direction: Literal["higher", "lower"]
    unit: str = ""
    conditional: bool = True
    null: Null | None = None
    status: Status = "ok"
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class DistanceRow:
    """A distance between the target and the source's surrogate, in the source's features.

    Attributes:
        name: such as "mmd2".
        title: such as "MMD^2".
        value: None where undefined.
        interval: 95 % interval; None where undefined.
        floor: the larger of the distances between two halves of the target and of the surrogate, where there is nothing
            to be measured; None where undefined.
        halves: the distance between a half of the target and a half of the surrogate, of the same size as those of the
            floor: the one to be read beside it.
        floor_size: samples of such a half.
        n: target samples that were read.
        n_surrogate: surrogate samples that were read.
        direction: "lower": the nearer, the better.
        unit: such as "squared feature units".
        conditional: whether labels enter.
        null: the permutation test, where labels enter.
        status: "ok" or "undefined".
        reason: why it is undefined, or why it has no interval.
    """

    name: str
    title: str
    value: float | None
    interval: Interval | None
    n: int
    n_surrogate: int
    floor: float | None = None
    halves: float | None = None
    floor_size: int = 0
    direction: Literal["higher", "lower"] = "lower"
    unit: str = ""
    conditional: bool = False
    null: Null | None = None
    status: Status = "ok"
    reason: str = ""


def read_score(row: dict[str, Any]) -> ScoreRow:
    """A score from JSON."""
    return ScoreRow(**_with_null(row))


def read_distance(row: dict[str, Any]) -> DistanceRow:
    """A distance from JSON."""
    return DistanceRow(**_with_null(row))


def read_misalignment(row: dict[str, Any]) -> Misalignment:
    """One entry from JSON, where tuples are lists."""
    whole: dict[str, Any] = dict(row)
    for key in ("interval", "value_interval", "bounds"):
        whole[key] = None if row[key] is None else tuple(row[key])
    whole["excess"] = None if row["excess"] is None else read_estimate(row["excess"])
    whole["null"] = None if row["null"] is None else Null(**with_interval(row["null"]))
    return Misalignment(**whole)


def read_estimate(item: dict[str, Any]) -> Estimate:
    """One number from JSON."""
    return Estimate(**with_interval(item))


def read_class(item: dict[str, Any]) -> ClassGap:
    """One target class from JSON."""
    whole: dict[str, Any] = dict(item)
    whole["label_maps"] = {family: read_estimate(found) for family, found in item["label_maps"].items()}
    return ClassGap(**whole)


def with_interval(item: dict[str, Any]) -> dict[str, Any]:
    """An object from JSON whose interval is a tuple again."""
    return item | {"interval": None if item["interval"] is None else tuple(item["interval"])}


def _with_null(row: dict[str, Any]) -> dict[str, Any]:
    """A row from JSON with its interval and its permutation test."""
    whole: dict[str, Any] = with_interval(row)
    whole["null"] = None if row["null"] is None else Null(**with_interval(row["null"]))
    return whole
