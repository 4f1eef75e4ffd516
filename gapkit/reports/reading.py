"""What the numbers of a gap say, in plain sentences that never claim more than the intervals hold.

Words follow from the *ends* of the 95 % intervals by the tables below, never from the values alone; a part of the
decomposition counts as a gain only where its interval is above 0, and advice is that of the README's table of parts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gapkit.estimates import Interval, Misalignment
from gapkit.results import GapResult

ALMOST_NOTHING, LITTLE, MOST, NEARLY_ALL = 0.05, 0.25, 0.5, 0.9
"""Shares recovered: the first two are bounds of the upper end of the interval, the others of its lower end."""
LARGE_PART = 0.1
"""A part is large enough for advice where its interval is above this share of the class prior's misalignment."""
SMALL_P = 0.05

Level = tuple[str, Callable[[float, float], bool], str]
LEVELS: tuple[Level, ...] = (
    ("misleads", lambda low, high: high < 0, "mislead{s} on new samples, worse than the class prior"),
    ("unread", lambda low, high: low == high == 0, "give{s} nothing beyond the class prior on these samples"),
    ("nearly all", lambda low, high: low > NEARLY_ALL, "recover{s} nearly all of {what}"),
    ("most", lambda low, high: low > MOST, "recover{s} most of {what}"),
    ("almost nothing", lambda low, high: high < ALMOST_NOTHING, "say{s} almost nothing about this target"),
    ("open", lambda low, high: low <= 0, "may say nothing about this target"),
    ("little", lambda low, high: high < LITTLE, "say{s} little about this target"),
    ("some", lambda low, high: True, "recover{s} a part of {what}"),
)
"""Name, condition on the interval of the share recovered, and words, from the first that holds."""
SUBJECTS = {
    "injection": ("Taken one to one, the source's labels", ""),
    "partition": ("Grouped, the source's labels", ""),
    "channel": ("Mixed freely, the source's labels", ""),
    "linear": ("A linear head on the source's features", "s"),
    "ceiling": ("The best reader tried", "s"),
}


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a part of the decomposition says.

    Attributes:
        family: the freer family, at which it ends.
        gain: said where the part is a gain.
        advice: added where it is a large one; after the README's table of parts.
    """

    family: str
    gain: str
    advice: str


STEPS = {
    "relabelling": Step(
        family="channel", gain="the labels tell the classes apart, but not one to one", advice="relabel"
    ),
    "readout": Step(
        family="linear", gain="there is knowledge in the features that is not in the labels", advice="train a new head"
    ),
    "nonlinear": Step(
        family="ceiling",
        gain="there is knowledge in the features that the linear head does not read",
        advice="fine-tune, or train a deeper head",
    ),
}
REST = "learn it from the target, change the embedder, or it is noise in the labels"


def read_gap(result: GapResult) -> list[str]:
    """The reading of a result, one sentence or two in each entry: what is known, where, how sure, and what to do."""
    rows = main_rows(result)
    if not rows:
        return []
    return [
        *_read_families(result, rows),
        *_read_rest(result),
        *_read_tests(result, rows),
        *_read_numbers(result),
        *_read_limits(result, rows),
    ]


def main_rows(result: GapResult) -> dict[str, Misalignment]:
    """Family -> its entry under KL, or where that was not measured under the first discrepancy."""
    names = [row.discrepancy for row in result.misalignment]
    wanted = "kl" if "kl" in names else names[0] if names else ""
    return {row.label_map: row for row in result.misalignment if row.discrepancy == wanted}


def level(interval: Interval) -> str:
    """The word for an interval of the normalised misalignment.

    Example:
        >>> level((0.95, 0.98)), level((0.02, 0.08)), level((0.4, 0.6)), level((0.9, 1.1)), level((1.01, 1.2))
        ('little', 'nearly all', 'some', 'open', 'misleads')
    """
    return _entry(interval)[0]


def _entry(interval: Interval) -> Level:
    """The row of ``LEVELS`` for an interval of the normalised misalignment."""
    low, high = 1 - interval[1], 1 - interval[0]
    return next(entry for entry in LEVELS if entry[1](low, high))


def _reaches_prior(interval: Interval) -> bool:
    """Whether a normalised value of 1 or more cannot be ruled out."""
    return interval[1] >= 1


def percent(share: float) -> str:
    """A share in whole percent, small ones with one decimal.

    Example:
        >>> percent(0.347), percent(0.004), percent(-0.00001)
        ('35', '0.4', '0')
    """
    text = f"{100 * share:.1f}" if 0.0005 <= abs(share) < 0.0095 else f"{100 * share:.0f}"
    return "0" if float(text) == 0 else text


def span(interval: Interval | None, digits: int = 2) -> str:
    """An interval as text, nothing where there is none.

    Example:
        >>> span((0.1234, 0.5)), span((-0.1, 0.05)), span((0.1234, 0.5), 3)
        ('0.12 - 0.50', '-0.10 to 0.05', '0.123 - 0.500')
    """
    if interval is None:
        return ""
    low, high = interval
    return f"{low:z.{digits}f} {'-' if round(low, digits) >= 0 else 'to'} {high:z.{digits}f}"


def percents(interval: Interval) -> str:
    """An interval of shares in percent."""
    joint = "-" if interval[0] >= 0 else "to"
    return f"{percent(interval[0])} {joint} {percent(interval[1])} %"


def _read_families(result: GapResult, rows: dict[str, Misalignment]) -> list[str]:
    """The strictest family that there is, then what each freer one adds."""
    said: list[str] = []
    parts = {step.family: (name, step) for name, step in STEPS.items()}
    for family in ("injection", "channel", "linear", "ceiling"):
        row = rows.get(family)
        if row is None:
            continue
        if row.normalised is None or row.interval is None:
            said.append(f"The {family} is undefined: {row.reason}.")
            continue
        name, step = parts.get(family, ("", None))
        part = result.decomposition.get(name)
        sentence, added = _sentence(result, family, row, row.interval), ""
        if step is not None and part is not None and part.interval is not None:
            if family == "ceiling" and part.interval[0] <= 0:
                continue  # it repeats what the linear head says
            added = _addition(name, step, part.interval, row.interval)
        said.append(f"{sentence}{added}.")
    return said


def _sentence(result: GapResult, family: str, row: Misalignment, interval: Interval) -> str:
    """What a family recovers, in words and numbers; where that may be nothing, its normalised value."""
    _, _, words = _entry(interval)
    subject, ending = SUBJECTS[family]
    what = _what(result, row.discrepancy)
    if _reaches_prior(interval):
        ends = f"{interval[0]:z.2f} - {interval[1]:z.2f}"
        numbers = f"{family}: normalised misalignment {row.normalised:z.2f}, 95 % interval {ends}"
        numbers += ", which contains 1, the class prior's" if interval[0] < 1 else ""
    else:
        amount = percent(1 - (row.normalised or 0.0))
        share = "" if "{what}" in words else f" of {what}"
        numbers = f"{family}: {amount} %{share}, 95 % interval {percents((1 - interval[1], 1 - interval[0]))}"
    return f"{subject} {words.format(s=ending, what=what)} ({numbers})"


def _what(result: GapResult, discrepancy: str) -> str:
    """What a share is a share of."""
    if discrepancy != "kl" or result.provenance.options.get("target_conditional") == "probe":
        return f"what the class prior loses ({'KL' if discrepancy == 'kl' else discrepancy.replace('_', ' ')})"
    if result.target.task == "multilabel":
        return "the labels' entropy (mean over labels)"
    return "the entropy of the bins" if result.target.task == "regression" else "the label entropy"


def _addition(name: str, step: Step, interval: Interval, reached: Interval) -> str:
    """What a part adds to the stricter family, by its own interval and that of the value that is reached with it."""
    numbers = f"{name} {span(interval)}"
    if interval[0] > 0 and _reaches_prior(reached):
        return f", and loses less than the stricter reading ({numbers}), but shows no knowledge"
    if interval[0] > 0:
        advice = f": {step.advice}" if interval[0] > LARGE_PART else ""
        return f". The gain ({numbers}) says that {step.gain}{advice}"
    if interval[1] < 0:
        return f". On new samples that is no gain, but a loss ({numbers})"
    return f". No gain over the stricter reading shows ({numbers})"


def _read_rest(result: GapResult) -> list[str]:
    """What no reader finds."""
    part = result.decomposition.get("absent_or_noise")
    if part is None or part.value is None or part.interval is None or part.interval[0] <= LARGE_PART:
        return []
    much = "Most" if part.interval[0] > MOST else "A part"
    said = f"{much} of {_what(result, 'kl')} is found by no reader here (absent_or_noise {span(part.interval)})"
    return [f"{said}: {REST}."]


def _read_tests(result: GapResult, rows: dict[str, Misalignment]) -> list[str]:
    """Whether the source knows anything at all; p is compared with what the number of tests makes of 5 %."""
    if result.per_label:
        return _read_label_tests(result)
    tests = {
        row.null.statistic: (row.null.p, row.null.r) for row in rows.values() if row.null and row.null.p is not None
    }
    if not tests:
        return []
    least, permutations = min(tests.values())
    said = f"smallest p = {least:.3f} of {len(tests)} permutation test{'s' if len(tests) > 1 else ''}"
    if least * len(tests) <= SMALL_P:
        return [
            f"There is evidence that the source knows something about these labels ({said}).",
            *_unused(rows, len(tests)),
        ]
    if len(tests) > SMALL_P * (1 + permutations):
        return [f"{permutations} permutations are too few to tell whether the source knows anything ({said})."]
    if least <= SMALL_P:
        return [f"There is weak evidence that the source knows something about these labels ({said})."]
    return [
        f"There is no evidence that the source knows anything about these labels ({said}), "
        "which is not evidence that it knows nothing."
    ]


def _unused(rows: dict[str, Misalignment], n_tests: int) -> list[str]:
    """Families whose test finds something that their value does not show."""
    names = [
        family
        for family, row in rows.items()
        if row.interval and _reaches_prior(row.interval) and row.null and (row.null.p or 1.0) * n_tests <= SMALL_P
    ]
    if not names:
        return []
    return [f"It is something that {' and '.join(names)} cannot use on so few samples."]


def _read_label_tests(result: GapResult) -> list[str]:
    """For how many of several labels each family's p is small."""
    counts: dict[str, list[bool]] = {}
    for own in result.per_label.values():
        for row in own:
            if row.discrepancy == own[0].discrepancy and row.null is not None and row.null.p is not None:
                counts.setdefault(row.label_map, []).append(row.null.p <= SMALL_P)
    if not counts:
        return []
    told = ", ".join(f"{family} {sum(small)} of {len(small)}" for family, small in counts.items())
    return [f"Labels with p of at most {SMALL_P}: {told}; by chance it would be about 1 in 20."]


def _read_numbers(result: GapResult) -> list[str]:
    """R^2 of each family, of a target that is a number."""
    known = {name: found for name, found in result.r_squared.items() if found.value is not None and found.interval}
    if not known:
        return []
    told = [f"{name} {found.value:z.2f} ({span(found.interval)})" for name, found in known.items()]
    words = "As numbers, the expected values explain this share of the variance (R^2, 95 % interval)"
    worse = [name for name, found in known.items() if found.interval and found.interval[1] < 0]
    tail = f"; below 0 they are worse than the mean ({', '.join(worse)})" if worse else ""
    return [f"{words}: {', '.join(told)}{tail}."]


def _read_limits(result: GapResult, rows: dict[str, Misalignment]) -> list[str]:
    """What the numbers leave out."""
    reasons = dict.fromkeys(row.reason for row in rows.values() if row.status == "partial" and row.reason)
    said = [f"The numbers leave something out: {reason}." for reason in reasons]
    if result.target.groups is not None:
        said.append(f"Intervals resample whole groups ({result.target.groups}); few groups make them unsure.")
    return said
