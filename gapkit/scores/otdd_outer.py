"""The outer problem of OTDD: exactly, or with entropy."""

from __future__ import annotations

import numpy as np

from gapkit.scores.bures import PerPair
from gapkit.scores.coupling import Matrix, Plan, Transport, TransportEvidence, exact_plan, squared_distances
from gapkit.scores.entropic import EntropicSolution, solve_entropic
from gapkit.scores.otdd_labels import Labelled, LabelledSide, mean_distances, shape_distances
from gapkit.scores.otdd_options import OTDDOptions

Sides = tuple[LabelledSide, LabelledSide]


def exact_transport(first: LabelledSide, second: LabelledSide, shape: PerPair, options: OTDDOptions) -> Transport:
    """The optimum of the linear program. O(n m) memory; time grows about as n^2.5.

    Args:
        first: one dataset.
        second: the other dataset.
        shape: (K1, K2) distances of classes about their own means.
        options: the weights.
    """
    distances = shape + mean_distances(first, second)
    plan, evidence = exact_plan(sample_costs(first, second, distances, options))
    return _transport((first, second), distances, plan, evidence, options)


def sinkhorn_transport(first: LabelledSide, second: LabelledSide, shape: PerPair, options: OTDDOptions) -> Transport:
    """The minimum of the cost plus epsilon times the entropy KL(P || a b'); debiased, the Sinkhorn divergence.

    ``S = OT(1, 2) - OT(1, 1) / 2 - OT(2, 2) / 2``, all with the entropy and the same epsilon, is at least 0 and 0
    between equal datasets (Feydy et al., AISTATS 2019). All parts are differences of the same kind.

    Args:
        first: one dataset.
        second: the other dataset.
        shape: (K1, K2) distances of classes about their own means.
        options: weights, regularisation and tolerance.
    """
    whole, epsilon = _entropic((first, second), shape, options, None)
    if not options.debiased:
        return whole
    own = [
        _entropic((side, side), shape_distances(side, side, options), options, epsilon)[0] for side in (first, second)
    ]
    return Transport(
        features=whole.features - sum(part.features for part in own) / 2,
        labels=whole.labels - sum(part.labels for part in own) / 2,
        entropy=whole.entropy - sum(part.entropy for part in own) / 2,
        class_coupling=whole.class_coupling,
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


def sample_costs(first: Labelled, second: Labelled, distances: PerPair, options: OTDDOptions) -> Matrix:
    """``lambda_x |x_i - x'_j|^2 + lambda_y W^2(y_i, y'_j)`` (n, m) about the sides' own means."""
    scale = np.sqrt(options.lambda_x)
    cost = squared_distances(scale * first.features, scale * second.features)
    # Class by class: no second matrix (n, m) is held.
    weighted = options.lambda_y * distances[:, second.labels]
    for code in range(len(weighted)):
        cost[first.labels == code] += weighted[code]
    return cost


def entropic_solution(cost: Matrix, epsilon: float, options: OTDDOptions) -> EntropicSolution:
    """Sinkhorn under the options; points that all coincide need no regularisation, and any will do."""
    return solve_entropic(
        cost,
        epsilon if epsilon > 0 else 1.0,
        tolerance=options.tolerance,
        max_iterations=options.max_iterations,
    )


def _entropic(sides: Sides, shape: PerPair, options: OTDDOptions, epsilon: float | None) -> tuple[Transport, float]:
    """One entropic problem, and its epsilon: the given one, or the share of its mean cost."""
    distances = shape + mean_distances(*sides)
    cost = sample_costs(*sides, distances, options)
    epsilon = options.regularisation * float(cost.mean()) if epsilon is None else epsilon
    solved = entropic_solution(cost, epsilon, options)
    return _transport(sides, distances, solved.plan, solved.evidence, options, epsilon * solved.entropy), epsilon


def _transport(
    sides: Sides,
    distances: PerPair,
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
        labels=options.lambda_y * float(np.vdot(between, distances)),
        entropy=entropy,
        class_coupling=between,
        evidence=evidence,
    )
