"""A head for a source without one: a probe on its surrogate, or prototypes of the target."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from gapkit.arrays import Array, Features, Floats, Labels, generator
from gapkit.errors import SourceError
from gapkit.statistics.folds import inner_folds
from gapkit.types import Activations

FEATURES = "features"
PENALTIES = (0.001, 0.01, 0.1, 1.0)
"""C of the logistic probe, chosen by the log loss on one held-out fold."""
MOST_SAMPLES = 10_000
"""Probes and prototypes are fitted on a seeded draw of at most this many samples."""
PROTOTYPES_PER_CLASS = 4
SAMPLES_PER_PROTOTYPE = 10
CLASSES_OF_A_QUANTITY = 10
"""Stands in for K_t where the target is a quantity: as many as it gets bins."""
STARTS = 4
"""Of k-means; the best one is kept."""
SMALLEST_VARIANCE = 1e-12
"""Where all samples lie on their prototypes: logits stay finite."""


def complete_head(activations: Activations, surrogate: Activations | None, *, seed: int) -> Activations:
    """Give a headless source's activations logits over source classes; others are returned as they are.

    With a surrogate: a logistic probe on its standardised features, whose classes become the source classes. Without
    one: k-means prototypes of the target's features; the target's labels are not used, and ``head`` says so.

    Args:
        activations: of the target, logits (n, 0).
        surrogate: of the source's surrogate.
        seed: of draws, folds and starts.

    Raises:
        SourceError: the surrogate cannot give a head: no classes, or features of another width.
    """
    if activations.logits.shape[1]:
        return activations
    features = np.asarray(activations.features[FEATURES], dtype=np.float64)
    if surrogate is not None:
        labels = _surrogate_labels(surrogate, features.shape[1])
        known = np.asarray(surrogate.features[FEATURES], dtype=np.float64)
        logits, codes = probe_logits(known, labels, features, groups=surrogate.target.groups, seed=seed)
        names = surrogate.target.class_names or ()
        return replace(
            activations,
            logits=logits.astype(np.float32),
            source_classes=tuple(names[code] for code in codes),
            head=f"probe on {surrogate.target.name}",
        )
    n_classes = activations.target.n_classes or CLASSES_OF_A_QUANTITY
    logits = prototype_logits(features, prototype_count(len(features), n_classes), seed=seed)
    count = logits.shape[1]
    return replace(
        activations,
        logits=logits.astype(np.float32),
        source_classes=tuple(f"prototype {k}" for k in range(count)),
        head=f"k-means prototypes (k={count}, of the target's features, no labels used)",
    )


def _surrogate_labels(surrogate: Activations, width: int) -> Labels:
    """The surrogate's class codes."""
    target = surrogate.target
    if target.task != "classification" or len(np.unique(target.y)) < 2:
        raise SourceError(
            f"surrogate {target.name} has task {target.task} and {len(np.unique(target.y))} different labels",
            expected="a labelled set of at least two classes",
            remedy="give another surrogate, or none for k-means prototypes",
        )
    found = surrogate.features[FEATURES].shape[1]
    if found != width:
        raise SourceError(
            f"surrogate {target.name} has {found} features and the target {width}",
            expected="both through the same source",
            remedy="extract both with one source",
        )
    return target.y


def probe_logits(
    known: Features, labels: Labels, features: Floats, *, groups: Labels | None = None, seed: int = 0
) -> tuple[Floats, list[int]]:
    """Logits of a multinomial logistic regression that was fitted on other samples.

    Features are standardised by the known ones. C is the value of ``PENALTIES`` with the least log loss on one
    held-out fold (grouped where there are groups); the regression is then fitted on all of them.

    Args:
        known: (m, d).
        labels: (m,) class codes of the known samples.
        features: (n, d).
        groups: (m,) known samples that belong together.
        seed: of the draw and the fold.

    Returns:
        Logits (n, K) and the codes of the K classes that the known samples have.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    kept = draw(len(known), seed)
    known, labels = known[kept], labels[kept]
    scaler = StandardScaler().fit(known)
    known, features = np.asarray(scaler.transform(known)), np.asarray(scaler.transform(features))
    held_out = inner_folds(labels, groups=None if groups is None else groups[kept], seed=seed) == 0
    penalty = _choose_penalty(known, labels, held_out)
    model = LogisticRegression(C=penalty, max_iter=2000).fit(known, labels)
    decision = model.decision_function(features)
    if decision.ndim == 1:  # two classes: sklearn gives the log odds of the second one
        decision = np.stack([-decision / 2, decision / 2], axis=1)
    return decision, [int(code) for code in model.classes_]


def _choose_penalty(known: Features, labels: Labels, held_out: Array) -> float:
    """C with the least log loss on the held-out samples whose class is fitted too; the smallest one of equals."""
    from sklearn.linear_model import LogisticRegression

    fitted = np.unique(labels[~held_out])
    scored = held_out & np.isin(labels, fitted)
    if len(fitted) < 2 or not scored.any():
        return PENALTIES[len(PENALTIES) // 2]
    losses: list[float] = []
    for penalty in PENALTIES:
        model = LogisticRegression(C=penalty, max_iter=2000).fit(known[~held_out], labels[~held_out])
        log_p = model.predict_log_proba(known[scored])
        column = np.searchsorted(model.classes_, labels[scored])
        losses.append(float(-log_p[np.arange(len(column)), column].mean()))
    return PENALTIES[int(np.argmin(losses))]


def prototype_count(n: int, n_classes: int) -> int:
    """How many prototypes: 4 K_t, fewer where there would not be 10 samples for each, but at least K_t.

    An injection needs K_s >= K_t, and a class may take several prototypes.

    Example:
        >>> prototype_count(1000, 10), prototype_count(200, 10), prototype_count(50, 10), prototype_count(6, 10)
        (40, 20, 10, 6)
    """
    return min(n, max(n_classes, min(PROTOTYPES_PER_CLASS * n_classes, n // SAMPLES_PER_PROTOTYPE)))


def prototype_logits(features: Features, count: int, *, seed: int = 0) -> Floats:
    """Logits (n, k) of the prototypes c that k-means finds: -|f - c|^2 / (2 s^2), of features standardised by column.

    That is the posterior of a mixture of equal Gaussians N(c, s^2 I) up to a constant in each row. With
    s^2 = tr(W^2) / tr(W), W the within-cluster covariance, |f - c|^2 / s^2 has mean and variance of a chi-square with
    tr(W)^2 / tr(W^2) degrees of freedom: correlated features are not counted as if each were evidence of its own, which
    the average variance tr(W) / d would do. For W = sigma^2 I both are sigma^2.

    Args:
        features: (n, d).
        count: k; fewer where fewer rows differ.
        seed: of the draw and of the starts.
    """
    from sklearn.cluster import KMeans
    from sklearn.preprocessing import StandardScaler

    features = np.asarray(StandardScaler().fit_transform(features))
    fitted = features[draw(len(features), seed)]
    count = min(count, len(np.unique(fitted, axis=0)))
    starts: Any = STARTS  # scikit-learn's own annotation allows only "auto"
    model = KMeans(n_clusters=count, n_init=starts, random_state=seed).fit(fitted)
    within = fitted - model.cluster_centers_[model.labels_]
    return -(model.transform(features) ** 2) / (2 * matched_variance(within))


def matched_variance(residuals: Features) -> float:
    """tr(W^2) / tr(W) for W = R^T R / n of residuals R (n, d).

    Example:
        >>> round(matched_variance(np.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])), 3)  # W = diag(2, 1/2)
        1.7
    """
    n, d = residuals.shape
    gram = (residuals.T @ residuals if d <= n else residuals @ residuals.T) / n
    trace = float(np.trace(gram))
    return max(SMALLEST_VARIANCE, float((gram**2).sum()) / trace) if trace > 0 else SMALLEST_VARIANCE


def draw(n: int, seed: int) -> Array:
    """Positions of at most ``MOST_SAMPLES`` of n samples, in order."""
    if n <= MOST_SAMPLES:
        return np.arange(n)
    return np.sort(generator(seed).choice(n, MOST_SAMPLES, replace=False))
