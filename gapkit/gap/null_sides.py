"""What the null's statistics need besides labels, the same for all relabellings.

Temperature, ridge penalty and number of neighbours are chosen without labels: chosen with them, they would have to be
chosen again for every relabelling.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Array, Features, Floats, Indices, Labels, LogProbabilities, generator
from gapkit.gap.label_maps.tempering import temper
from gapkit.statistics.folds import NEVER, Folds
from gapkit.statistics.neighbours import Neighbourhood, nearest
from gapkit.statistics.scaling import fit_scaling

TEMPERATURE_STREAM, TIE_STREAM = 9, 10
ENTROPY_SHARE = 0.75
"""Mean entropy of tempered p over log K_s.

In worlds of 10 to 352 source classes, 100 and 1 000 samples and sources from uninformative to overconfident the plug-in
had most power between 0.7 and 0.95, the assignment map from 0.3 to 0.9; this loses at most a tenth of either.
"""
QUARTER_OCTAVES = (-16, 48)
"""Temperatures from 2^-4 to 2^12: sources may be nearly uniform, or one-hot with a floor."""
TEMPERATURE_SAMPLES = 512
SAMPLES_PER_FREEDOM = 50
"""Ridge has one degree of freedom for this many samples, and at most a quarter of the features' rank."""
NEIGHBOURS_HELD = 30
"""k, but at most half the fitting side. Less has less power, more takes longer."""


@dataclass(frozen=True, kw_only=True)
class NullInputs:
    """What the null is computed on.

    Attributes:
        log_p: (n, K_s) log of the source conditional.
        features: (n, d) source features.
        labels: (n,) class codes 0 .. K_t - 1.
        n_classes: K_t.
        folds: of the cross-fitting.
        groups: (n,) codes of samples that belong together, or None.
        neighbourhood: of these samples, where it is there already; by default neighbours are searched for.
    """

    log_p: LogProbabilities
    features: Features
    labels: Labels
    n_classes: int
    folds: Folds
    groups: Labels | None = None
    neighbourhood: Neighbourhood | None = None


@dataclass(frozen=True, kw_only=True)
class Side:
    """One fold: its scored samples, and how they look at the fitting side.

    Attributes:
        scored: (m,) positions.
        p: (m, K_s) tempered source conditional, float32.
        mean: (d,) of the fitting side's features.
        hat: (d, m) ``(X'X + lambda I)^-1 x_i``, float32; X and x_i are centred by the mean.
        near: (m, k) positions of neighbours on the fitting side.
    """

    scored: Indices
    p: Array
    mean: Floats
    hat: Array
    near: Array


@dataclass(frozen=True, kw_only=True)
class Sides:
    """All folds.

    Attributes:
        n_classes: K_t.
        n_source: K_s, or 0 where no statistic reads p.
        parts: positions left out by each fold and, last, of the samples that are always fitted.
        columns: for each part (n_j, K_s + d + 1) p, features and a column of ones, float32.
        folds: one for each fold.
    """

    n_classes: int
    n_source: int
    parts: list[Array]
    columns: list[Array]
    folds: list[Side]


def prepare_sides(inputs: NullInputs, *, label_maps: bool, ridge: bool, neighbours: bool, seed: int) -> Sides:
    """The sides of all folds, with what the statistics asked for read."""
    n, folds = len(inputs.labels), inputs.folds
    p = _tempered(inputs.log_p, seed=seed) if label_maps else np.zeros((n, 0), dtype=np.float32)
    points = _points(inputs.features) if ridge or neighbours else np.zeros((n, 0))
    linear = points if ridge else points[:, :0]
    columns = np.hstack([p, linear.astype(np.float32), np.ones((n, 1), dtype=np.float32)])
    parts = [np.flatnonzero(folds.home == k) for k in (*range(folds.n_folds), NEVER)]
    order = generator(seed, TIE_STREAM).permutation(n)
    penalty = label_free_penalty(linear)
    sides: list[Side] = []
    for k in range(folds.n_folds):
        scored, fit = folds.scored(k), folds.fitting(k)
        mean, hat = _ridge_hat(linear, fit, scored, penalty)
        near = _near(inputs, points, k, order) if neighbours else np.zeros((len(scored), 1), dtype=np.int64)
        sides.append(Side(scored=scored, p=p[scored], mean=mean, hat=hat, near=near))
    return Sides(
        n_classes=inputs.n_classes,
        n_source=p.shape[1],
        parts=parts,
        columns=[columns[part] for part in parts],
        folds=sides,
    )


def label_free_temperature(log_p: LogProbabilities, *, seed: int = 0) -> float:
    """The T, on a grid of quarter octaves, from which the mean entropy of tempered p is ``ENTROPY_SHARE log K_s``.

    Entropy rises with T. An overconfident source and its calibrated self come to the same p. At most
    ``TEMPERATURE_SAMPLES`` random samples are looked at.

    Example:
        >>> calibrated = np.log(np.tile([[0.9, 0.05, 0.05]], (9, 1)))
        >>> round(label_free_temperature(4 * calibrated) / label_free_temperature(calibrated), 3)
        4.0
    """
    rows = generator(seed, TEMPERATURE_STREAM).permutation(len(log_p))[:TEMPERATURE_SAMPLES]
    wanted = ENTROPY_SHARE * np.log(log_p.shape[1])
    low, high = QUARTER_OCTAVES
    while high - low > 1:
        middle = (low + high) // 2
        p = temper(log_p[rows], 2.0 ** (middle / 4))
        entropy = -float((p * np.log(p)).sum(axis=1).mean())
        low, high = (middle, high) if entropy < wanted else (low, middle)
    return 2.0 ** (high / 4)


def label_free_penalty(points: Features) -> float:
    """The ridge penalty per sample with ``sum_j s_j / (s_j + lambda) = n / SAMPLES_PER_FREEDOM`` degrees of freedom.

    s_j are the eigenvalues of the covariance of the points (n, d), which are centred.
    """
    n, dimension = points.shape
    if dimension == 0:
        return 1.0
    spectrum = np.maximum(np.linalg.eigvalsh(points.T @ points), 0.0) / n
    spectrum = spectrum[spectrum > 1e-9 * spectrum.max(initial=0.0)]
    wanted = min(n / SAMPLES_PER_FREEDOM, len(spectrum) / 4)
    low, high = -30.0, 30.0
    for _ in range(50):
        middle = (low + high) / 2
        freedom = float((spectrum / (spectrum + np.exp(middle))).sum())
        low, high = (middle, high) if freedom > wanted else (low, middle)
    return float(np.exp(high))


def neighbour_count(n_fit: int) -> int:
    """How many neighbours vote, k."""
    return max(1, min(NEIGHBOURS_HELD, n_fit // 2))


def _tempered(log_p: LogProbabilities, *, seed: int) -> Array:
    """Tempered p (n, K_s) in float32."""
    return temper(log_p, label_free_temperature(log_p, seed=seed)).astype(np.float32)


def _points(features: Features) -> Floats:
    """Standardised features (n, min(d, n)); more columns than samples are rotated, which changes no distance."""
    points = fit_scaling(features).apply(features)
    if points.shape[1] <= len(points):
        return points
    rotated: Floats = np.linalg.qr(points.T)[1]
    return np.ascontiguousarray(rotated.T)


def _ridge_hat(points: Features, fit: Array, scored: Array, penalty: float) -> tuple[Floats, Array]:
    """The fitting side's mean (d,) and ``(X'X + n lambda I)^-1 x_i`` (d, m) of the scored samples."""
    mean = points[fit].mean(axis=0)
    centred = points[fit] - mean
    gram = centred.T @ centred
    gram[np.diag_indices_from(gram)] += penalty * len(fit)
    return mean, np.asarray(np.linalg.solve(gram, (points[scored] - mean).T), dtype=np.float32)


def _near(inputs: NullInputs, points: Floats, fold: int, order: Indices) -> Array:
    """Nearest samples (m, k) on the fitting side; among equals in a random order, as the samples' may follow labels."""
    scored, fits = inputs.folds.scored(fold), inputs.folds.home != fold
    count = neighbour_count(int(fits.sum()))
    if inputs.neighbourhood is not None:
        return inputs.neighbourhood.among(scored, fits, count)
    references = order[fits[order]]
    return references[nearest(points[scored], points[references], count)]
