"""Multinomial logistic regression with an offset, its penalty chosen on an inner split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from scipy.optimize import minimize  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from gapkit.arrays import Array, Features, Floats, Labels, Mask, PerSample, TargetProbabilities
from gapkit.statistics.design import Design, make_design
from gapkit.statistics.regressors import Regressors, of_width

PENALTIES = tuple(10.0 ** (-k / 2) for k in range(-8, 3))
"""1 / C from strong to weak, C as in scikit-learn's LogisticRegression: C from 1e-4 to 10."""
COARSE = 2
"""Whole decades first; the half decades beside the best one after them."""
PLATEAU = 1e-6
"""Losses that differ by less are equal: strong penalties may all be as good as no regressor at all."""
LEAST_CURVATURE = 1e-3
"""Of the log loss in a logit, as a share of the largest one that there can be, 1/4; classes that are told apart have
less."""
MAX_ITERATIONS = 200
LOOK = 10
"""Steps between two looks at the validation loss of weights that are still on their way."""
WORSE = 1.01
"""Times the best validation loss so far, above which weights that have not become better between looks are given up."""


@dataclass(frozen=True, kw_only=True)
class Effort:
    """When L-BFGS stops."""

    gradient: float
    relative: float


FINAL = Effort(gradient=1e-4, relative=1e-7)
CHOICE = Effort(gradient=1e-4, relative=1e-6)
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
        if offset is not None:
            logits += offset
        logits -= logits.max(axis=1, keepdims=True)
        q = np.exp(logits, out=logits)
        q /= q.sum(axis=1, keepdims=True)
        return q

    def read(self, regressors: Regressors, offset: Floats | None = None) -> TargetProbabilities:
        """As ``predict``, for regressors that are read in blocks."""
        return np.concatenate([q for _, q in self.blocks(regressors, offset)])

    def blocks(
        self, regressors: Regressors, offset: Floats | None = None
    ) -> Iterator[tuple[slice, TargetProbabilities]]:
        """As ``read``, some samples at a time, with their places."""
        for at, x in regressors.blocks(nbytes=of_width(regressors.width, len(self.intercept))):
            yield at, self.predict(x, None if offset is None else offset[at])


@dataclass(frozen=True, kw_only=True)
class ChosenLogistic:
    """A logistic regression whose penalty was chosen.

    Attributes:
        model: fitted on all samples that were given.
        without: the model that has not seen the validation samples.
        regressors: (n_v, D) of the validation samples.
        offset: (n_v, K) of these; None for zeros.
    """

    model: Logistic
    without: Logistic
    regressors: Regressors
    offset: Floats | None

    @cached_property
    def validation(self) -> TargetProbabilities:
        """(n_v, K) probabilities of the validation samples, from the model that has not seen them."""
        return self.without.read(self.regressors, self.offset)


def log_loss(own: PerSample) -> float:
    """Mean log loss, in nats, of the probabilities (n,) that samples' own classes get."""
    return -float(np.log(np.maximum(own, np.finfo(np.float64).tiny)).mean())


def fit_logistic(regressors: Features | Regressors, labels: Labels, *, penalty: float, offset: Floats) -> Logistic:
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
    design = make_design(_as_regressors(regressors), labels, offset, offset.shape[1])
    return _model(design, _fit_weights(design, None, penalty, design.zeros(), FINAL), penalty)


def choose_logistic(
    regressors: Features | Regressors,
    labels: Labels,
    validation: Mask,
    *,
    offset: Floats | None = None,
    n_classes: int | None = None,
    criterion: Callable[[PerSample], float] = log_loss,
) -> ChosenLogistic:
    """As ``fit_logistic``, with the penalty of least validation loss among ``PENALTIES``.

    Penalties are tried from strong to weak, each started at the weights before it: whole decades until one is
    worse than the best so far, then the half decades beside the best; descents that lead nowhere are given up.
    Regressors are rotated with all samples given, which no label enters; the models that are compared have seen no
    validation label.

    Args:
        regressors: (n, D) of the fitting side, standardised by the caller.
        labels: (n,) class codes.
        validation: (n,) the samples that the penalty is chosen on.
        offset: (n, K); zeros where there is none.
        n_classes: K, where there is no offset; the classes up to the last one that occurs without either.
        criterion: loss from the probabilities (n_v,) that the validation samples' own classes get.
    """
    order = np.concatenate([np.flatnonzero(~validation), np.flatnonzero(validation)])
    if offset is not None:
        offset, n_classes = offset[order], offset.shape[1]
    count = int(labels.max()) + 1 if n_classes is None else n_classes
    design = make_design(_as_regressors(regressors).take(order), labels[order], offset, count)
    n_inner = len(labels) - int(validation.sum())
    inner, held_out = slice(0, n_inner), slice(n_inner, len(labels))
    losses: dict[int, float] = {}
    fitted: dict[int, Floats] = {}

    def loss(weights: Floats) -> float:
        return criterion(design.own(weights, held_out))

    def attempt(position: int, start: Floats) -> float:
        stop = _Hopeless(loss, best=min(losses.values(), default=np.inf))
        fitted[position] = _fit_weights(design, inner, PENALTIES[position], start, CHOICE, stop)
        losses[position] = loss(fitted[position])
        return losses[position]

    start = design.zeros()
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
    weights = _fit_weights(design, None, PENALTIES[best], fitted[best], FINAL)
    return ChosenLogistic(
        model=_model(design, weights, PENALTIES[best]),
        without=_model(design, fitted[best], PENALTIES[best]),
        regressors=design.regressors.take(np.arange(n_inner, len(labels))),
        offset=None if offset is None else offset[held_out],
    )


class _Hopeless:
    """Whether weights on their way are clearly worse than the best so far, and no better than at the look before.

    From there on a weaker penalty only fits the noise: its descent need not be followed to its end.
    """

    def __init__(self, loss: Callable[[Floats], float], *, best: float) -> None:
        self.loss, self.best = loss, best
        self.steps, self.latest = 0, np.inf

    def __call__(self, weights: Floats) -> bool:
        self.steps += 1
        if self.steps % LOOK or not np.isfinite(self.best):
            return False
        before, self.latest = self.latest, self.loss(weights)
        return self.latest > max(before, WORSE * self.best)


def _as_regressors(given: Features | Regressors) -> Regressors:
    """All rows of an array."""
    return given if isinstance(given, Regressors) else Regressors(features=given, index=np.arange(len(given)))


def _model(design: Design, weights: Floats, penalty: float) -> Logistic:
    """Weights in principal directions as a model of the regressors themselves."""
    own, intercept = design.unrotate(weights)
    return Logistic(weights=own, intercept=intercept, penalty=penalty)


def _fit_weights(
    design: Design,
    place: slice | None,
    penalty: float,
    start: Floats,
    effort: Effort,
    stop: Callable[[Floats], bool] | None = None,
) -> Floats:
    """Weights in principal directions with the intercept last (K, r + 1), by preconditioned L-BFGS.

    If regressors told nothing of probabilities p, the curvature would be ``A`` in the K weights of a direction of
    variance 1, and v times that for variance v, with ``A = mean(diag(p) - p p^T)``. L-BFGS moves along the eigenvectors
    of A at the start, each in units of its curvature.
    """
    n = len(design.labels) if place is None else place.stop - place.start
    ridge = np.append(np.full(len(design.variances), penalty / n), 0.0)
    curvature, turn = np.linalg.eigh(design.curvature(start, place))
    curvature = np.maximum(curvature, LEAST_CURVATURE / 4)[:, None]
    scale = 1 / np.sqrt(curvature * np.append(design.variances, 1.0) + ridge)

    def weights_of(flat: Array) -> Floats:
        return turn @ (np.asarray(flat, dtype=np.float64).reshape(scale.shape) * scale)

    def objective(flat: Array) -> tuple[float, Array]:
        weights = weights_of(flat)
        value, slope = design.loss(weights, place)
        value += 0.5 * float((ridge * np.square(weights)).sum())
        slope += ridge * weights
        return value, (turn.T @ slope * scale).reshape(-1)

    def after_step(flat: Array) -> None:
        if stop is not None and stop(weights_of(flat)):
            raise StopIteration

    options = {"maxiter": MAX_ITERATIONS, "gtol": effort.gradient, "ftol": effort.relative}
    settings = {"jac": True, "method": "L-BFGS-B", "options": options, "callback": after_step}
    return weights_of(cast(Any, minimize(objective, (turn.T @ start / scale).reshape(-1), **settings)).x)
