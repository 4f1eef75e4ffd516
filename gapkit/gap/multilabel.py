"""Multi-label targets: one label against the rest, and the mean over labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gapkit.arrays import Array, Floats
from gapkit.errors import DataError
from gapkit.estimates import Estimate, Misalignment, Null, Status
from gapkit.gap.conditional import Measured, fit_and_score, fitted_under_notes
from gapkit.gap.inputs import ConditionalInputs, GapOptions, MisalignmentResult
from gapkit.gap.scoring import from_zero
from gapkit.options import given_or_default
from gapkit.statistics.uncertainty import mean_ratio_interval
from gapkit.types import Progress, no_progress

WITH, WITHOUT = "with", "without"
NO_MACRO_NULL = "each label has its own permutation test"


@dataclass(frozen=True, kw_only=True)
class MultilabelResult:
    """The misalignment of a multi-label target.

    Attributes:
        rows: one for each family and discrepancy, the unweighted mean over the labels that can be measured.
        decomposition: likewise of the parts.
        per_label: label -> its own result, the label against the rest.
        skipped: label -> why it cannot be measured.
        n_scored: samples that are scored for every measured label.
        notes: what else there is to say.
    """

    rows: tuple[Misalignment, ...]
    decomposition: dict[str, Estimate]
    per_label: dict[str, MisalignmentResult]
    skipped: dict[str, str]
    n_scored: int
    notes: tuple[str, ...] = ()


def measure_multilabel(
    inputs: ConditionalInputs,
    indicators: Array,
    label_names: Sequence[str] = (),
    options: GapOptions | None = None,
    progress: Progress = no_progress,
) -> MultilabelResult:
    """The misalignment of each label against the rest, and ``(1/m) sum_j`` of it over the m labels.

    Every label is a target with the two classes "without" and "with". The mean has an interval of its own: all labels
    share their resamples. Labels that too few samples (or too few groups) have, or lack, are skipped and named.

    Args:
        inputs: source conditional, features and groups; its labels are not read.
        indicators: (n, m) 1 where a sample has a label, else 0.
        label_names: (m,) by default their positions.
        options: as for ``measure_misalignment``.
        progress: told about each label.

    Raises:
        DataError: indicators are no (n, m) zeros and ones, or no label can be measured.
    """
    options = given_or_default(options, GapOptions)
    codes = _check_indicators(indicators, len(inputs.labels))
    names = tuple(label_names) or tuple(str(j) for j in range(codes.shape[1]))
    measured: dict[str, Measured] = {}
    skipped: dict[str, str] = {}
    for j, name in enumerate(names):
        one = replace(inputs, labels=codes[:, j], n_classes=2, class_names=(WITHOUT, WITH), values=None, tuned=None)
        try:
            measured[name] = fit_and_score(one, options)
        except DataError as error:
            skipped[name] = error.got
        progress("labels", j + 1, len(names))
    if not measured:
        raise DataError(
            f"none of {len(names)} labels can be measured ({next(iter(skipped.values()))})",
            expected="a label that enough samples have and enough lack",
            remedy="use fewer folds (--folds) or more samples",
        )
    return _summarise(inputs, measured, skipped, options)


def _check_indicators(indicators: Array, n: int) -> Array:
    """Zeros and ones (n, m) as int64."""
    indicators = np.asarray(indicators)
    if indicators.ndim != 2 or len(indicators) != n or not np.isin(indicators, (0, 1)).all():
        raise DataError(
            f"indicators has shape {indicators.shape}",
            expected=f"zeros and ones ({n}, m), one column for each label",
            remedy="pass 1 where a sample has the label",
        )
    return indicators.astype(np.int64)


def _summarise(
    inputs: ConditionalInputs, measured: Mapping[str, Measured], skipped: dict[str, str], options: GapOptions
) -> MultilabelResult:
    """Means over labels, each of the ratios that every measured label has."""
    reason = ""
    if skipped:
        reason = f"labels {', '.join(skipped)} have, or lack, too few samples: left out of the mean"
    first = next(iter(measured.values()))
    shared = [key for key in first.ratios if all(key in item.ratios for item in measured.values())]
    # One order of samples for all labels, the canonical one, so that a permutation changes nothing.
    order = first.canonical.order
    found: dict[str, Estimate] = {}
    for key in shared:
        above, below = (np.stack([item.ratios[key][side] for item in measured.values()], axis=1) for side in (0, 1))
        groups = first.canonical.inputs.groups
        found[key] = _mean(above[order], below[order], groups, options, "partial" if skipped else "ok", reason)
    rows = tuple(_macro_row(row, measured, found, reason) for row in first.result.rows)
    return MultilabelResult(
        rows=rows,
        decomposition={part: found.get(part, estimate) for part, estimate in first.result.decomposition.items()},
        per_label={name: item.result for name, item in measured.items()},
        skipped=skipped,
        n_scored=len(order),
        notes=(
            *(f"label {name} cannot be measured: {why}" for name, why in skipped.items()),
            *fitted_under_notes(options),
        ),
    )


def _mean(
    above: Floats, below: Floats, groups: Array | None, options: GapOptions, status: Status, reason: str
) -> Estimate:
    """The mean of the labels' ratios."""
    interval = mean_ratio_interval(above, below, groups=groups, resamples=options.bootstrap, seed=options.seed)
    return Estimate(
        value=float(interval.value[0]),
        interval=(float(interval.low[0]), float(interval.high[0])),
        n=len(above),
        status=status,
        reason=reason,
    )


def _macro_row(
    row: Misalignment, measured: Mapping[str, Measured], found: Mapping[str, Estimate], reason: str
) -> Misalignment:
    """The mean over labels of one family under one discrepancy; undefined where a label's is."""
    key = f"{row.discrepancy} {row.label_map}"
    value, normalised = found.get(f"{key} value"), found.get(f"{key} normalised")
    own = [other for item in measured.values() for other in item.result.rows if _same(other, row)]
    if value is None or normalised is None:
        why = next(other.reason for other in own if other.status == "undefined")
        return replace(
            row,
            value=None,
            normalised=None,
            interval=None,
            value_interval=None,
            in_sample=None,
            bounds=None,
            n=0,
            excess=None,
            null=None,
            status="undefined",
            reason=why,
        )
    inside = [other.in_sample for other in own if other.in_sample is not None]
    return replace(
        row,
        value=value.value,
        value_interval=from_zero(value),
        normalised=normalised.value,
        interval=from_zero(normalised),
        in_sample=float(np.mean(inside)) if len(inside) == len(own) else None,
        bounds=None,
        n=value.n,
        excess=found.get(f"{key} excess"),
        null=None if row.null is None else _no_null(row.null),
        status=value.status,
        reason=reason,
    )


def _same(left: Misalignment, right: Misalignment) -> bool:
    """Whether two rows are of the same family and discrepancy."""
    return (left.label_map, left.discrepancy) == (right.label_map, right.discrepancy)


def _no_null(null: Null) -> Null:
    """Folds differ between labels, so their permutations cannot be joined."""
    return Null(
        statistic=null.statistic, observed=None, mean=None, p=None, r=0, status="undefined", reason=NO_MACRO_NULL
    )
