"""Random-weight copies of a model: what its architecture holds without any training."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from gapkit.errors import OptionError
from gapkit.reuse.initialising import copied, initialise

CONTROL_STREAM = 71


def random_copies(module: nn.Module, count: int = 3, *, seed: int) -> Iterator[nn.Module]:
    """Copies of a module with weights as before training, one after the other.

    Every submodule's own ``reset_parameters`` and ``init_weights`` (timm, transformers) give the weights, the outermost
    last; parameters that none of them reaches have their entries permuted. Buffers are what these initialisers make of
    them (BatchNorm's statistics 0 and 1), or else copied: tables of positions and masks belong to the architecture.
    Modes and requires_grad are as in the module; the module and the global generators stay untouched. Hooks are copied
    with the module.

    Args:
        module: whose architecture is taken.
        count: of copies; copy k is the same whatever the count.
        seed: of all of them.

    Returns:
        An iterator, so that one copy is held at a time.

    Raises:
        OptionError: no copies asked for.
        SourceError: the module cannot be copied.

    Example:
        >>> model = nn.Linear(3, 2)
        >>> a, b = random_copies(model, 2, seed=0)
        >>> bool((a.weight == b.weight).any()), bool((a.weight == model.weight).any())
        (False, False)
    """
    if count < 1:
        raise OptionError(f"{count} random copies", expected="at least 1", remedy="leave the count out for 3")
    return _copies(module, count, seed)


def _copies(module: nn.Module, count: int, seed: int) -> Iterator[nn.Module]:
    """The copies; torch's generators are restored before each is handed out."""
    for index in range(count):
        found = copied(module)
        initialise(found, seed, stream=(CONTROL_STREAM, index))
        yield found
