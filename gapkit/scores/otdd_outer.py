"""The outer problem of OTDD: exactly, or with entropy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gapkit.scores.bures import PerPair
from gapkit.scores.class_products import class_products, sample_costs
from gapkit.scores.coupling import Matrix, Plan, Transport, TransportEvidence, exact_plan
from gapkit.scores.entropic import EntropicSolution, solve_entropic
from gapkit.scores.otdd_labels import LabelledSide, mean_distances, shape_distances
from gapkit.scores.otdd_options import OTDDOptions

Sides = tuple[LabelledSide, LabelledSide]


def exact_transport(first: LabelledSide, second: LabelledSide, options: OTDDOptions) -> Transport:
    """The optimum of the linear program. O(n m) memory; time grows about as n^2.5.

    Args:
        first: one dataset.
        second: the other dataset.
        options: the weights, and how classes are compared.
    """
    costs = _costs((first, second), options)
    plan, evidence = exact_plan(costs.samples)
    return _transport((first, second), costs, plan, evidence, options)


def sinkhorn_transport(first: LabelledSide, second: LabelledSide, options: OTDDOptions) -> Transport:
    """The minimum of the cost plus epsilon times the entropy KL(P || a b'); debiased, the Sinkhorn divergence.

    ``S = OT(1, 2) - OT(1, 1) / 2 - OT(2, 2) / 2``, all with the entropy and the same epsilon, is at least 0 and 0
    between equal datasets (Feydy et al., AISTATS 2019). All parts are differences of the same kind.

    Args:
        first: one dataset.
        second: the other dataset.
        options: weights, how classes are compared, regularisation and tolerance.
    """
    whole, epsilon = _entropic((first, second), options, None)
    if not options.debiased:
        return whole
    own = [_entropic((side, side), options, epsilon)[0] for side in (first, second)]
    return Transport(
        features=whole.features - sum(part.features for part in own) / 2,
        labels=whole.labels - sum(part.labels for part in own) / 2,
        entropy=whole.entropy - sum(part.entropy for part in own) / 2,
        class_coupling=whole.class_coupling,
        shape=whole.shape,
        evidence=combined_evidence(whole.evidence, own[0].evidence, own[1].evidence),
    )


def combined_evidence(whole: TransportEvidence, own: TransportEvidence, other: TransportEvidence) -> TransportEvidence:
    """That of a Sinkhorn divergence: gaps weighted as its three terms are, the largest residual, all iterations."""
    every = (whole, own, other)
    gaps = [part.gap or 0.0 for part in every]
    return TransportEvidence(
        gap=gaps[0] + (gaps[1] + gaps[2]) / 2,
        residual=max(part.residual for part in every),
        iterations=sum(part.iterations or 0 for part in every),
        converged=all(part.converged for part in every),
    )


def entropic_solution(cost: Matrix, epsilon: float, options: OTDDOptions) -> EntropicSolution:
    """Sinkhorn under the options; points that all coincide need no regularisation, and any will do."""
    return solve_entropic(
        cost,
        epsilon if epsilon > 0 else 1.0,
        tolerance=options.tolerance,
        max_iterations=options.max_iterations,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Costs:
    """What is transported at which cost.

    Attributes:
        samples: (n, m) of both parts, weighted.
        classes: (K1, K2) W^2 about the sides' own means.
        shape: the part of it that is about the classes' own means.
    """

    samples: Matrix
    classes: PerPair
    shape: PerPair


def _costs(sides: Sides, options: OTDDOptions) -> _Costs:
    """Of samples and of classes, both from one product of the samples."""
    products = class_products(*sides)
    shape = shape_distances(*sides, options, products)
    classes = shape + mean_distances(*sides)
    return _Costs(samples=sample_costs(*sides, classes, options, products), classes=classes, shape=shape)


def _entropic(sides: Sides, options: OTDDOptions, epsilon: float | None) -> tuple[Transport, float]:
    """One entropic problem, and its epsilon: the given one, or the share of its mean cost."""
    costs = _costs(sides, options)
    epsilon = options.regularisation * float(costs.samples.mean()) if epsilon is None else epsilon
    solved = entropic_solution(costs.samples, epsilon, options)
    return _transport(sides, costs, solved.plan, solved.evidence, options, epsilon * solved.entropy), epsilon


def _transport(
    sides: Sides,
    costs: _Costs,
    plan: Plan,
    evidence: TransportEvidence,
    options: OTDDOptions,
    entropy: float = 0.0,
) -> Transport:
    """The parts of a coupling's cost."""
    first, second = sides
    between = plan.between_classes(first.labels, second.labels)
    return Transport(
        features=options.lambda_x * plan.mean_squared_distance(first.features, second.features),
        labels=options.lambda_y * float(np.vdot(between, costs.classes)),
        entropy=entropy,
        class_coupling=between,
        shape=costs.shape,
        evidence=evidence,
    )
