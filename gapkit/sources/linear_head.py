"""Finding the head of a module from outside, and catching the features that go into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from gapkit.errors import SourceError
from gapkit.sources.cut import Cut


@contextmanager
def caught_input(layer: nn.Module) -> Iterator[list[Tensor]]:
    """A list that holds the first argument of every call of ``layer`` inside the block."""
    caught: list[Tensor] = []

    def catch(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        caught.append(arguments[0])

    handle = layer.register_forward_pre_hook(catch)
    try:
        yield caught
    finally:
        handle.remove()


def find_head(module: nn.Module, run: Callable[[], Tensor]) -> str | None:
    """The name of the linear map with inputs (B, d) whose output is the output of ``run``; None where there is none.

    Of several, which takes equal weights and inputs, the last one that ran.
    """
    seen: list[tuple[str, Tensor]] = []

    def see(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(_: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
            if arguments and arguments[0].ndim == 2:
                seen.append((name, output))

        return hook

    linear = [(name, layer) for name, layer in module.named_modules() if isinstance(layer, nn.Linear)]
    handles = [layer.register_forward_hook(see(name)) for name, layer in linear]
    try:
        final = run()
    finally:
        for handle in handles:
            handle.remove()
    same = [name for name, output in seen if output.shape == final.shape and torch.equal(output, final)]
    return same[-1] if same else None


def check_exact(cut: Cut, x: Tensor, own: Tensor) -> None:
    """Refuse a cut that does not give the module's own output: an architecture that gapkit does not know.

    Args:
        cut: what is checked.
        x: a batch of inputs.
        own: what the module makes of it; logits, or, of a headless module, whatever is compared with the hidden states.

    Raises:
        SourceError: they differ by more than rounding.
    """
    with torch.inference_mode():
        features = cut.pool(cut.encode(cut.embed(x)))
        logits = cut.head(features) if cut.class_names is not None else features
    if logits.shape != own.shape or not torch.allclose(logits, own, rtol=1e-4, atol=1e-5):
        raise SourceError(
            f"{cut.name} ({type(cut.module).__name__}) cannot be cut into embedder, encoder and head",
            expected="an architecture of the kinds that `gapkit sources` lists",
            remedy="load the model yourself and pass it to gapkit.Source.from_module",
        )


@dataclass(kw_only=True)
class WholeCut(Cut):
    """A module without token space: ``encode`` runs it as a whole and gives what goes into its head.

    Attributes:
        head_name: name of the final linear map; None where there is none.
        output: which tensor of what the module returns is its output.
    """

    head_name: str | None = None
    output: Callable[[object], Tensor] = field(default=lambda result: tensor_of(result))

    @property
    def classifier(self) -> nn.Module | None:
        """The final linear map; where it cannot be told from the rest, features are the logits already."""
        if self.class_names is None:
            return None
        return nn.Identity() if self.head_name is None else self.module.get_submodule(self.head_name)

    def run(self, tokens: Tensor) -> Tensor:
        """The module's own forward pass."""
        return self.output(self.module(tokens))

    def encode(self, tokens: Tensor) -> Tensor:
        """The input of the head, or the module's output where it has none."""
        if self.head_name is None:
            return self.run(tokens)
        with caught_input(self.module.get_submodule(self.head_name)) as caught:
            self.run(tokens)
        return caught[-1]

    def pool(self, hidden: Tensor) -> Tensor:
        """Features as they are; tokens (B, N, d) and maps (B, C, H, W) are averaged."""
        if hidden.ndim == 3:
            return hidden.mean(dim=1)
        return hidden.mean(dim=(2, 3)) if hidden.ndim == 4 else hidden.flatten(1)


def tensor_of(result: object) -> Tensor:
    """The tensor in what a module returned: itself, its ``logits``, or the first of a tuple.

    Raises:
        SourceError: there is none.
    """
    found = getattr(result, "logits", None)
    if found is None:
        found = result[0] if isinstance(result, tuple) and result else result
    if not isinstance(found, Tensor):
        raise SourceError(
            f"the module returns {type(result).__name__}",
            expected="one tensor, a tuple that begins with one, or an object with logits",
            remedy="wrap it in a module that returns the tensor alone",
        )
    return found
