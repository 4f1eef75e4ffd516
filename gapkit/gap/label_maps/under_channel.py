"""A channel under another loss than KL: the penalised loss with its gradient, lowered by L-BFGS in log A.

    F(A) = (1/n) sum_i d((1 - eps) q_A(x_i) + eps pi, y_i) + (c/n) sum_zy (A_zy - pi_y log A_zy),  q_A = pA / (pA 1)

The penalty is that of KL's pseudo-count. At c = 0 the scale of A means nothing. The rows of a row-stochastic A are
softmaxes; it has less to overfit with.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Array, Floats, Labels, Probabilities, TargetProbabilities
from gapkit.gap.label_maps.channel_map import conditional
from gapkit.gap.label_maps.optimisers import minimise
from gapkit.gap.label_maps.under import Answers, Criterion, answers_of, fit_eps

LARGEST_LOG = 80.0
"""Log A stays within this much of 0 on either side, so that neither a long step nor a zero leaves float64."""
PRIOR_SHARE = 0.01
"""How much of the class prior a start is mixed with: in log A a zero would stay one."""
MOST_EPS = 0.5
ROUNDS = 2
GRADIENT, RELATIVE = 1e-7, 1e-8


@dataclass(frozen=True, kw_only=True)
class ChannelTask:
    """What a channel is fitted to, and under what.

    Attributes:
        p: (n, K_s) tempered source conditional.
        labels: (n,) class codes.
        prior: (K_t,) class prior pi.
        criterion: the loss.
        pseudo_count: c.
        row_stochastic: whether the rows of A sum to 1.
    """

    p: Probabilities
    labels: Labels
    prior: Floats
    criterion: Criterion
    pseudo_count: float
    row_stochastic: bool = False

    def answers(self, matrix: Floats) -> Answers:
        """What A (K_s, K_t) says of the samples."""
        return answers_of(self.criterion, conditional(self.p, matrix, self.prior), self.labels, self.prior)

    def objective(self, log_matrix: Floats, eps: float) -> tuple[float, Floats]:
        """F and its gradient (K_s, K_t) with respect to log A, before the rows are scaled where they sum to 1."""
        n, criterion = len(self.labels), self.criterion
        if self.row_stochastic:
            log_matrix = log_matrix - np.log(np.exp(log_matrix).sum(axis=1, keepdims=True))
        matrix = np.exp(log_matrix)
        sums = self.p @ matrix
        mass = sums.sum(axis=1, keepdims=True)
        q = sums / mass
        mixed = (1 - eps) * q + eps * self.prior
        rows = np.arange(n), self.labels
        slope: TargetProbabilities = 2 * criterion.square * mixed
        slope[rows] += criterion.slope(mixed[rows])
        loss = (criterion.loss(mixed[rows]) + criterion.square * np.square(mixed).sum(axis=1)).mean()
        slope -= (slope * q).sum(axis=1, keepdims=True)
        gradient = matrix * (self.p.T @ (slope * ((1 - eps) / n) / mass))
        if self.pseudo_count:
            share = self.pseudo_count / n
            loss += share * (matrix - self.prior * log_matrix).sum()
            gradient += share * (matrix - self.prior)
        if self.row_stochastic:
            gradient -= matrix * gradient.sum(axis=1, keepdims=True)
        return float(loss), gradient


@dataclass(frozen=True, kw_only=True)
class FittedChannel:
    """A (K_s, K_t) with the eps that is best for it on its own samples, and F there."""

    matrix: Floats
    eps: float
    loss: float


def evaluate_channel(task: ChannelTask, matrix: Floats) -> FittedChannel:
    """A channel as it stands, without the penalty."""
    eps, loss = fit_eps(task.criterion, task.answers(matrix), pseudo=0.0)
    return FittedChannel(matrix=matrix, eps=eps, loss=loss)


def lower_channel(task: ChannelTask, start: Floats, *, steps: int) -> FittedChannel:
    """L-BFGS from A (K_s, K_t) at its best eps, twice, eps being fitted anew between."""
    matrix = spread_out(start, task.prior)
    for _ in range(ROUNDS):
        eps = min(fit_eps(task.criterion, task.answers(matrix), pseudo=0.0)[0], MOST_EPS)
        matrix = _descend(task, matrix, eps, steps // ROUNDS)
        if task.row_stochastic:
            matrix /= matrix.sum(axis=1, keepdims=True)
    found = evaluate_channel(task, matrix)
    if task.pseudo_count:
        logs = np.log(matrix)
        penalty = task.pseudo_count / len(task.labels) * (matrix - task.prior * logs).sum()
        return FittedChannel(matrix=matrix, eps=found.eps, loss=found.loss + float(penalty))
    return found


def spread_out(matrix: Floats, prior: Floats) -> Floats:
    """A (K_s, K_t), scaled to a mean row sum of 1, with a little of the class prior in every row."""
    return (1 - PRIOR_SHARE) * matrix * (len(matrix) / matrix.sum()) + PRIOR_SHARE * prior


def _descend(task: ChannelTask, matrix: Floats, eps: float, steps: int) -> Floats:
    """At one eps."""
    shape = matrix.shape

    def objective(flat: Array) -> tuple[float, Array]:
        inside = np.abs(flat) < LARGEST_LOG
        loss, gradient = task.objective(np.clip(flat, -LARGEST_LOG, LARGEST_LOG).reshape(shape), eps)
        return loss, gradient.ravel() * inside

    found = minimise(objective, np.log(matrix).ravel(), gradient=GRADIENT, relative=RELATIVE, steps=steps)
    return np.exp(np.clip(found, -LARGEST_LOG, LARGEST_LOG)).reshape(shape)
