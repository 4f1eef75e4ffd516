"""Results: frozen values that carry numbers with n, interval and provenance, and become JSON and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "partial", "undefined"]
Interval = tuple[float, float]


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
