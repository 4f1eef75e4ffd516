"""Forward hooks: which layers are captured, and how the output of a layer becomes one row per sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Literal

import torch
from torch import Tensor, nn

from gapkit.errors import OptionError, nearest

Pooling = Literal["mean", "cls", "tokens"]
FEATURES, LOGITS = "features", "logits"
"""Names of the head's input and of its output; no captured layer may have them."""
CONTAINERS = (nn.ModuleList, nn.ModuleDict)
WIDTHS = ("out_features", "out_channels", "num_features", "num_channels")
"""What the layers of ``torch.nn`` call the number of channels that they give."""


def select_layers(module: nn.Module, patterns: Iterable[str]) -> dict[str, nn.Module]:
    """The layers that are meant by names and globs, in the order in which the module holds them.

    ``*`` stands for one part of a name or a piece of it, ``**`` for anything: ``blocks.*`` are the blocks themselves,
    ``blocks.**`` is all that is in them. A layer that the module holds under two names can be asked for by either.
    Lists and dicts of modules are no layers, since they never run.

    Raises:
        OptionError: a pattern fits no layer; the nearest names are given.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU()))
        >>> list(select_layers(model, ["*"])), list(select_layers(model, ["1.**"]))
        (['0', '1'], ['1.0'])
    """
    named = module.named_modules(remove_duplicate=False)
    layers = {name: layer for name, layer in named if name and not isinstance(layer, CONTAINERS)}
    chosen: set[str] = set()
    for pattern in patterns:
        matched = [name for name in layers if _fits(name, pattern)]
        if not matched:
            raise unknown_layer(pattern, layers)
        chosen.update(matched)
    for name in (FEATURES, LOGITS):
        if name in chosen:
            raise OptionError(
                f"layer {name!r} is called as what gapkit calls the head's {'input' if name == FEATURES else 'output'}",
                expected="layers under another name",
                remedy=f"ask for the layers in it, '{name}.*'",
            )
    return {name: layer for name, layer in layers.items() if name in chosen}


def _fits(name: str, pattern: str) -> bool:
    """Whether a layer's name is meant by a pattern."""
    if "**" in pattern:
        return fnmatchcase(name, pattern)
    parts, globs = name.split("."), pattern.split(".")
    return len(parts) == len(globs) and all(map(fnmatchcase, parts, globs))


def unknown_layer(pattern: str, names: Iterable[str]) -> OptionError:
    """The error that says which names are nearest to ``pattern``, or which there are at the top."""
    names = list(names)
    close = nearest(pattern, names)
    top = ", ".join(repr(name) for name in names if "." not in name)
    return OptionError(
        f"layer {pattern!r}",
        expected="a name or a glob that fits layers of the source",
        remedy=f"did you mean {close}?" if close else f"look below {top}",
    )


@contextmanager
def hooked(layers: Mapping[str, nn.Module], see: Callable[[str, nn.Module, object], None]) -> Iterator[None]:
    """Call ``see(name, layer, output)`` whenever one of the layers has run; the hooks go when the block ends."""
    handles: list[torch.utils.hooks.RemovableHandle] = []
    try:
        for name, layer in layers.items():
            handles.append(layer.register_forward_hook(_hook(name, see)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hook(name: str, see: Callable[[str, nn.Module, object], None]) -> Callable[[nn.Module, object, object], None]:
    """A forward hook that knows the layer's name and leaves the output as it is."""

    def hook(layer: nn.Module, _: object, output: object) -> None:
        see(name, layer, output)

    return hook


@contextmanager
def capturing(layers: Mapping[str, nn.Module], *, pooling: Pooling, grid: bool) -> Iterator[dict[str, Tensor]]:
    """A mapping that holds the pooled output (B, D) of every layer after each forward pass.

    Where a layer runs several times in one pass, the last time counts. The rows are new tensors on the layer's device,
    so that nothing that runs later in place can change them.

    Args:
        layers: name -> layer.
        pooling: how tokens become one row, see ``pool_rows``.
        grid: whether the source's tokens are a grid (B, H, W, C).
    """
    captured: dict[str, Tensor] = {}
    widths = {name: output_width(layer) for name, layer in layers.items()}

    def see(name: str, _: nn.Module, output: object) -> None:
        tensor = first_tensor(output)
        if tensor is not None:
            last = channels_last(tensor.shape, width=widths[name], grid=grid)
            captured[name] = pool_rows(tensor, pooling=pooling, last=last, name=name)

    with hooked(layers, see):
        yield captured


def first_tensor(output: object) -> Tensor | None:
    """The tensor that stands for a layer's output.

    A tensor stands for itself, a tuple or list for its first tensor, a dict or model output for its
    ``last_hidden_state``, or its first tensor where it has none.
    """
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        hidden = output.get("last_hidden_state")
        output = [hidden] if isinstance(hidden, Tensor) else list(output.values())
    if isinstance(output, tuple | list):
        return next((tensor for part in output if (tensor := first_tensor(part)) is not None), None)
    return None


def output_width(layer: nn.Module) -> int | None:
    """Channels of the last linear, convolution or normalisation layer in ``layer``; None where it has none."""
    for part in reversed(list(layer.modules())):
        if next(part.children(), None) is None:
            for key in WIDTHS:
                if isinstance(width := getattr(part, key, None), int):
                    return width
    return None


def channels_last(shape: torch.Size | tuple[int, ...], *, width: int | None, grid: bool) -> bool:
    """Whether the channels of an output (B, ...) are its last axis; its second axis otherwise.

    They are the axis that is as long as ``width``, see ``output_width``. Where that is both axes or neither, (B, N, D)
    has them last, and (B, C, H, W) second unless the source's tokens are a grid: then (B, H, W, C) has them last.

    Example:
        >>> channels_last((8, 16, 100), width=16, grid=False), channels_last((8, 100, 16), width=None, grid=False)
        (False, True)
        >>> channels_last((8, 7, 7, 96), width=None, grid=True), channels_last((8, 96, 7, 7), width=None, grid=False)
        (True, False)
    """
    if len(shape) > 2 and (shape[1] == width) != (shape[-1] == width):
        return shape[-1] == width
    return len(shape) == 3 or grid


def pool_rows(output: Tensor, *, pooling: Pooling, last: bool, name: str) -> Tensor:
    """One float32 row per sample (B, D), always a new tensor.

    "mean" averages over everything but samples and channels, in float32; "cls" takes the first token of (B, N, D);
    "tokens" keeps every entry. (B, D) and (B,) stay as they are.

    Raises:
        OptionError: "cls" where there are no tokens in a row.
    """
    if output.ndim <= 2 or pooling == "tokens":
        return output.reshape(len(output), -1).to(torch.float32, copy=True)
    if pooling == "mean":
        axes = tuple(range(1, output.ndim - 1)) if last else tuple(range(2, output.ndim))
        return output.mean(dim=axes, dtype=torch.float32)
    if output.ndim == 3 and last:
        return output[:, 0].to(torch.float32, copy=True)
    raise OptionError(
        f"layer {name!r} gives {tuple(output.shape[1:])} for each sample, which has no class token",
        expected="tokens (N, D) where the pooling is 'cls'",
        remedy="use pooling='mean'",
    )
