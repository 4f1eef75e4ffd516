"""``d_phi <grad_theta L_target, v>`` for a constant v: exact, or by differences of gradients along v."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad, jvp
from torch.nn.attention import SDPBackend, sdpa_kernel

from gapkit.errors import OptionError
from gapkit.mona.passes import Place, Tensors, constant, full_precision, same_draw, target_pass
from gapkit.mona.problem import Named, Parameters, Problem, norm, pieces, with_parameters
from gapkit.mona.recompute import activations_kept

REFUSED = ("forward AD", "saved tensor hooks", "is not implemented", "double backward")
"""Words of torch's where a module has no second derivative of the kind that a method needs."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MixedProblem:
    """What all methods get.

    Attributes:
        problem: with parameters at theta.
        parameters: its trainable ones.
        direction: v, one tensor for each of theta.
        roles: whose derivative is taken: "embedder", and "head" for the full second-order term.
        microbatches: pieces of the target batch.
        place: theta's, to be moved and brought back.
    """

    problem: Problem
    parameters: Parameters
    direction: Tensors
    roles: tuple[str, ...]
    microbatches: int
    place: Place

    @property
    def wanted(self) -> Tensors:
        """phi, and h where it is asked for."""
        return [tensor for role in self.roles for tensor in getattr(self.parameters, role).values()]

    def eps(self, step: float) -> float:
        """Factor of v that makes a step of length ``step``."""
        return step / norm(self.direction)


def exact(given: MixedProblem) -> Tensors:
    """Forward over reverse: the derivative of ``grad_phi L_target`` along v, to rounding.

    The other order, reverse over forward, is silently wrong in torch 2.15, whose native layer_norm loses a part of the
    derivative. Attention runs on the math backend, the only one with a forward derivative.

    Raises:
        OptionError: the model has a part without forward derivative, or uses gradient checkpointing.
    """
    problem, size = given.problem, given.problem.target_size
    theta = {name: tensor.detach() for name, tensor in given.parameters.encoder.items()}
    along = dict(zip(theta, given.direction, strict=True))
    phi = {role: {k: v.detach() for k, v in getattr(given.parameters, role).items()} for role in given.roles}
    sums: Tensors = [torch.zeros_like(tensor) for tensor in given.wanted]
    # torch.func has graphs of its own; autograd's, which the head would be in, would only take memory.
    with (
        same_draw(problem),
        activations_kept(problem),
        exact_derivatives("exact"),
        torch.no_grad(),
        warnings.catch_warnings(),
    ):
        # Torch compiles its own forward derivatives with what it has deprecated, when the first one is taken.
        warnings.filterwarnings("ignore", message="`torch.jit")
        for rows in pieces(size, given.microbatches):
            share = (rows.stop - rows.start) / size

            def by_phi(theta: Named, rows: slice = rows) -> dict[str, Named]:
                return grad(lambda phi: with_parameters(problem, phi | {"encoder": theta}, _target(rows)))(phi)

            found: dict[str, Named] = jvp(by_phi, (theta,), (along,))[1]
            parts = [tensor for role in given.roles for tensor in found[role].values()]
            for total, part in zip(sums, parts, strict=True):
                total.add_(part, alpha=share)
    return sums


def central(given: MixedProblem, step: float) -> Tensors:
    """``(grad_phi L(theta + eps v) - grad_phi L(theta - eps v)) / (2 eps)``, eps = step / |v|; error O(step^2)."""
    eps = given.eps(step)
    with _differences(given):
        given.place.move(given.direction, eps)
        ahead = target_pass(given.problem, given.wanted, given.microbatches)[1]
        given.place.move(given.direction, -eps)
        behind = target_pass(given.problem, given.wanted, given.microbatches)[1]
    return [(plus - minus) / (2 * eps) for plus, minus in zip(ahead, behind, strict=True)]


def one_sided(given: MixedProblem, step: float, here: Tensors) -> Tensors:
    """``(grad_phi L(theta + eps v) - grad_phi L(theta)) / eps`` with the gradient at theta given; error O(step)."""
    eps = given.eps(step)
    with _differences(given):
        given.place.move(given.direction, eps)
        ahead = target_pass(given.problem, given.wanted, given.microbatches)[1]
    return [(plus - at) / eps for plus, at in zip(ahead, here, strict=True)]


@contextmanager
def _differences(given: MixedProblem) -> Generator[None]:
    """The encoder may be moved, needs no gradient, and all digits are kept: rounding is divided by eps.

    Under autocast, or with TensorFloat-32, both gradients would have the same few digits and no difference.
    """
    theta = given.parameters.theta
    try:
        with full_precision(theta[0].device), constant(theta):
            yield
    finally:
        given.place.back()


@contextmanager
def exact_derivatives(method: str) -> Generator[None]:
    """Attention that has second derivatives; what torch has none of is refused in words.

    Raises:
        OptionError: a part of the model has none.
    """
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    except (NotImplementedError, RuntimeError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        if not any(words in str(error) for words in REFUSED):
            raise
        raise OptionError(
            f"method {method!r} cannot differentiate this model twice ({line})",
            expected="a model whose parts all have second derivatives, without gradient checkpointing",
            remedy="use method='central', which needs first derivatives only",
        ) from error


def _target(rows: slice) -> Callable[[Problem], Tensor]:
    """L_target of some samples, as ``with_parameters`` takes it."""
    return lambda problem: problem.target_loss(rows)
