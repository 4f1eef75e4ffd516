"""The parameters and buffers of one layer, by names relative to it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from torch import Tensor, nn

from gapkit.errors import UndefinedError
from gapkit.sources.hooks import unknown_layer


def find_layer(module: nn.Module, layer: str) -> nn.Module:
    """The submodule of that name; the module itself for "".

    Raises:
        OptionError: there is none; the nearest names are given.

    Example:
        >>> find_layer(nn.Sequential(nn.ReLU(), nn.Tanh()), "1")
        Tanh()
    """
    names = layer_names(module)
    if layer not in names:
        raise unknown_layer(layer, names)
    return module.get_submodule(layer)


def layer_names(module: nn.Module) -> list[str]:
    """Every name of every submodule, that of the module itself, "", included."""
    # torch's own annotation of this method leaves the type open.
    named = cast("Iterable[tuple[str, nn.Module]]", module.named_modules(remove_duplicate=False))
    return [name for name, _ in named]


def layer_parameters(module: nn.Module, layer: str) -> dict[str, Tensor]:
    """Its own parameters and those below it, a shared one under each of its names.

    Raises:
        OptionError: there is no such layer.
    """
    return dict(find_layer(module, layer).named_parameters(remove_duplicate=False))


def layer_buffers(module: nn.Module, layer: str) -> dict[str, Tensor]:
    """Its own buffers and those below it, as far as a checkpoint holds them; the others follow from the architecture.

    Raises:
        OptionError: there is no such layer.
    """
    found = find_layer(module, layer)
    stored = found.state_dict()
    return {name: buffer for name, buffer in found.named_buffers(remove_duplicate=False) if name in stored}


def check_alike(found: dict[str, Tensor], other: dict[str, Tensor], layer: str) -> None:
    """Refuse tensors of one layer of two models that do not pair up by name and shape.

    Args:
        found: of the model that is looked at.
        other: of the pretrained model.
        layer: their layer.

    Raises:
        UndefinedError: a tensor that one of them lacks, or that has another shape.
    """
    lacking = [name for name in other if name not in found], [name for name in found if name not in other]
    for names, whose in zip(lacking, ("tuned", "pretrained"), strict=True):
        if names:
            raise UndefinedError(
                f"layer {layer!r} of the {whose} model lacks {names[0]!r}" + _and_more(len(names)),
                expected="the same tensors in both models",
                remedy="take a layer that tuning has not rebuilt",
            )
    for name, tensor in found.items():
        if tensor.shape != other[name].shape:
            raise UndefinedError(
                f"{name!r} of layer {layer!r} has shape {tuple(tensor.shape)}, pretrained {tuple(other[name].shape)}",
                expected="equal shapes",
                remedy="take a layer that tuning has not rebuilt",
            )


def _and_more(count: int) -> str:
    """How many others there are."""
    return "" if count == 1 else f" and {count - 1} more"
