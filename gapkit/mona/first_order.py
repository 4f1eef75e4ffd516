"""The first-order part of a hypergradient: gradients at theta, the step to theta', and v there."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gapkit.errors import UndefinedError
from gapkit.mona.mixed_derivative import exact_derivatives
from gapkit.mona.options import HypergradientOptions
from gapkit.mona.passes import Exchange, Place, Tensors, full_precision, gradients, same_draw, source_pass, target_pass
from gapkit.mona.problem import Named, Parameters, Problem, inner, norm, with_parameters
from gapkit.mona.recompute import activations_kept


@dataclass(frozen=True, kw_only=True, eq=False)
class FirstOrder:
    """What does not depend on how the second-order term is found.

    Attributes:
        target_loss: L_target at theta.
        source_loss: L_src at theta'.
        phi: d_phi L_target, of this process.
        h: d_h L_target, of this process.
        direction: v, of all processes.
        inner_product: ``<v, g>``.
        cosine: of v and g; None where one of them is zero.
        relative_step: ``|alpha g| / |theta|`` over parameters with a gradient.
    """

    target_loss: Tensor
    source_loss: Tensor
    phi: Tensors
    h: Tensors
    direction: Tensors
    inner_product: float
    cosine: float | None
    relative_step: float


def first_order(
    problem: Problem, parameters: Parameters, options: HypergradientOptions, exchange: Exchange, place: Place
) -> FirstOrder:
    """One pass over the target batch at theta and one over the surrogate batch at theta'.

    What lives longer than a pass lies in memory that was taken before the first one (v in that of g): between the
    activations of two passes it would leave holes that no later pass fits into, and a process whose allocator does not
    move things then holds up to a third more than is in use.

    Raises:
        UndefinedError: a loss or gradient that is not finite.
    """
    theta, count = parameters.theta, len(parameters.theta)
    room = [torch.empty_like(tensor) for tensor in theta]
    target_loss, found = target_pass(problem, theta + parameters.phi + parameters.h, options.microbatches)
    others = [tensor.clone() for tensor in found[count:]]
    _copy(found[:count], room)
    del found
    exchange.reduce(room)
    place.move(room, -options.alpha)
    with nullcontext() if options.source_autocast else full_precision(theta[0].device):
        source_loss, v = source_pass(problem, theta, options.microbatches, exchange)
    place.back()
    exchange.reduce(v)
    first = _first_order((target_loss, source_loss), (room, v), others, parameters, options)
    _copy(v, room)
    return replace(first, direction=room)


def graph_of_the_step(
    problem: Problem, parameters: Parameters, options: HypergradientOptions, roles: tuple[str, ...]
) -> tuple[FirstOrder, Tensors]:
    """The same, and the derivative of ``<g, v>``, by one graph through the whole step: reverse over reverse.

    Nothing is shared with the other methods but the problem: theta' is a function of phi here, and L_src(theta') is
    differentiated by phi.

    Raises:
        OptionError: the model has no second derivative.
        UndefinedError: a loss or gradient that is not finite.
    """
    theta, phi, h = parameters.theta, parameters.phi, parameters.h
    wanted = [tensor for role in roles for tensor in getattr(parameters, role).values()]
    with same_draw(problem), activations_kept(problem), exact_derivatives("naive"):
        target_loss = problem.target_loss(slice(0, problem.target_size))
        found = torch.autograd.grad(
            target_loss, theta + phi + h, create_graph=True, allow_unused=True, materialize_grads=True
        )
        stepped = [tensor - options.alpha * g for tensor, g in zip(theta, found, strict=False)]
        inside: dict[str, Named] = {"encoder": dict(zip(parameters.encoder, stepped, strict=True))}
        with nullcontext() if options.source_autocast else full_precision(theta[0].device):
            source_loss = with_parameters(problem, inside, _source)
        by = gradients(source_loss, wanted + stepped)
    # d L_src(theta'(phi)) = - alpha d <g, v>
    values = [-tensor / options.alpha for tensor in by[: len(wanted)]]
    detached = [tensor.detach() for tensor in found]
    g, others = detached[: len(theta)], detached[len(theta) :]
    losses = target_loss.detach(), source_loss.detach()
    return _first_order(losses, (g, by[len(wanted) :]), others, parameters, options), values


def _copy(tensors: Tensors, room: Tensors) -> None:
    """Put tensors into memory that is there."""
    for tensor, place in zip(tensors, room, strict=True):
        place.copy_(tensor)


def _source(problem: Problem) -> Tensor:
    """L_src of the whole surrogate batch."""
    return problem.source_loss(problem.source_features(slice(0, problem.source_size)))


def _first_order(
    losses: tuple[Tensor, Tensor],
    both: tuple[Tensors, Tensors],
    others: Tensors,
    parameters: Parameters,
    options: HypergradientOptions,
) -> FirstOrder:
    """Gradients and what is logged of them; the target's gradient itself is not kept.

    Raises:
        UndefinedError: a loss or gradient that is not finite.
    """
    g, v = both
    product, of_target, of_source = inner(g, v), norm(g), norm(v)
    _check_finite("L_target or its gradient", float(losses[0]), of_target)
    _check_finite("L_src at theta' or its gradient", float(losses[1]), of_source)
    used = norm([tensor for tensor, along in zip(parameters.theta, g, strict=True) if along.any()])
    count = len(parameters.embedder)
    return FirstOrder(
        target_loss=losses[0],
        source_loss=losses[1],
        phi=others[:count],
        h=others[count:],
        direction=v,
        inner_product=product,
        cosine=product / (of_target * of_source) if of_target > 0 and of_source > 0 else None,
        relative_step=options.alpha * of_target / used if used > 0 else 0.0,
    )


def _check_finite(what: str, *values: float) -> None:
    """Refuse what would put NaN into the embedder.

    Raises:
        UndefinedError: names what is not finite.
    """
    if not all(math.isfinite(value) for value in values):
        raise UndefinedError(
            f"{what} is not finite",
            expected="finite numbers",
            remedy="use a smaller alpha or learning rate, or check the batch for values that are not finite",
        )
