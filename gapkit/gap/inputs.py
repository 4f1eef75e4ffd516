"""What the misalignment is measured on, with which options, and what comes out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Array, Labels, Probabilities
from gapkit.errors import DataError, OptionError, did_you_mean
from gapkit.results import Misalignment

FAMILIES = ("injection", "channel", "linear")
DISCREPANCIES = ("kl", "zero_one")
ROW_SUM_TOLERANCE = 1e-4
"""Float16 and float32 softmax rows are off by less."""


@dataclass(frozen=True, kw_only=True)
class GapOptions:
    """What changes the numbers of ``measure_misalignment``.

    Attributes:
        families: label-map families, from strict to free.
        discrepancies: "kl" (nats), "zero_one".
        folds: of the cross-fitting.
        bootstrap: resamples of the intervals.
        seed: of folds, starts and resamples.
    """

    families: tuple[str, ...] = FAMILIES
    discrepancies: tuple[str, ...] = DISCREPANCIES
    folds: int = 5
    bootstrap: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        """Check names and ranges.

        Raises:
            OptionError: an unknown family or discrepancy, or a number out of range.
        """
        for what, names, known in (
            ("family", self.families, FAMILIES),
            ("discrepancy", self.discrepancies, DISCREPANCIES),
        ):
            if not names:
                raise OptionError(f"no {what} is asked for", expected="at least one", remedy=f"choose from {known}")
            for name in names:
                if name not in known:
                    raise OptionError(
                        f"{what} {name!r}", expected="one of " + ", ".join(known), remedy=did_you_mean(name, known)
                    )
        for name, least in (("folds", 2), ("bootstrap", 100), ("seed", 0)):
            if getattr(self, name) < least:
                raise OptionError(
                    f"{name} is {getattr(self, name)}", expected=f"at least {least}", remedy="use the default"
                )


@dataclass(frozen=True, kw_only=True)
class ConditionalInputs:
    """One source on one target, as arrays.

    Attributes:
        log_probabilities: (n, K_s) log of the source conditional p; -inf where p is zero.
        features: (n, d) source features, the head's input.
        labels: (n,) target class codes.
        n_classes: K_t, with classes that have no sample.
        groups: (n,) codes of samples that belong together.
        class_names: (K_t,) how messages call the target classes; by default their codes.
    """

    log_probabilities: Array
    features: Array
    labels: Array
    n_classes: int
    groups: Array | None = None
    class_names: tuple[str, ...] = ()

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
        if self.groups is not None and np.shape(self.groups) != labels.shape:
            raise DataError(
                f"groups has shape {np.shape(self.groups)}", expected=f"({len(labels)},)", remedy="give one per sample"
            )
        for key, value in {"log_probabilities": log_p, "features": features, "labels": labels}.items():
            object.__setattr__(self, key, value)


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
        target: target class code.
        source: source class index.
        agreement: share of the folds whose own map has this line.
        mass: joint mass ``(1/n) sum_i p_iz A_zy`` of a channel's line; None for an injection.
    """

    target: int
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
        gap: certified distance from the channel's optimum at this T and c, in nats.
        iterations: EM steps of the channel.
    """

    family: str
    temperature: float
    eps: float
    entries: tuple[MapEntry, ...]
    optimal: bool | None = None
    pseudo_count: float | None = None
    gap: float | None = None
    iterations: int | None = None


@dataclass(frozen=True, kw_only=True)
class MisalignmentResult:
    """The misalignment of one source, embedder and target, for every family and discrepancy.

    Attributes:
        rows: one for each family and discrepancy.
        label_maps: family -> map refitted on all samples; families without a readable map are absent.
        n_scored: samples that are scored.
        unscored: codes of the classes that are never scored.
        notes: what else there is to say.
    """

    rows: tuple[Misalignment, ...]
    label_maps: dict[str, RefittedMap]
    n_scored: int
    unscored: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
