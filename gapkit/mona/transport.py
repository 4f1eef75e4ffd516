"""The differentiable twin of OTDD: from a batch of target features to a source sample whose statistics are cached."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gapkit.arrays import Array, Features, Floats, Labels
from gapkit.errors import DataError, OptionError
from gapkit.mona.class_geometry import (
    Stacks,
    TensorSide,
    as_float64,
    class_distances,
    first_derivative_only,
    mean_squared_difference,
    own_distances,
    stack_by_rank,
    tensor_side,
)
from gapkit.options import given_or_default
from gapkit.scores.checks import check_features
from gapkit.scores.class_products import sample_costs
from gapkit.scores.coupling import Matrix, TransportEvidence, exact_plan
from gapkit.scores.otdd import prepare_side
from gapkit.scores.otdd_options import OTDDOptions
from gapkit.scores.otdd_outer import combined_evidence, entropic_solution


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceStatistics:
    """A labelled source sample, and all of it that distances to any batch need, computed once.

    Attributes:
        side: features, class means and roots of class covariances, constants.
        stacks: the roots by their number of rows.
        own: (K, K) distances between its own classes, for debiased sinkhorn; None else.
        classes: names of the K classes.
        options: how distances to it are computed.
        notes: what was done with labels and samples, in words.
    """

    side: TensorSide
    stacks: Stacks
    own: Tensor | None
    classes: tuple[str, ...]
    options: OTDDOptions
    notes: tuple[str, ...] = ()

    @property
    def shares(self) -> Floats:
        """(K,) of the classes among the samples."""
        return np.bincount(self.side.labels) / len(self.side.labels)


@dataclass(frozen=True, kw_only=True, eq=False)
class TransportLoss:
    """OTDD of a batch, with a gradient.

    Attributes:
        value: scalar, in the unit of the options.
        feature_part: scalar, in squared units; the parts sum to the value in that unit.
        label_part: likewise.
        entropy_part: likewise, of sinkhorn.
        evidence: of convergence.
    """

    value: Tensor
    feature_part: Tensor
    label_part: Tensor
    entropy_part: Tensor
    evidence: TransportEvidence


def source_statistics(
    features: Tensor | Array,
    labels: Tensor | Array,
    *,
    options: OTDDOptions | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> SourceStatistics:
    """Statistics of a source sample; more samples than ``options.limit`` are subsampled as ``otdd`` does.

    Args:
        features: (m, d).
        labels: m labels of any kind.
        options: how distances are computed; not "sliced", and covariances not "shrunk".
        dtype: of the batches that distances will be asked for; couplings are always found in float64.
        device: of these batches.

    Raises:
        DataError: features or labels that cannot be used.
        OptionError: options that have no gradient here.

    Example:
        >>> source = source_statistics(np.array([[0.0], [1.0], [4.0], [5.0]]), np.array([0, 0, 1, 1]))
        >>> batch = torch.tensor([[3.0], [4.0], [7.0], [8.0]], requires_grad=True)
        >>> loss = otdd_loss(batch, torch.tensor([7, 7, 2, 2]), source)
        >>> loss.value.backward()
        >>> round(loss.value.item(), 4), batch.grad.ravel().tolist()
        (18.0, [3.0, 3.0, 3.0, 3.0])
    """
    options = given_or_default(options, OTDDOptions)
    if options.outer == "sliced" or (options.inner == "gaussian" and options.covariance == "shrunk"):
        wrong = "outer='sliced'" if options.outer == "sliced" else "covariance='shrunk'"
        raise OptionError(
            f"{wrong} in a differentiable OTDD",
            expected="an exact or entropic coupling, full or diagonal covariances",
            remedy="use the defaults",
        )
    found, notes = prepare_side(check_features(_numpy(features)), _numpy(labels), name="labels", options=options)

    def tensor(array: Floats) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device, dtype)

    side = TensorSide(
        features=tensor(found.features),
        mean=tensor(found.mean),
        labels=found.labels,
        means=tensor(found.gaussians.means),
        # The roots of diagonal covariances are rows of standard deviations; as diagonals they are roots like others.
        roots=tuple(tensor(np.diag(root[0]) if found.gaussians.diagonal else root) for root in found.gaussians.roots),
    )
    own = own_distances(side, options) if options.outer == "sinkhorn" and options.debiased else None
    return SourceStatistics(
        side=side, stacks=stack_by_rank(side.roots), own=own, classes=found.classes, options=options, notes=notes
    )


def otdd_loss(features: Tensor, labels: Tensor, source: SourceStatistics) -> TransportLoss:
    """OTDD between a batch and a source sample, with a gradient to the batch's features.

    The same numbers as ``gapkit.scores.otdd.otdd``. The gradient goes through the distances of features and through
    those of classes, that is through the means and covariances of the batch's classes; ORCA's own code drops the second
    (its label distances leave the graph). Classes that the batch lacks have no mass; a class with one sample has the
    covariance zero. The batch is used whole, whatever ``options.limit``.

    The coupling is held fixed. It minimises ``<P, C(x)>`` (plus a multiple of the entropy) over a set that does not
    depend on x, since the weights 1/n do not, so by the envelope theorem (Danskin) the derivative of the minimum is
    that of the objective at the minimiser: the term with dP is zero to first order. Where several couplings are
    optimal, the exact value has a kink and this is the derivative of one of its pieces; with entropy the minimiser is
    unique.
    The regularisation, a share of the mean cost, depends on x too and keeps its gradient. Second derivatives are right
    where nothing but the exact coupling is held fixed, which is constant around x, and refused elsewhere.

    Args:
        features: (n, d) on the device and of the dtype of the source's statistics.
        labels: (n,) integers.
        source: what the batch is compared with.

    Raises:
        DataError: another width than the source's, no sample, or values that are not finite.
    """
    _check(features, labels, source)
    options = source.options
    moving = features if options.outer == "exact" else first_derivative_only(features)
    batch = tensor_side(moving, labels, options)
    distances = class_distances(batch, source.side, source.stacks, options)
    solve = _exact if options.outer == "exact" else _sinkhorn
    feature_part, label_part, entropy_part, evidence = solve(batch, source, distances)
    offset = (batch.mean - source.side.mean).square().sum()
    feature_part = feature_part + options.lambda_x * offset
    label_part = label_part + options.lambda_y * offset
    squared = feature_part + label_part + entropy_part
    value = {"squared": lambda: squared, "half": lambda: squared / 2, "paper": lambda: squared.clamp_min(0).sqrt()}
    return TransportLoss(
        value=value[options.unit](),
        feature_part=feature_part,
        label_part=label_part,
        entropy_part=entropy_part,
        evidence=evidence,
    )


Parts = tuple[Tensor, Tensor, Tensor, TransportEvidence]


def _exact(batch: TensorSide, source: SourceStatistics, distances: Tensor) -> Parts:
    """Features, labels, entropy and evidence of the exact optimum about the sides' own means."""
    options, side = source.options, source.side
    plan, evidence = exact_plan(_costs(batch, side, distances, options))
    between = torch.from_numpy(plan.between_classes(batch.labels, side.labels)).to(distances)
    features = mean_squared_difference(batch.features, side.features, plan.rows, plan.columns, plan.mass)
    labels = (between * distances).sum()
    return options.lambda_x * features, options.lambda_y * labels, distances.new_zeros(()), evidence


def _sinkhorn(batch: TensorSide, source: SourceStatistics, distances: Tensor) -> Parts:
    """The same of the entropic optimum, or of the Sinkhorn divergence."""
    options, side = source.options, source.side
    shares = [torch.from_numpy(np.bincount(part.labels) / len(part.labels)).to(distances) for part in (batch, side)]
    radii = _mean_square(batch.features) + _mean_square(side.features)
    mean_cost = options.lambda_x * radii + options.lambda_y * shares[0] @ distances @ shares[1]
    epsilon = options.regularisation * mean_cost
    whole = _entropic((batch, side), distances, epsilon, options)
    if source.own is None:
        return whole
    own = _entropic((batch, batch), own_distances(batch, options), epsilon, options)
    other = _entropic((side, side), source.own, epsilon, options)
    features, labels, entropy = (
        across - (left + right) / 2 for across, left, right in zip(whole[:3], own[:3], other[:3], strict=True)
    )
    return features, labels, entropy, combined_evidence(whole[3], own[3], other[3])


def _entropic(sides: tuple[TensorSide, TensorSide], distances: Tensor, epsilon: Tensor, options: OTDDOptions) -> Parts:
    """One entropic problem; the coupling has exact marginals, which the squared norms need no coupling for."""
    first, second = sides
    solved = entropic_solution(_costs(first, second, distances, options), float(epsilon.detach()), options)
    plan = torch.from_numpy(solved.plan.mass).to(distances)
    between = torch.from_numpy(solved.plan.between_classes(first.labels, second.labels)).to(distances)
    products = (first.features * (plan @ second.features)).sum()
    features = _mean_square(first.features) + _mean_square(second.features) - 2 * products
    labels = (between * distances).sum()
    return options.lambda_x * features, options.lambda_y * labels, solved.entropy * epsilon, solved.evidence


def _mean_square(features: Tensor) -> Tensor:
    """Mean squared norm."""
    return features.square().sum(dim=1).mean()


def _costs(first: TensorSide, second: TensorSide, distances: Tensor, options: OTDDOptions) -> Matrix:
    """The cost matrix that couplings are found for, in float64 on the CPU."""
    left, right = (
        Detached(features=as_float64(side.features), labels=side.labels, class_means=as_float64(side.means))
        for side in (first, second)
    )
    return sample_costs(left, right, as_float64(distances), options)


@dataclass(frozen=True, kw_only=True, eq=False)
class Detached:
    """Centred samples with their classes, as numpy arrays."""

    features: Features
    labels: Labels
    class_means: Floats


def _numpy(values: Tensor | Array) -> Array:
    """Tensors and arrays as arrays."""
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _check(features: Tensor, labels: Tensor, source: SourceStatistics) -> None:
    """Refuse batches that cannot be compared with the source."""
    width = source.side.features.shape[1]
    if features.ndim != 2 or features.shape[1] != width or not len(features):
        raise DataError(
            f"the batch has shape {tuple(features.shape)}",
            expected=f"(n, {width}), the width of the source's features",
            remedy="take both from the same layer of the same source",
        )
    if labels.shape != features.shape[:1]:
        raise DataError(
            f"labels have shape {tuple(labels.shape)} beside {len(features)} samples",
            expected="one label for each sample",
            remedy="give labels and features of the same samples",
        )
    if not bool(torch.isfinite(features).all()):
        raise DataError(
            "the batch has NaN or infinite features", expected="finite numbers", remedy="lower the learning rate"
        )
