"""Permutation tests of scores: what they say of permuted labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from gapkit.arrays import Array, Floats, Labels
from gapkit.errors import UndefinedError
from gapkit.estimates import Null
from gapkit.scores.inputs import ScoreInputs
from gapkit.statistics.permutation import Relabellings, permutation_p, permute_labels
from gapkit.types import Traits


@runtime_checkable
class Several(Protocol):
    """A statistic, as a function of labels, that takes less work for several labellings together than one by one."""

    def several(self, labellings: Sequence[Array]) -> list[float]:
        """The statistic of each labelling, of which there is at least one.

        Raises:
            UndefinedError: where one of them does not allow it.
        """
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Statistic:
    """What a permutation test compares: the score itself, or a cheaper statistic in its place.

    Attributes:
        traits: of the score.
        name: of the statistic.
        observed: on the labels as they are.
        compute: it, from labels.
        folds: (n,) within which labels are permuted; None where they are permuted freely.
    """

    traits: Traits
    name: str
    observed: float
    compute: Callable[[Array], float]
    folds: Labels | None = None


def permuted_nulls(statistics: Sequence[Statistic], inputs: ScoreInputs, permutations: int) -> dict[str, Null]:
    """The test of each score, by its name; none where no permutations are asked for.

    All that are permuted freely see the same permuted labels, one after the other, and share what depends on those.
    """
    if permutations == 0:
        return {}
    free = [statistic for statistic in statistics if statistic.folds is None]
    found: dict[str, Null] = {}
    for together in (free, *([statistic] for statistic in statistics if statistic.folds is not None)):
        found |= _test(together, inputs, permutations)
    return found


def _test(statistics: Sequence[Statistic], inputs: ScoreInputs, permutations: int) -> dict[str, Null]:
    """Statistics that see the same permuted labels, each as many as its traits say."""
    if not statistics:
        return {}
    permutations = min(permutations, max(statistic.traits.permutations for statistic in statistics))
    drawn, reason = permuted(inputs.labels, statistics[0].folds, inputs.groups, permutations, inputs.seed)
    found: dict[str, list[float]] = {statistic.traits.name: [] for statistic in statistics}
    reasons = dict.fromkeys(found, reason) if reason else {}
    at_once = [statistic for statistic in statistics if isinstance(statistic.compute, Several)]
    one_by_one = [statistic for statistic in statistics if statistic not in at_once]
    # One by one, they share what depends on the latest labels.
    inputs.expected[:] = [labels for labels in drawn if labels.ndim == 1 and labels.dtype.kind == "i"]
    for labellings, own in ((drawn, at_once), *(([labels], one_by_one) for labels in drawn)):
        for statistic in own:
            name, most = statistic.traits.name, statistic.traits.permutations
            if name in reasons or len(found[name]) == most:
                continue
            try:
                found[name] += _computed(statistic.compute, labellings[:most])
            except UndefinedError as error:
                reasons[name] = f"with permuted labels, {error.got}"
    inputs.expected.clear()
    return {
        statistic.traits.name: no_null(statistic.name, statistic.observed, reasons[statistic.traits.name])
        if statistic.traits.name in reasons
        else summarise_null(
            statistic.name, statistic.observed, np.array(found[statistic.traits.name]), statistic.traits
        )
        for statistic in statistics
    }


def _computed(compute: Callable[[Array], float], labellings: Sequence[Array]) -> list[float]:
    """A statistic of some labellings."""
    return compute.several(labellings) if isinstance(compute, Several) else [compute(labels) for labels in labellings]


def no_null(name: str, observed: float, reason: str) -> Null:
    """A test that cannot be made."""
    return Null(statistic=name, observed=observed, mean=None, p=None, r=0, status="undefined", reason=reason)


def summarise_null(name: str, observed: float, found: Floats, traits: Traits) -> Null:
    """Mean, the range of 95 %, and p, whichever end is the better one."""
    sign = -1.0 if traits.better == "higher" else 1.0
    low, high = np.quantile(found, [0.025, 0.975])
    return Null(
        statistic=name,
        observed=observed,
        mean=float(found.mean()),
        p=permutation_p(sign * observed, sign * found),
        r=len(found),
        interval=(float(low), float(high)),
    )


def permuted(
    labels: Array, folds: Labels | None, groups: Labels | None, permutations: int, seed: int
) -> tuple[Sequence[Array], str]:
    """Labels of any kind, permuted (r, n, ...), within folds where there are any, and why they cannot be."""
    within = np.zeros(len(labels), dtype=np.int64) if folds is None else folds
    if labels.ndim == 1 and labels.dtype.kind == "i":
        relabelled = permute_labels(labels, within, groups=groups, permutations=permutations, seed=seed)
        return list(relabelled.labels[1:]), _reason(relabelled, folds)
    # Numbers, and several labels per sample, by codes: equal ones are one, so that groups of one label trade it.
    values, codes = np.unique(labels, axis=0, return_inverse=True)
    own = codes.reshape(-1).astype(np.int64)
    relabelled = permute_labels(own, within, groups=groups, permutations=permutations, seed=seed)
    return [values[row] for row in relabelled.labels[1:]], _reason(relabelled, folds)


def _reason(found: Relabellings, folds: Labels | None) -> str:
    """Why there are no permuted labels; without folds nothing is said of them."""
    return found.reason if folds is not None else found.reason.removeprefix("within folds, ")
