"""The linear family: multinomial logistic regression on source features and the cross-fitted channel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Features, Floats, Labels, PerSample, TargetProbabilities
from gapkit.errors import DataError
from gapkit.gap.label_maps.channel import Channel
from gapkit.gap.label_maps.mixing import choose_eps, fit_eps, mix
from gapkit.gap.label_maps.parts import Part
from gapkit.statistics.logistic import Logistic, choose_logistic
from gapkit.statistics.regressors import Regressors
from gapkit.statistics.scaling import Scaling, fit_scaling


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A fitted linear map ``q = (1 - eps) softmax(log q_c + x W + b) + eps pi``.

    x = [standardised features, log q_c], where q_c is what the channel says. The map of features alone
    (``linear_plain``) has x = standardised features and no q_c.

    Attributes:
        channel: read by ``predict_log``; None where the map reads features alone or was fitted without its channel.
        reads_channel: whether x has log q_c.
        scaling: of the features.
        regression: W and b.
        eps: share of the class prior.
        prior: (K_t,) class prior pi of the fitting samples.
    """

    channel: Channel | None
    reads_channel: bool
    scaling: Scaling
    regression: Logistic
    eps: float
    prior: Floats

    def predict_log(self, log_p: Floats, features: Features) -> TargetProbabilities:
        """Log p (n, K_s) and features (n, d) to q (n, K_t).

        Raises:
            DataError: the map reads a channel and was fitted without it.
        """
        if not self.reads_channel:
            return self.read(features, None)
        if self.channel is None:
            raise DataError(
                "this linear map has no channel", expected="the channel of its fold", remedy="give it to fit_linear"
            )
        return self.read(features, np.log(self.channel.predict_log(log_p)))

    def read(self, features: Features, log_q: Floats | None) -> TargetProbabilities:
        """Features (n, d) and the channel's log q (n, K_t) to q (n, K_t)."""
        rows = Regressors(features=features, index=np.arange(len(features)), scaling=self.scaling, beside=log_q)
        return mix(self.regression.read(rows, offset=log_q), self.prior, self.eps)


@dataclass(frozen=True, kw_only=True)
class LinearFit:
    """The linear map of one part.

    Attributes:
        linear: fitted on the whole fitting side.
        held_out: (n, K_t) q of the samples that the part scores; rows of other samples are pi.
        inner_loss: mean KL, in nats, of the inner validation samples under the map fitted without them.
    """

    linear: Linear
    held_out: TargetProbabilities
    inner_loss: float


def fit_linear(
    features: Features, log_q: Floats | None, labels: Labels, part: Part, channel: Channel | None = None
) -> LinearFit:
    """Fit on the part's fitting side and predict the samples that it scores.

    Minimises ``sum_i -log softmax(log q_i + x_i W + b)_{y_i} + |W|^2 / (2 C)`` over x = [standardised features, log q].
    The penalty draws towards log q as it is, so that an infinite one gives the channel back; b is not penalised. C is
    chosen on the inner split, eps on its validation samples.

    Args:
        features: (n, d) source features.
        log_q: (n, K_t) log of the channel's q: cross-fitted on the fitting side, held-out elsewhere; None for features
            alone (``linear_plain``).
        labels: (n,) class codes.
        part: fitting side, inner folds and scored samples.
        channel: of the same fitting side, kept for samples to come.
    """
    own_labels, validation = labels[part.fit], part.validation[part.fit]
    own_prior = part.prior[own_labels[validation]]
    fitting = np.flatnonzero(part.fit)
    scaling = fit_scaling(features, fitting)
    chosen = choose_logistic(
        Regressors(features=features, index=fitting, scaling=scaling, beside=log_q),
        own_labels,
        validation,
        offset=None if log_q is None else log_q[fitting],
        n_classes=len(part.prior),
        criterion=mixed_loss(own_prior),
    )
    own = chosen.validation[np.arange(len(own_prior)), own_labels[validation]]
    eps, loss = choose_eps(own, own_prior)
    linear = Linear(
        channel=channel,
        reads_channel=log_q is not None,
        scaling=scaling,
        regression=chosen.model,
        eps=eps,
        prior=part.prior,
    )
    held_out = np.tile(part.prior, (len(labels), 1))
    held_out[part.scored] = linear.read(features[part.scored], None if log_q is None else log_q[part.scored])
    return LinearFit(linear=linear, held_out=held_out, inner_loss=loss)


def mixed_loss(own_prior: PerSample) -> Callable[[PerSample], float]:
    """What validation samples lose under a map mixed with the class prior, from what both give to their own classes."""

    def criterion(own: PerSample) -> float:
        return float(fit_eps(own[:, None], own_prior)[1][0])

    return criterion
