"""What the numbers of an alignment say, in sentences that claim no more than the ends of the intervals hold."""

from __future__ import annotations

from collections.abc import Mapping

from gapkit.estimates import Estimate
from gapkit.labels import NUMBERS
from gapkit.reports.cells import told
from gapkit.reports.reading import main_rows
from gapkit.reports.reuse_text import read_reuse
from gapkit.results import AlignmentResult, GapResult

ALIGNED_FIRST = ("orca", "mmd")
"""Methods whose alignment comes before the warm-up."""
MOMENT_TITLES = {
    "before": "before",
    "warm": "after warm-up",
    "aligned": "after alignment",
    "after": "after fine-tuning",
}
"""Moment -> how tables and figures call it, in the order of the training of most methods."""
AFTER_TRAINING = "after training"
COMPARED_TITLES = MOMENT_TITLES | {"after": AFTER_TRAINING}
"""The same where runs of several methods, of which not all fine-tune, stand beside each other."""
BASES = {
    "classification": "the share of the largest class",
    "regression": "that of the mean of the values",
    "dense": "that of the mean field",
}
"""Task -> what is known without any input."""
METRIC_DIGITS = 3


def moments_of(result: AlignmentResult) -> dict[str, GapResult]:
    """Moment ("before", "warm", "aligned", "after") -> gap, of those measured, in the order of the training."""
    order = ("before", "aligned", "warm", "after") if result.method in ALIGNED_FIRST else tuple(MOMENT_TITLES)
    found = {name.removeprefix("gap_"): gap for name, gap in result.gaps.items()}
    return {moment: found[moment] for moment in order if moment in found}


def moment_title(result: AlignmentResult, moment: str) -> str:
    """How a moment is called; a frozen model is not fine-tuned."""
    return AFTER_TRAINING if (result.method, moment) == ("frozen", "after") else MOMENT_TITLES[moment]


def ladder_of(gap: GapResult) -> dict[str, Estimate]:
    """Label map -> its normalised misalignment, under KL or else the first discrepancy that was measured."""
    return {
        family: Estimate(value=row.normalised, interval=row.interval, n=row.n, status=row.status, reason=row.reason)
        for family, row in main_rows(gap).items()
    }


def read_alignment(result: AlignmentResult) -> list[str]:
    """The reading of a result: the metric, whether the gap has changed, what is left of the source, and limits."""
    return [
        *_read_metric(result),
        *_read_changes(result),
        *([] if result.reuse is None else read_reuse(result.reuse)),
        *_read_limits(result),
    ]


def _read_metric(result: AlignmentResult) -> list[str]:
    """The metric on the test samples against what is known without looking at any input."""
    found, name = result.metric.estimate, result.metric.name
    if found.value is None:
        return [f"The {name} on the test samples is undefined: {found.reason}."]
    said = f"On {found.n} test samples the {name} is {told(found, METRIC_DIGITS)}"
    base = _base(result)
    if base is None or found.interval is None:
        return [f"{said}."]
    low, high = found.interval
    place = "above" if low > base else "below" if high < base else "not clearly above or below"
    return [f"{said}, {place} {base:.{METRIC_DIGITS}f}, {BASES[result.target.task]}."]


def _base(result: AlignmentResult) -> float | None:
    """The metric of a model that knows no input: the share of the largest class, or an R^2 of 0."""
    if result.target.task in NUMBERS:
        return 0.0
    counts = result.target.class_counts.values()
    return max(counts) / sum(counts) if result.target.task == "classification" and sum(counts) else None


def _read_changes(result: AlignmentResult) -> list[str]:
    """For each two moments that are worth comparing, under which label maps the intervals are apart."""
    gaps = moments_of(result)
    middle = "aligned" if "aligned" in gaps else "warm"
    pairs = [("before", middle), ("before", "after")]
    if result.method not in ALIGNED_FIRST and {"warm", "aligned"} <= set(gaps):
        pairs.insert(1, ("warm", "aligned"))
    ladders = {moment: ladder_of(gap) for moment, gap in gaps.items()}
    return [
        f"{moment_title(result, first).capitalize()} against {moment_title(result, second)}: {said}."
        for first, second in pairs
        if first in gaps and second in gaps and (said := read_change(ladders[first], ladders[second]))
    ]


def read_change(first: Mapping[str, Estimate], second: Mapping[str, Estimate]) -> str:
    """Where two ladders' intervals are apart, and where they overlap; empty where none can be compared.

    Example:
        >>> low, high = (Estimate(value=v, interval=(v - 0.1, v + 0.1), n=9) for v in (0.3, 0.8))
        >>> read_change({"linear": high}, {"linear": low})
        'the misalignment falls under linear (0.80 to 0.30), where the 95 % intervals are apart'
    """
    kinds: dict[str, list[str]] = {"falls": [], "rises": [], "": []}
    for family, old in first.items():
        new = second.get(family)
        if new is None or old.interval is None or new.interval is None:
            continue
        way = "falls" if new.interval[1] < old.interval[0] else "rises" if new.interval[0] > old.interval[1] else ""
        kinds[way].append(f"{family} ({old.value:z.2f} to {new.value:z.2f})" if way else family)
    changed = [f"{way} under {_several(names)}" for way, names in kinds.items() if way and names]
    said = [f"the misalignment {' and '.join(changed)}, where the 95 % intervals are apart"] if changed else []
    if kinds[""]:
        said.append(
            f"under {_several(kinds[''])} the intervals overlap, which shows neither a change nor that there is none"
        )
    return "; ".join(said)


def _read_limits(result: AlignmentResult) -> list[str]:
    """What the intervals leave out."""
    said: list[str] = []
    if len(result.seeds) == 1:
        said.append("One seed was trained: no interval here holds what another seed would change.")
    elif result.gaps or result.reuse is not None:
        said.append(
            f"Gaps and reuse are of the first seed's model ({result.seeds[0]}): their intervals hold what other "
            "samples would change, and not what another seed would."
        )
    return said


def _several(names: list[str]) -> str:
    """Names in words."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
