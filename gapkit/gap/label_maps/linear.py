"""The linear family: multinomial logistic regression on source features and the cross-fitted channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Array, Features, Floats, Indices, Labels, Mask, TargetProbabilities, log_softmax
from gapkit.gap.label_maps.mixing import fit_eps, mix
from gapkit.gap.label_maps.optimisers import minimise
from gapkit.gap.label_maps.parts import Part

PENALTIES = tuple(10.0 ** (-k / 2) for k in range(-8, 3))
"""1 / C from strong to weak, C as in scikit-learn's LogisticRegression: C from 1e-4 to 10."""
PATIENCE = 2
LEAST_VARIANCE = 1e-10
"""Directions with a smaller share of the largest variance are constant up to rounding."""
CURVATURE = 0.25
GRADIENT_TOLERANCE, LOSS_TOLERANCE = 1e-4, 1e-7
MAX_ITERATIONS = 200


@dataclass(frozen=True, kw_only=True)
class Design:
    """The regressors of one part, rotated to principal directions.

    The weights are written ``W = W_0 + Q diag(s) V``: Q the principal directions, s the inverse root of the curvature
    in each, which makes the problem in V nearly round, so that L-BFGS needs few steps. W_0 copies log q.

    Attributes:
        rotated: (n, r) centred regressors times Q.
        offset: (n, K_t) log q, what W_0 gives.
        variances: (r,) of the rotated regressors on the fitting side.
    """

    rotated: Floats
    offset: Floats
    variances: Floats

    def rows(self, mask: Mask) -> Design:
        """Some of the samples."""
        return Design(rotated=self.rotated[mask], offset=self.offset[mask], variances=self.variances)


@dataclass(frozen=True, kw_only=True)
class Linear:
    """What was fitted on one part.

    Attributes:
        held_out: (n, K_t) q of the samples that the part scores; rows of other samples are pi.
        eps: share of the class prior.
        penalty: 1 / C.
    """

    held_out: TargetProbabilities
    eps: float
    penalty: float


def fit_linear(features: Features, log_q: Floats, labels: Labels, part: Part) -> Linear:
    """Fit on the part's fitting side and predict the samples that it scores.

    Minimises ``sum_i -log softmax(x_i W + b)_{y_i} + |W - W_0|^2 / (2 C)`` over x = [standardised features, log q]. W_0
    reads log q as it is, so that an infinite penalty gives the channel back; b is not penalised. C is chosen on the
    inner split, eps on its validation samples.

    Args:
        features: (n, d) source features.
        log_q: (n, K_t) log of the channel's q: cross-fitted on the fitting side, held-out elsewhere.
        labels: (n,) class codes.
        part: fitting side, inner folds and scored samples.
    """
    design = make_design(features, log_q, part.fit)
    inner, validation = design.rows(part.inner_fit), design.rows(part.validation)
    own_prior = part.prior[labels[part.validation]]
    start = np.zeros((design.rotated.shape[1] + 1, log_q.shape[1]))
    best_loss, best, waited = np.inf, (PENALTIES[0], start, 1.0), 0
    for penalty in PENALTIES:
        start = fit_weights(inner, labels[part.inner_fit], penalty, start)
        own = predict(validation, start)[np.arange(len(own_prior)), labels[part.validation]]
        eps, loss = fit_eps(own[:, None], own_prior)
        waited += 1
        if loss[0] < best_loss:
            best_loss, best, waited = loss[0], (penalty, start, float(eps[0])), 0
        if waited >= PATIENCE:
            break
    penalty, start, share = best
    weights = fit_weights(design.rows(part.fit), labels[part.fit], penalty, start)
    held_out = np.tile(part.prior, (len(labels), 1))
    held_out[part.scored] = mix(predict(design.rows(part.scored), weights), part.prior, share)
    return Linear(held_out=held_out, eps=share, penalty=penalty)


def make_design(features: Features, log_q: Floats, fit: Mask) -> Design:
    """Standardise features on the fitting side, put log q beside them and rotate to principal directions."""
    mean, spread = features[fit].mean(axis=0), features[fit].std(axis=0)
    varies = spread > 1e-12 * (np.abs(mean) + 1)
    scaled = (features[:, varies] - mean[varies]) / spread[varies]
    regressors = np.hstack([scaled, log_q - log_q[fit].mean(axis=0)])
    variances, directions = _principal(regressors[fit])
    return Design(rotated=regressors @ directions, offset=log_q, variances=variances)


def _principal(regressors: Floats) -> tuple[Floats, Floats]:
    """Variances (r,) and directions (D, r), from the smaller of the two Gram matrices."""
    n, width = regressors.shape
    gram = regressors.T @ regressors if width <= n else regressors @ regressors.T
    values, vectors = np.linalg.eigh(gram / n)
    kept = values > LEAST_VARIANCE * max(float(values[-1]), np.finfo(np.float64).tiny)
    values, vectors = values[kept], vectors[:, kept]
    if width > n:
        vectors = regressors.T @ (vectors / np.sqrt(n * values))
    return values, vectors


def fit_weights(design: Design, labels: Labels, penalty: float, start: Floats) -> Floats:
    """Weights in principal directions with the intercept below (r + 1, K_t), by preconditioned L-BFGS."""
    n, classes = design.offset.shape
    ridge = penalty / n
    scale = np.append(1 / np.sqrt(CURVATURE * design.variances + ridge), 1 / np.sqrt(CURVATURE))
    regressors = np.hstack([design.rotated, np.ones((n, 1))]) * scale
    decay = ridge * np.square(scale)[:, None]
    decay[-1] = 0.0
    rows: Indices = np.arange(n, dtype=np.int64)

    def objective(flat: Array) -> tuple[float, Array]:
        weights = flat.reshape(-1, classes)
        log_q = log_softmax(regressors @ weights + design.offset)
        shrunk = decay * weights
        value = 0.5 * float((shrunk * weights).sum()) - float(log_q[rows, labels].mean())
        error = np.exp(log_q, out=log_q)
        error[rows, labels] -= 1.0
        return value, (regressors.T @ error / n + shrunk).reshape(-1)

    found = minimise(
        objective,
        (start / scale[:, None]).reshape(-1),
        gradient=GRADIENT_TOLERANCE,
        relative=LOSS_TOLERANCE,
        steps=MAX_ITERATIONS,
    )
    return found.reshape(-1, classes) * scale[:, None]


def predict(design: Design, weights: Floats) -> TargetProbabilities:
    """Q (n, K_t) of fitted weights."""
    return np.exp(log_softmax(design.rotated @ weights[:-1] + weights[-1] + design.offset))
