"""The hypergradient of MoNA: how embedder and head must move so that the encoder's next step keeps source knowledge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from gapkit.errors import DataError, OptionError
from gapkit.mona.first_order import FirstOrder, first_order, graph_of_the_step
from gapkit.mona.mixed_derivative import MixedProblem, central, exact, one_sided
from gapkit.mona.options import DEFAULT_STEP, STEPS, HypergradientOptions
from gapkit.mona.passes import Exchange, Tensors, held_still, movable
from gapkit.mona.problem import Named, Parameters, Problem, norm, trainable

HALF = (torch.float16, torch.bfloat16)
LARGE_RATIO = 10
"""Of the term to the target's own gradient; a note is made above it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Hypergradient:
    """What one step of stage 1 needs, and what its history logs.

    Attributes:
        embedder: ``dphi = d_phi L_target + term`` by name of the parameter.
        head: ``dh = d_h L_target``, with a term of its own only with ``head_second_order``.
        embedder_term: ``- lambda alpha d_phi <grad_theta L_target, v>``, the second summand of dphi alone.
        head_term: the same of h; empty without ``head_second_order``.
        target_loss: L_target(theta, phi, h), of this process.
        source_loss: L_src(theta').
        inner_product: ``<g_src, g_target>``, g_src = v at theta', g_target at theta.
        cosine: of the two; None where one of them is zero.
        relative_step: ``|alpha g_target| / |theta|``, over parameters that have a gradient.
        term_ratio: ``|term| / |d_phi L_target|``; None without parameters or gradient. (|term| / |dphi| itself tends to
            1 where the term outgrows all else, and could not warn.)
        step: length c that theta was moved by for the differences; None where there were none.
        eps: ``c / |v|``.
        error: relative error of the term against ``exact``; None where it was not asked for.
        notes: what was done in another way than asked for, and what looks wrong, in words.
    """

    embedder: Named
    head: Named
    embedder_term: Named
    head_term: Named
    target_loss: float
    source_loss: float
    inner_product: float
    cosine: float | None
    relative_step: float
    term_ratio: float | None
    step: float | None = None
    eps: float | None = None
    error: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class _Product:
    """``d <grad_theta L_target, v>`` by phi (and h), and how it was found."""

    values: Tensors
    step: float | None = None
    eps: float | None = None
    error: float | None = None
    notes: tuple[str, ...] = ()


def hypergradient(
    problem: Problem, options: HypergradientOptions, *, exchange: Exchange | None = None, check: bool = False
) -> Hypergradient:
    """Gradients of ``L_target(theta, phi, h) + lambda L_src(theta')`` by phi and h (Ma et al., ICML 2024).

    With ``theta' = theta - alpha grad_theta L_target(theta, phi, h)`` and ``v = grad_theta' L_src(theta')``, both at
    the point where theta and phi are, the chain rule gives
    ``dphi = d_phi L_target - lambda alpha d_phi <grad_theta L_target(theta, phi, h), v>``, v held constant. h is held
    constant inside theta' unless ``head_second_order``. All passes see the same batches and the same random state, with
    dropout off and BatchNorm by its running statistics. Parameters, buffers, modes, ``.grad`` and global random state
    are afterwards what they were, also after an exception.

    Passes over a batch, a forward pass counting 1 and a backward pass to all parameters 2: L_target 3, L_src 3, then 2
    (one-sided) or 4 (central) for differences, whose backward passes reach activations only. Peak memory of the
    differences is that of an ordinary step.

    Args:
        problem: modules, batches and losses.
        options: method and sizes.
        exchange: with other processes that hold parts of the batches.
        check: compute the term by ``exact`` too, and say how far it is off.

    Raises:
        OptionError: options that contradict one another or the model.
        DataError: an empty batch.
        UndefinedError: a loss or gradient that is not finite.
    """
    exchange = Exchange() if exchange is None else exchange
    parameters = trainable(problem)
    _check(problem, parameters, options, exchange)
    roles = ("embedder", "head") if options.head_second_order else ("embedder",)
    with held_still(problem):
        if options.method == "naive":
            first, values = graph_of_the_step(problem, parameters, options, roles)
            return _result(first, parameters, _Product(values=values), options, exchange)
        with movable(parameters.theta) as place:
            first = first_order(problem, parameters, options, exchange, place)
            given = MixedProblem(
                problem=problem,
                parameters=parameters,
                direction=first.direction,
                roles=roles,
                microbatches=options.microbatches,
                place=place,
            )
            found = _product(given, first, options, exchange)
            if check and found.step is not None and found.error is None:
                found = _checked(given, found, options, exchange)
    return _result(first, parameters, found, options, exchange)


class Hypergradients:
    """``hypergradient`` for the steps of a training: a step chosen once, and checks every so often.

    Attributes:
        options: as given, with the chosen step in the place of "auto" after the first call.
        exchange: with other processes.
        count: steps so far.
    """

    def __init__(self, options: HypergradientOptions, *, exchange: Exchange | None = None) -> None:
        """Begin at step 0; to resume a training give ``options`` with the chosen step, and set ``count``."""
        self.options = options
        self.exchange = Exchange() if exchange is None else exchange
        self.count = 0

    def __call__(self, problem: Problem) -> Hypergradient:
        """The hypergradient of the next step, with a check where it is due.

        Raises:
            OptionError: options that contradict one another or the model.
            DataError: an empty batch.
            UndefinedError: a loss or gradient that is not finite.
        """
        every = self.options.check_every
        due = every is not None and self.count % every == 0
        found = hypergradient(problem, self.options, exchange=self.exchange, check=due)
        if self.options.step == "auto" and found.step is not None:
            self.options = replace(self.options, step=found.step)
        self.count += 1
        return found


def _product(given: MixedProblem, first: FirstOrder, options: HypergradientOptions, exchange: Exchange) -> _Product:
    """The mixed derivative by the method that is asked for."""
    if not given.wanted or options.weight == 0 or norm(first.direction) == 0:
        why = "the embedder has no trainable parameter" if not given.wanted else "L_src has no gradient at theta'"
        why = why if options.weight else "weight is 0"
        zeros = [torch.zeros_like(tensor) for tensor in given.wanted]
        return _Product(values=zeros, notes=(f"{why}: there is no second-order term",))
    if options.method == "exact":
        return _Product(values=exact(given))
    notes: tuple[str, ...] = ()
    sided = options.method == "one_sided"
    if sided and torch.is_autocast_enabled(first.direction[0].device.type):
        # The gradient at theta has the digits of bfloat16 only: no difference could be seen against it.
        sided, notes = False, ("one_sided cannot reuse a gradient of autocast: central differences were taken",)

    def difference(step: float) -> Tensors:
        return one_sided(given, step, _here(first, given)) if sided else central(given, step)

    if options.step == "auto":
        return _chosen(given, difference, exchange, notes)
    step = float(options.step)
    return _Product(values=difference(step), step=step, eps=given.eps(step), notes=notes)


def _here(first: FirstOrder, given: MixedProblem) -> Tensors:
    """Gradients at theta of what the mixed derivative is taken by."""
    return first.phi + first.h if "head" in given.roles else first.phi


def _chosen(
    given: MixedProblem, difference: Callable[[float], Tensors], exchange: Exchange, notes: tuple[str, ...]
) -> _Product:
    """The step whose difference is nearest to the exact derivative; the default one where there is no such."""
    try:
        reference = exact(given)
    except OptionError as error:
        why = (
            f"step='auto' compares with the exact term, which this model has not ({error.got}): c = {DEFAULT_STEP:g}",
        )
        values = difference(DEFAULT_STEP)
        return _Product(values=values, step=DEFAULT_STEP, eps=given.eps(DEFAULT_STEP), notes=notes + why)
    found = {step: difference(step) for step in STEPS}
    errors = _errors(list(found.values()), reference, exchange)
    step, error = min(zip(STEPS, errors, strict=True), key=lambda pair: pair[1])
    said = ", ".join(f"{c:g}: {error:.1e}" for c, error in zip(STEPS, errors, strict=True))
    chosen = (f"step {step:g} chosen by the relative error of the term ({said})",)
    return _Product(values=found[step], step=step, eps=given.eps(step), error=error, notes=notes + chosen)


def _checked(given: MixedProblem, found: _Product, options: HypergradientOptions, exchange: Exchange) -> _Product:
    """With the error against the exact derivative, and a note where it is large."""
    try:
        reference = exact(given)
    except OptionError as error:
        return replace(found, notes=(*found.notes, f"the term could not be checked: {error.got}"))
    (error,) = _errors([found.values], reference, exchange)
    said = ()
    if error > options.check_bar:
        bar = f"over the bar of {options.check_bar:g}"
        said = (f"the term is off by {error:.1e} of its length, {bar}: use step='auto' or method='exact'",)
    return replace(found, error=error, notes=found.notes + said)


def _errors(several: list[Tensors], reference: Tensors, exchange: Exchange) -> list[float]:
    """Relative errors, the mean of those of all processes, so that all choose alike."""
    length = norm(reference)
    errors = [norm([a - b for a, b in zip(values, reference, strict=True)]) for values in several]
    relative = torch.tensor([error / length if length > 0 else 0.0 for error in errors], device=reference[0].device)
    exchange.reduce([relative])
    return [float(error) for error in relative]


def _result(
    first: FirstOrder,
    parameters: Parameters,
    found: _Product,
    options: HypergradientOptions,
    exchange: Exchange,
) -> Hypergradient:
    """Both summands, added."""
    terms = [tensor.mul_(-options.weight * options.alpha) for tensor in found.values]
    exchange.reduce(first.phi + first.h + terms)
    count, notes = len(parameters.embedder), found.notes
    of_phi, of_h = terms[:count], terms[count:]
    plain, term = norm(first.phi), norm(of_phi)
    ratio = term / plain if plain > 0 else None
    if ratio is not None and ratio > LARGE_RATIO:
        notes += (f"the term is {ratio:.1f} times as long as d_phi L_target: a smaller weight or alpha is advised",)
    embedder = {name: a + b for name, a, b in zip(parameters.embedder, first.phi, of_phi, strict=True)}
    head = [a + b for a, b in zip(first.h, of_h, strict=True)] if of_h else first.h
    return Hypergradient(
        embedder=embedder,
        head=dict(zip(parameters.head, head, strict=True)),
        embedder_term=dict(zip(parameters.embedder, of_phi, strict=True)),
        head_term=dict(zip(parameters.head, of_h, strict=True)) if of_h else {},
        target_loss=float(first.target_loss),
        source_loss=float(first.source_loss),
        inner_product=first.inner_product,
        cosine=first.cosine,
        relative_step=first.relative_step,
        term_ratio=ratio,
        step=found.step,
        eps=found.eps,
        error=found.error,
        notes=notes,
    )


def _check(problem: Problem, parameters: Parameters, options: HypergradientOptions, exchange: Exchange) -> None:
    """Refuse what cannot be computed as asked for.

    Raises:
        OptionError: options that contradict one another or the model.
        DataError: an empty batch.
    """
    for name, size in (("target", problem.target_size), ("surrogate", problem.source_size)):
        if size < 1:
            raise DataError(f"the {name} batch has no sample", expected="one or more", remedy="check the data loader")
    if options.method == "naive" and (exchange.several or options.microbatches > 1):
        raise OptionError(
            "method 'naive' with several processes or microbatches",
            expected="one graph over the whole step",
            remedy="use method='exact', which gives the same numbers",
        )
    if options.differences and any(tensor.dtype in HALF for tensor in parameters.theta + parameters.phi):
        raise OptionError(
            f"method {options.method!r} with parameters in half precision",
            expected="float32 parameters, whose small differences are kept",
            remedy="keep the parameters in float32 and compute under torch.autocast, or use method='exact'",
        )
