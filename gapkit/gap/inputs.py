"""What the misalignment is measured on, with which options, and what comes out."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gapkit.arrays import Array, Floats, Labels, Probabilities
from gapkit.errors import DataError, OptionError, did_you_mean
from gapkit.estimates import ClassGap, Estimate, Misalignment
from gapkit.gap.discrepancy import ALL
from gapkit.options import as_names, check_least

FAMILIES = ("injection", "partition", "channel", "linear", "ceiling")
"""From strict to free."""
VARIANTS = ("injection_strict", "linear_plain")
"""The definition to the letter (eps = 0), and the linear head on features alone: on request."""
MEMBERS = ("channel", "linear", "knn", "mlp")
"""What the ceiling is the best of, beside given predictions of a tuned model."""
DISCREPANCIES = ("kl", "zero_one")
ALL_DISCREPANCIES = tuple(measure.name for measure in ALL)
TARGET_CONDITIONALS = ("labels", "probe")
FITTED_UNDER = tuple(name for name in ALL_DISCREPANCIES if name != "zero_one")
"""Zero-one is piecewise constant: nothing says where to go."""
ROW_SUM_TOLERANCE = 1e-3
"""Rows of a softmax in float16 are off by 3e-4, of one in bfloat16 by more."""


@dataclass(frozen=True, kw_only=True)
class GapOptions:
    """What changes the numbers of ``measure_misalignment``.

    Attributes:
        families: label-map families, from strict to free.
        discrepancies: "kl" (nats), "brier", "total_variation", "zero_one", "squared_hellinger", "jensen_shannon".
        ceiling: what the ceiling is the best of.
        target_conditional: "labels" scores against one-hot labels, "probe" against the probabilities of a cross-fitted
            linear probe on the features. Maps are fitted to labels either way.
        fitted_under: the discrepancy that injection, partition and channel are fitted under, any but "zero_one".
            Linear and ceiling are fitted, and the ceiling chosen, under KL, from the channel fitted under KL.
        folds: of the cross-fitting.
        bootstrap: resamples of the intervals.
        permutations: of the null; 0 leaves it out.
        seed: of folds, starts, resamples and permutations.
    """

    families: tuple[str, ...] = FAMILIES
    discrepancies: tuple[str, ...] = DISCREPANCIES
    ceiling: tuple[str, ...] = MEMBERS
    target_conditional: str = "labels"
    fitted_under: str = "kl"
    folds: int = 5
    bootstrap: int = 1000
    permutations: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        """Check names and ranges.

        Raises:
            OptionError: an unknown family or discrepancy, or a number out of range.
        """
        for name in ("families", "discrepancies", "ceiling"):
            object.__setattr__(self, name, as_names(getattr(self, name), option=name))
        if self.fitted_under == "zero_one":
            raise OptionError(
                "fitted_under 'zero_one'",
                expected="one of " + ", ".join(FITTED_UNDER) + "; zero_one is piecewise constant",
                remedy="fit under brier and score under zero_one",
            )
        for what, names, known in (
            ("family", self.families, FAMILIES + VARIANTS),
            ("discrepancy", self.discrepancies, ALL_DISCREPANCIES),
            ("member of the ceiling", self.ceiling, MEMBERS),
            ("target conditional", (self.target_conditional,), TARGET_CONDITIONALS),
            ("fitted_under", (self.fitted_under,), FITTED_UNDER),
        ):
            if not names:
                raise OptionError(f"no {what} is asked for", expected="at least one", remedy=f"choose from {known}")
            for name in names:
                if name not in known:
                    raise OptionError(
                        f"{what} {name!r}", expected="one of " + ", ".join(known), remedy=did_you_mean(name, known)
                    )
        for name, least in (("folds", 2), ("bootstrap", 100), ("permutations", 0), ("seed", 0)):
            check_least(name, getattr(self, name), least)


@dataclass(frozen=True, kw_only=True)
class ConditionalInputs:
    """One source on one target, as arrays.

    Attributes:
        log_probabilities: (n, K_s) log of the source conditional p; -inf where p is zero.
        features: (n, d) source features, the head's input.
        labels: (n,) target class codes.
        n_classes: K_t, with classes that have no sample.
        groups: (n,) names or codes of samples that belong together; kept as codes in sorted order.
        class_names: (K_t,) how messages call the target classes; by default their codes.
        values: (n,) the regression target that ``labels`` are bins of.
        tuned: (n, K_t) predictions of a tuned model for these samples, a further member of the ceiling; the tuned
            model must not have seen them.
    """

    log_probabilities: Array
    features: Array
    labels: Array
    n_classes: int
    groups: Array | None = None
    class_names: tuple[str, ...] = ()
    values: Array | None = None
    tuned: Array | None = None

    def __post_init__(self) -> None:
        """Check shapes and ranges.

        Raises:
            DataError: arrays that do not fit together or are not what they should be.
        """
        log_p = np.asarray(self.log_probabilities, dtype=np.float64)
        features = np.asarray(self.features, dtype=np.float64)
        if log_p.ndim != 2 or log_p.shape[1] == 0:
            raise DataError(
                f"log_probabilities has shape {log_p.shape}",
                expected="(n, K_s) with at least one source class",
                remedy="give the source a head first",
            )
        sums = np.exp(log_p).sum(axis=1)
        labels = check_labels(self.labels, len(log_p), self.n_classes)
        if not np.isfinite(sums).all() or np.abs(sums - 1).max(initial=0.0) > ROW_SUM_TOLERANCE:
            raise _no_distribution("exp(log_probabilities)")
        if features.ndim != 2 or len(features) != len(log_p) or not np.isfinite(features).all():
            raise DataError(
                f"features has shape {features.shape}",
                expected=f"finite numbers ({len(log_p)}, d), one row for each row of log_probabilities",
                remedy="check how the features were made",
            )
        checked = {"log_probabilities": log_p, "features": features, "labels": labels}
        if self.groups is not None:
            checked["groups"] = _check_groups(self.groups, len(labels))
        if self.values is not None:
            checked["values"] = _check_values(self.values, len(labels))
        if self.tuned is not None:
            checked["tuned"] = _check_tuned(self.tuned, (len(labels), self.n_classes))
        for key, value in checked.items():
            object.__setattr__(self, key, value)


def _check_groups(groups: Array, n: int) -> Labels:
    """Codes of groups that may have any names."""
    if np.shape(groups) != (n,):
        raise DataError(f"groups has shape {np.shape(groups)}", expected=f"({n},)", remedy="give one per sample")
    return np.unique(groups, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _check_values(values: Array, n: int) -> Floats:
    """The regression target as float64."""
    values = np.asarray(values, dtype=np.float64)
    if values.shape != (n,) or not np.isfinite(values).all():
        raise DataError(
            f"values has shape {values.shape}", expected=f"finite numbers ({n},)", remedy="give one per sample"
        )
    return values


def _check_tuned(tuned: Array, shape: tuple[int, int]) -> Floats:
    """Predictions of a tuned model as float64 distributions."""
    tuned = np.asarray(tuned, dtype=np.float64)
    if tuned.shape != shape or not np.isfinite(tuned).all() or tuned.min() < 0:
        found = f"tuned has shape {tuned.shape}" if tuned.shape != shape else "tuned has negative or infinite entries"
        raise DataError(found, expected=f"target class probabilities {shape}", remedy="pass the tuned model's softmax")
    if np.abs(tuned.sum(axis=1) - 1).max() > ROW_SUM_TOLERANCE:
        raise DataError(
            "tuned has rows that do not sum to 1",
            expected=f"target class probabilities {shape}",
            remedy="pass the tuned model's softmax, not its logits",
        )
    return tuned


def check_labels(labels: Array, n: int, n_classes: int | None) -> Labels:
    """Class codes of n samples, as int64.

    Raises:
        DataError: another number of labels, no integers, or codes out of range.
    """
    labels = np.asarray(labels)
    if labels.shape != (n,) or labels.dtype.kind not in "iu":
        raise DataError(
            f"labels has shape {labels.shape} and dtype {labels.dtype}",
            expected=f"({n},) integers, one for each row of the source conditional",
            remedy="pass the probabilities first, then the target labels",
        )
    if len(labels) == 0 or labels.min() < 0 or (n_classes is not None and labels.max() >= n_classes):
        found = f"labels run from {labels.min()} to {labels.max()}" if len(labels) else "there are no labels"
        raise DataError(
            found, expected=f"codes from 0 to {(n_classes or 1) - 1}", remedy="encode the labels as 0 .. K_t - 1"
        )
    return labels.astype(np.int64)


def check_probabilities(probs: Array, labels: Array, n_classes: int | None) -> tuple[Probabilities, Labels, int]:
    """Source conditional and labels of a plain function, as float64 and int64, and K_t.

    Raises:
        DataError: arrays that do not fit together; says which argument is the source and which the target.
    """
    probs = np.asarray(probs, dtype=np.float64)
    if probs.ndim != 2 or 0 in probs.shape:
        raise DataError(
            f"probs has shape {probs.shape}",
            expected="source class probabilities (n, K_s)",
            remedy="pass the probabilities first, then the target labels (n,)",
        )
    if not np.isfinite(probs).all() or probs.min() < 0 or np.abs(probs.sum(axis=1) - 1).max() > ROW_SUM_TOLERANCE:
        raise _no_distribution("probs")
    labels = check_labels(labels, len(probs), n_classes)
    return probs, labels, int(labels.max()) + 1 if n_classes is None else n_classes


def _no_distribution(name: str) -> DataError:
    """The error for rows that are no distribution over source classes."""
    return DataError(
        f"{name} has rows that are no distribution over the source classes",
        expected="(n, K_s), no negative entry, every row summing to 1",
        remedy="pass the source's softmax, samples in rows and source classes in columns, not logits",
    )


@dataclass(frozen=True, kw_only=True)
class MapEntry:
    """One line of a refitted label map.

    Attributes:
        target: target class code; None for a source class that a partition ignores.
        source: source class index.
        agreement: share of the folds whose own map has this line.
        mass: joint mass ``(1/n) sum_i p_iz A_zy`` of a channel's line; None for an injection.
    """

    target: int | None
    source: int
    agreement: float
    mass: float | None = None


@dataclass(frozen=True, kw_only=True)
class RefittedMap:
    """A label map refitted on all samples used.

    Attributes:
        family: "injection" or "channel".
        temperature: T of the source conditional.
        eps: share of the class prior.
        entries: its lines; of a channel those with a mass of at least 0.01.
        optimal: of an injection, whether every injection was compared.
        pseudo_count: c, of a channel.
        gap: certified distance from the channel's optimum at this T and c, in nats; None where nothing is certified.
        iterations: EM steps of the channel; None likewise.
        fitted_under: the discrepancy that it was fitted under.
    """

    family: str
    temperature: float
    eps: float
    entries: tuple[MapEntry, ...]
    optimal: bool | None = None
    pseudo_count: float | None = None
    gap: float | None = None
    iterations: int | None = None
    fitted_under: str = "kl"


@dataclass(frozen=True, kw_only=True)
class MisalignmentResult:
    """The misalignment of one source, embedder and target, for every family and discrepancy.

    Attributes:
        rows: one for each family and discrepancy.
        decomposition: parts of the injection's normalised KL, by name.
        r_squared: family -> R^2 of the expected bin mean, where the labels are bins of values.
        label_maps: family -> map refitted on all samples; families without a readable map are absent.
        n_scored: samples that are scored.
        unscored: codes of the classes that are never scored.
        classes: the misalignment of each scored class, in the order of the codes.
        layers: layer -> rows of "linear" and "ceiling" on that layer's features, where layers were given.
        notes: what else there is to say.
        fitted_under: the discrepancy that injection, partition and channel were fitted under.
    """

    rows: tuple[Misalignment, ...]
    decomposition: dict[str, Estimate]
    r_squared: dict[str, Estimate]
    label_maps: dict[str, RefittedMap]
    n_scored: int
    unscored: tuple[int, ...] = ()
    classes: tuple[ClassGap, ...] = ()
    layers: dict[str, tuple[Misalignment, ...]] = field(default_factory=dict[str, tuple[Misalignment, ...]])
    notes: tuple[str, ...] = ()
    fitted_under: str = "kl"
