"""What modules initialise themselves by, run on copies of them."""

from __future__ import annotations

import copy
import inspect
import zlib
from collections.abc import Callable

import torch
from torch import Tensor, nn

from gapkit.arrays import generator, seeded_torch
from gapkit.errors import SourceError, UndefinedError

RESETS = ("reset_parameters", "_reset_parameters")
"""As torch.nn calls it; ``nn.MultiheadAttention`` and ``nn.Transformer`` have it with an underscore."""
WHOLE = "init_weights"
"""As timm and transformers call what goes over a module and all that is below it."""
LOADED = "_is_hf_initialized"
"""What transformers marks loaded modules and weights with, which its initialisers then pass over."""


def copied(module: nn.Module) -> nn.Module:
    """A deep copy; gradients are not copied, as ``nn.Parameter`` has it.

    Raises:
        SourceError: the module holds something that cannot be copied.
    """
    try:
        return copy.deepcopy(module)
    except (RuntimeError, TypeError) as error:
        raise SourceError(
            f"{type(module).__name__} cannot be copied ({str(error).splitlines()[0]})",
            expected="a module that copy.deepcopy copies",
            remedy="delete what it keeps from a forward pass, such as tensors with gradients",
        ) from error


def permuted(tensor: Tensor, seed: int, *stream: int) -> Tensor:
    """A tensor of the same shape with the same entries in random order."""
    order = generator(seed, *stream).permutation(tensor.numel())
    flat = tensor.detach().reshape(-1)
    return flat[torch.as_tensor(order, device=flat.device)].reshape(tensor.shape)


def name_stream(name: str) -> int:
    """A stream of random numbers for a name, so that what one tensor gets does not depend on others.

    Example:
        >>> name_stream("weight") == name_stream("weight"), name_stream("weight") == name_stream("bias")
        (True, False)
    """
    return zlib.crc32(name.encode())


def varies(tensor: Tensor) -> bool:
    """Whether its entries differ, so that there is something to be permuted."""
    flat = tensor.detach().reshape(-1)
    return bool((flat != flat[:1]).any())


def layer_initialised(layer: nn.Module, seed: int, *, name: str) -> dict[str, Tensor]:
    """Parameters of a layer, fresh from the ``reset_parameters`` of its submodules, innermost first.

    Args:
        layer: left as it is.
        seed: of torch's generators, which are afterwards as they were.
        name: of the layer, for messages.

    Raises:
        UndefinedError: a submodule with parameters of its own has no ``reset_parameters``, or that leaves some alone.
        SourceError: the layer cannot be copied.
    """
    fresh = copied(layer)
    found = dict(fresh.named_parameters(remove_duplicate=False))
    before = {key: parameter.detach().clone() for key, parameter in found.items()}
    with seeded_torch(seed), torch.no_grad():
        for part in reversed(list(fresh.modules())):
            reset = _first_callable(part, RESETS)
            if reset is not None:
                reset()
            elif next(part.parameters(recurse=False), None) is not None:
                raise _no_initialiser(f"{type(part).__name__} in layer {name!r} has no reset_parameters")
    for key, parameter in found.items():
        if varies(before[key]) and torch.equal(before[key], parameter):
            raise _no_initialiser(f"the initialisers in layer {name!r} do not reach {key!r}")
    return {key: parameter.detach() for key, parameter in found.items()}


def initialise(module: nn.Module, seed: int, *, stream: tuple[int, ...]) -> None:
    """Give a module fresh weights, in place, innermost submodules first and whole models last.

    Each submodule's ``reset_parameters`` and ``init_weights`` are called, where it has them and they need no
    arguments. Entries of parameters that no initialiser has changed are permuted, vectors too: none stays as trained.

    Args:
        module: to be changed.
        seed: with ``stream``, of all that is random.
        stream: of the seed.
    """
    before = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    for thing in (*module.modules(), *module.parameters(), *module.buffers()):
        vars(thing).pop(LOADED, None)
    with seeded_torch(int(generator(seed, *stream).integers(2**63))), torch.no_grad():
        for part in reversed(list(module.modules())):
            for method in (_first_callable(part, RESETS), _first_callable(part, (WHOLE,))):
                if method is not None:
                    method()
    left = {name: parameter for name, parameter in module.named_parameters() if name in before}
    with torch.no_grad():
        for name, parameter in left.items():
            if torch.equal(before[name], parameter) and varies(parameter):
                parameter.copy_(permuted(parameter, seed, *stream, name_stream(name)))


def _first_callable(part: nn.Module, names: tuple[str, ...]) -> Callable[[], object] | None:
    """The first method of these names that needs no arguments."""
    for name in names:
        method = getattr(part, name, None)
        if callable(method) and _needs_nothing(method):
            return method
    return None


def _needs_nothing(method: Callable[..., object]) -> bool:
    """Whether a method can be called without arguments."""
    try:
        inspect.signature(method).bind()
    except TypeError:
        return False
    return True


def _no_initialiser(got: str) -> UndefinedError:
    """The error for a layer that cannot initialise itself."""
    return UndefinedError(
        got, expected="an initialiser for every parameter", remedy="use the reset by permutation (how='permute')"
    )
