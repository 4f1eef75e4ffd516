"""Multinomial logistic regression with an offset, its penalty chosen on an inner split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from scipy.optimize import minimize  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from gapkit.arrays import Array, Features, Floats, Indices, Labels, Mask, PerSample, TargetProbabilities

PENALTIES = tuple(10.0 ** (-k / 2) for k in range(-8, 3))
"""1 / C from strong to weak, C as in scikit-learn's LogisticRegression: C from 1e-4 to 10."""
COARSE = 2
"""Whole decades first; the half decades beside the best one after them."""
PLATEAU = 1e-6
"""Losses that differ by less are equal: strong penalties may all be as good as no regressor at all."""
LEAST_VARIANCE = 1e-10
"""Directions with a smaller share of the largest variance are constant up to rounding."""
LEAST_CURVATURE = 1e-3
"""Of the log loss in a logit, as a share of the largest one that there can be, 1/4; classes that are told apart have
less."""
MAX_ITERATIONS = 200


@dataclass(frozen=True, kw_only=True)
class Effort:
    """When L-BFGS stops, and in which precision it multiplies."""

    gradient: float
    relative: float
    precision: type[np.floating[Any]]


FINAL = Effort(gradient=1e-4, relative=1e-7, precision=np.float64)
CHOICE = Effort(gradient=1e-4, relative=1e-6, precision=np.float32)
"""Looser, other penalties are chosen than by converged fits: weights on their way from a stronger penalty do better."""


@dataclass(frozen=True, kw_only=True)
class Logistic:
    """``softmax(offset + x W + b)``; W (D, K), b (K,), ``penalty`` = 1 / C."""

    weights: Floats
    intercept: Floats
    penalty: float

    def predict(self, regressors: Features, offset: Floats | None = None) -> TargetProbabilities:
        """Probabilities (n, K) of regressors (n, D), with their offset (n, K) where it was fitted with one."""
        logits = regressors @ self.weights + self.intercept
        return _softmax((logits if offset is None else logits + offset).T)[0].T


@dataclass(frozen=True, kw_only=True)
class ChosenLogistic:
    """A logistic regression whose penalty was chosen.

    Attributes:
        model: fitted on all samples that were given.
        validation: (n_v, K) probabilities of the validation samples, from the model that has not seen them.
    """

    model: Logistic
    validation: TargetProbabilities


@dataclass(frozen=True, kw_only=True)
class _Design:
    """Regressors in principal directions, features and classes along the first axis.

    The weights are those of principal directions Q: ``W = Q V``. They are uncorrelated, so that the loss of V, each
    entry in units of its curvature, is nearly round, and L-BFGS needs few steps. The penalty is the same:
    ``|W| = |Q^T W|``. Sums over K classes run along rows of n numbers, which is several times as fast as the reverse.

    Attributes:
        rotated: (r, n) centred regressors times Q.
        offset: (K, n).
        labels: (n,) class codes.
        variances: (r,) of the rotated regressors.
    """

    rotated: Array
    offset: Array
    labels: Labels
    variances: Floats

    def take(self, mask: Mask | slice, precision: type[np.floating[Any]]) -> _Design:
        """Some of the samples, or all of them by ``slice(None)``, in the precision."""
        return _Design(
            rotated=self.rotated[:, mask].astype(precision),
            offset=self.offset[:, mask].astype(precision),
            labels=self.labels[mask],
            variances=self.variances,
        )

    def probabilities(self, weights: Floats) -> tuple[Array, Array]:
        """``softmax`` and ``log softmax`` (K, n) at weights (K, r + 1), the last column the intercept."""
        logits = weights[:, :-1].astype(self.rotated.dtype) @ self.rotated
        logits += weights[:, -1:].astype(self.rotated.dtype)
        logits += self.offset
        return _softmax(logits)

    def own(self, values: Array) -> PerSample:
        """The entries (n,) of values (K, n) at each sample's own class."""
        return values[self.labels, np.arange(len(self.labels))].astype(np.float64)


def _softmax(logits: Array) -> tuple[Array, Array]:
    """Probabilities and their logarithms along the first axis; ``logits`` (K, n) is overwritten."""
    logits -= logits.max(axis=0)
    p = np.exp(logits)
    total = p.sum(axis=0)
    p /= total
    logits -= np.log(total)
    return p, logits


def log_loss(own: PerSample) -> float:
    """Mean log loss, in nats, of the probabilities (n,) that samples' own classes get."""
    return -float(np.log(np.maximum(own, np.finfo(np.float64).tiny)).mean())


def fit_logistic(regressors: Features, labels: Labels, *, penalty: float, offset: Floats) -> Logistic:
    """Minimise ``sum_i -log softmax(offset_i + x_i W + b)_{y_i} + penalty |W|^2 / 2``; b is not penalised.

    Args:
        regressors: (n, D) x, standardised by the caller.
        labels: (n,) class codes 0 .. K - 1.
        penalty: 1 / C of scikit-learn's LogisticRegression, above 0.
        offset: (n, K) what the logits are without x; zeros for ordinary logistic regression.

    Example:
        >>> x = np.array([[-1.0], [-1.0], [1.0], [1.0]])
        >>> model = fit_logistic(x, np.array([0, 0, 1, 1]), penalty=1.0, offset=np.zeros((4, 2)))
        >>> model.predict(x).argmax(axis=1).tolist()
        [0, 0, 1, 1]
    """
    design, mean, directions = _make_design(regressors, labels, offset)
    return _unrotate(_fit_finally(design, penalty, _zeros(design)), mean, directions, penalty)


def choose_logistic(
    regressors: Features,
    labels: Labels,
    validation: Mask,
    *,
    offset: Floats,
    criterion: Callable[[PerSample], float] = log_loss,
) -> ChosenLogistic:
    """As ``fit_logistic``, with the penalty of least validation loss among ``PENALTIES``.

    Penalties are tried from strong to weak, each started at the weights before it: whole decades until one is
    worse than the best so far, then the half decades beside the best. Regressors are rotated with all samples given,
    which no label enters; the models that are compared have seen no validation label.

    Args:
        regressors: (n, D) of the fitting side, standardised by the caller.
        labels: (n,) class codes.
        validation: (n,) the samples that the penalty is chosen on.
        offset: (n, K).
        criterion: loss from the probabilities (n_v,) that the validation samples' own classes get.
    """
    design, mean, directions = _make_design(regressors, labels, offset)
    inner, held_out = design.take(~validation, CHOICE.precision), design.take(validation, np.float64)
    losses: dict[int, float] = {}
    fitted: dict[int, Floats] = {}

    def attempt(position: int, start: Floats) -> float:
        fitted[position] = _fit_weights(inner, PENALTIES[position], start, CHOICE)
        losses[position] = criterion(held_out.own(held_out.probabilities(fitted[position])[0]))
        return losses[position]

    start = _zeros(design)
    for position in range(0, len(PENALTIES), COARSE):
        best = min(losses.values(), default=np.inf)
        if attempt(position, start) > best + PLATEAU:
            break
        start = fitted[position]
    around = min(losses, key=losses.__getitem__)
    for position in (around - 1, around + 1):
        if 0 <= position < len(PENALTIES):
            attempt(position, fitted[around])
    best = min(sorted(losses), key=losses.__getitem__)
    weights = _fit_finally(design, PENALTIES[best], fitted[best])
    return ChosenLogistic(
        model=_unrotate(weights, mean, directions, PENALTIES[best]),
        validation=held_out.probabilities(fitted[best])[0].T,
    )


def _make_design(regressors: Features, labels: Labels, offset: Floats) -> tuple[_Design, Floats, Floats]:
    """The design, the mean (D,) of the regressors and the directions (D, r)."""
    mean = regressors.mean(axis=0)
    centred = regressors - mean
    variances, directions = _principal(centred)
    design = _Design(
        rotated=np.ascontiguousarray(directions.T @ centred.T),
        offset=np.ascontiguousarray(offset.T),
        labels=labels,
        variances=variances,
    )
    return design, mean, directions


def _principal(centred: Floats) -> tuple[Floats, Floats]:
    """Variances (r,) and directions (D, r), from the smaller of the two Gram matrices."""
    n, width = centred.shape
    gram = centred.T @ centred if width <= n else centred @ centred.T
    values, vectors = np.linalg.eigh(gram / n)
    kept = values > LEAST_VARIANCE * max(values.max(initial=0.0), np.finfo(np.float64).tiny)
    values, vectors = values[kept], vectors[:, kept]
    if width > n:
        vectors = centred.T @ (vectors / np.sqrt(n * values))
    return values, vectors


def _zeros(design: _Design) -> Floats:
    """Weights (K, r + 1) that leave the offset as it is."""
    return np.zeros((len(design.offset), len(design.variances) + 1))


def _unrotate(weights: Floats, mean: Floats, directions: Floats, penalty: float) -> Logistic:
    """Weights in principal directions as a model of the regressors themselves."""
    own = directions @ weights[:, :-1].T
    return Logistic(weights=own, intercept=weights[:, -1] - mean @ own, penalty=penalty)


def _fit_finally(design: _Design, penalty: float, start: Floats) -> Floats:
    """Weights in float64, from those that float32 finds in a third of the time for a step."""
    near = _fit_weights(design.take(slice(None), CHOICE.precision), penalty, start, CHOICE)
    return _fit_weights(design, penalty, near, FINAL)


def _fit_weights(design: _Design, penalty: float, start: Floats, effort: Effort) -> Floats:
    """Weights in principal directions with the intercept last (K, r + 1), by preconditioned L-BFGS.

    The curvature in the weight of class k and a direction of variance v is about ``mean(p_k (1 - p_k)) v``, with the
    probabilities at the start.
    """
    classes, n = design.offset.shape
    ridge = np.append(np.full(len(design.variances), penalty / n), 0.0)
    p = design.probabilities(start)[0].astype(np.float64)
    curvature = np.maximum((p * (1 - p)).mean(axis=1, keepdims=True), LEAST_CURVATURE / 4)
    scale = 1 / np.sqrt(curvature * np.append(design.variances, 1.0) + ridge)
    samples: Indices = np.arange(n, dtype=np.int64)

    def objective(flat: Array) -> tuple[float, Array]:
        weights = flat.reshape(classes, -1) * scale
        error, log_p = design.probabilities(weights)
        value = 0.5 * float((ridge * np.square(weights)).sum()) - float(design.own(log_p).mean())
        error[design.labels, samples] -= 1.0
        slope = ridge * weights
        slope[:, :-1] += error @ design.rotated.T / n
        slope[:, -1] += error.sum(axis=1) / n
        return value, (slope * scale).reshape(-1)

    options = {"maxiter": MAX_ITERATIONS, "gtol": effort.gradient, "ftol": effort.relative}
    found = cast(Any, minimize(objective, (start / scale).reshape(-1), jac=True, method="L-BFGS-B", options=options))
    return np.asarray(found.x, dtype=np.float64).reshape(classes, -1) * scale
