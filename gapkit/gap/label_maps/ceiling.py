"""The ceiling: for each fold, whatever reads the target best off the source, label maps or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Features, Floats, PerSample, TargetProbabilities
from gapkit.errors import DataError
from gapkit.gap.label_maps.channel import Channel, ChannelFit
from gapkit.gap.label_maps.linear import Linear, LinearFit, mixed_loss
from gapkit.gap.label_maps.mixing import choose_eps, mix
from gapkit.gap.label_maps.parts import Part
from gapkit.gap.problem import Problem
from gapkit.statistics.neighbours import Neighbourhood, Neighbours, choose_neighbours, make_neighbourhood
from gapkit.statistics.perceptron import Perceptron, choose_perceptron
from gapkit.statistics.scaling import Scaling, fit_scaling
from gapkit.statistics.splits import Split

GIVEN = "tuned"
"""The member that consists of the given predictions of a tuned model."""


@dataclass(frozen=True, kw_only=True)
class NeighbourMap:
    """The vote of nearest neighbours in the source's features, ``q = (1 - eps) (k p + pi) / (k + 1) + eps pi``."""

    neighbours: Neighbours
    eps: float

    def predict_log(self, log_p: Floats, features: Features) -> TargetProbabilities:
        """Features (n, d) to q (n, K_t); log p is not read."""
        return mix(self.neighbours.predict(features), self.neighbours.prior, self.eps)


@dataclass(frozen=True, kw_only=True)
class PerceptronMap:
    """A small perceptron on standardised features, ``q = (1 - eps) q_network + eps pi``."""

    scaling: Scaling
    perceptron: Perceptron
    eps: float
    prior: Floats

    def predict_log(self, log_p: Floats, features: Features) -> TargetProbabilities:
        """Features (n, d) to q (n, K_t); log p is not read."""
        return mix(self.perceptron.predict(self.scaling.apply(features)), self.prior, self.eps)


CeilingMap = Channel | Linear | NeighbourMap | PerceptronMap


@dataclass(frozen=True, kw_only=True)
class Member:
    """What one member of the ceiling found on one part.

    Attributes:
        inner_loss: mean KL, in nats, of the inner validation samples under the member fitted without them.
        scored: (n_s, K_t) q of the samples that the part scores.
        fitted: its map; None for given predictions.
    """

    inner_loss: float
    scored: TargetProbabilities
    fitted: CeilingMap | None


@dataclass(frozen=True, kw_only=True)
class CeilingFit:
    """The ceiling of all folds.

    Attributes:
        held_out: (n, K_t) q of the scored samples; rows of other samples are pi.
        maps: the map of each fold; None where given predictions won.
        winners: the member that won in each fold.
        inner_losses: what each member lost on each fold's inner validation samples, in nats.
    """

    held_out: TargetProbabilities
    maps: tuple[CeilingMap | None, ...]
    winners: tuple[str, ...]
    inner_losses: Mapping[str, tuple[float, ...]]


def fit_ceiling(
    problem: Problem,
    channels: Sequence[ChannelFit],
    linears: Sequence[LinearFit],
    members: Sequence[str] = ("channel", "linear", "knn", "mlp"),
    neighbourhood: Neighbourhood | None = None,
) -> CeilingFit:
    """The member with the least KL on the inner validation samples, fold by fold; the first of equals.

    Every member is fitted without the samples that it is chosen on, then on the whole fitting side; none sees the
    scored ones. Given predictions of a tuned model (``problem.tuned``) are a further member: that the model has not
    seen these samples is the user's promise.

    Args:
        problem: features, samples and parts; the last part, all samples, is not used.
        channels: the channel of each fold, read where "channel" is a member.
        linears: the linear map of each fold, read where "linear" is a member.
        members: any of "channel", "linear", "knn" and "mlp".
        neighbourhood: what "knn" looks its neighbours up in, where it is there already.

    Raises:
        DataError: no member at all.
    """
    parts = problem.parts[:-1]
    found: dict[str, Sequence[Member]] = {}
    for name in members:
        if name == "channel":
            found[name] = [_channel_member(problem, part, fit) for part, fit in zip(parts, channels, strict=False)]
        elif name == "linear":
            found[name] = [_linear_member(part, fit) for part, fit in zip(parts, linears, strict=False)]
        elif name == "knn":
            near = find_neighbourhood(problem) if neighbourhood is None else neighbourhood
            found[name] = [_neighbour_member(problem, part, near) for part in parts]
        else:
            found[name] = [_perceptron_member(problem, part) for part in parts]
    if problem.tuned is not None:
        found[GIVEN] = [_given_member(problem, part, problem.tuned) for part in parts]
    if not found:
        raise DataError("the ceiling has no member", expected="one at least", remedy="name channel, linear, knn or mlp")
    return _best(problem, parts, found)


def _best(problem: Problem, parts: Sequence[Part], found: Mapping[str, Sequence[Member]]) -> CeilingFit:
    """Each fold's best member."""
    held_out = problem.prior_held_out()
    maps: list[CeilingMap | None] = []
    winners: list[str] = []
    for k, part in enumerate(parts):
        winner = min(found, key=lambda name: found[name][k].inner_loss)
        held_out[part.scored] = found[winner][k].scored
        maps.append(found[winner][k].fitted)
        winners.append(winner)
    return CeilingFit(
        held_out=held_out,
        maps=tuple(maps),
        winners=tuple(winners),
        inner_losses={name: tuple(member.inner_loss for member in own) for name, own in found.items()},
    )


def _own(q: TargetProbabilities, problem: Problem, part: Part) -> PerSample:
    """What q (n_v, K_t) gives to the own classes of the part's inner validation samples."""
    return q[np.arange(len(q)), problem.samples.labels[part.validation]]


def _mixture(q: TargetProbabilities, problem: Problem, part: Part) -> tuple[float, float]:
    """Share of the prior beside q (n_v, K_t) of the inner validation samples, and the mean loss with it."""
    own_prior = part.prior[problem.samples.labels[part.validation]]
    return choose_eps(_own(q, problem, part), own_prior)


def _channel_member(problem: Problem, part: Part, fit: ChannelFit) -> Member:
    """The channel; its q of inner folds is mixed already."""
    own = _own(fit.inner[part.validation], problem, part)
    scored = fit.channel.predict_log(problem.samples.log_p[part.scored])
    return Member(inner_loss=-float(np.log(own).mean()), scored=scored, fitted=fit.channel)


def _linear_member(part: Part, fit: LinearFit) -> Member:
    """The linear map."""
    return Member(inner_loss=fit.inner_loss, scored=fit.held_out[part.scored], fitted=fit.linear)


def find_neighbourhood(problem: Problem) -> Neighbourhood:
    """Candidates for the neighbours of every sample in every fold, from one pass over the distances."""
    return make_neighbourhood(problem.features, [split_of(part) for part in problem.parts[:-1]], seed=problem.seed)


def split_of(part: Part) -> Split:
    """The part as probes know it."""
    return Split(fit=part.fit, validation=part.validation, scored=part.scored)


def _neighbour_member(problem: Problem, part: Part, neighbourhood: Neighbourhood) -> Member:
    """The vote of nearest neighbours, eps from the inner validation samples."""
    criterion = mixed_loss(part.prior[problem.samples.labels[part.validation]])
    chosen = choose_neighbours(neighbourhood, problem.samples.labels, split_of(part), part.prior, criterion=criterion)
    eps, loss = _mixture(chosen.validation, problem, part)
    fitted = NeighbourMap(neighbours=chosen.model, eps=eps)
    return Member(inner_loss=loss, scored=mix(chosen.scored, part.prior, eps), fitted=fitted)


def _perceptron_member(problem: Problem, part: Part) -> Member:
    """A small perceptron, eps from the inner validation samples."""
    labels, validation = problem.samples.labels[part.fit], part.validation[part.fit]
    scaling = fit_scaling(problem.features[part.fit])
    chosen = choose_perceptron(
        scaling.apply(problem.features[part.fit]),
        labels,
        validation,
        n_classes=len(part.prior),
        seed=problem.seed,
        criterion=mixed_loss(part.prior[labels[validation]]),
    )
    eps, loss = _mixture(chosen.validation, problem, part)
    fitted = PerceptronMap(scaling=scaling, perceptron=chosen.model, eps=eps, prior=part.prior)
    scored = fitted.predict_log(problem.samples.log_p[part.scored], problem.features[part.scored])
    return Member(inner_loss=loss, scored=scored, fitted=fitted)


def _given_member(problem: Problem, part: Part, tuned: TargetProbabilities) -> Member:
    """Given predictions, eps from the inner validation samples."""
    eps, loss = _mixture(tuned[part.validation], problem, part)
    return Member(inner_loss=loss, scored=mix(tuned[part.scored], part.prior, eps), fitted=None)
