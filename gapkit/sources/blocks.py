"""The blocks of a model: the layers that are meant by "all"."""

from __future__ import annotations

from typing import Any

from torch import nn

from gapkit.sources.source import Source

CONTAINERS = (nn.ModuleList, nn.Sequential)


def block_names(module: nn.Module) -> tuple[str, ...]:
    """Names of the blocks, in the order of the module: what stands in a row and is of one class.

    A row is a ``ModuleList`` or ``Sequential`` of at least two modules of one class that have modules of their own,
    such as the blocks of a transformer or the stages of a Swin; what is inside of them is no further block. Where there
    is no such row, the module's children are meant.

    Example:
        >>> row = nn.Sequential(*(nn.TransformerEncoderLayer(4, 1, 4) for _ in range(2)))
        >>> block_names(nn.ModuleDict({"stem": nn.Linear(2, 4), "blocks": row}))
        ('blocks.0', 'blocks.1')
        >>> block_names(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
        ('0', '1')
    """
    found: list[str] = []
    for name, part in module.named_modules():
        inside = any(name.startswith(f"{block}.") for block in found)
        if not inside and isinstance(part, CONTAINERS) and _is_row(part):
            found += [f"{name}.{child}" if name else child for child, _ in part.named_children()]
    return tuple(found) or tuple(name for name, _ in module.named_children())


def innermost_blocks(module: nn.Module) -> tuple[str, ...]:
    """Names of the blocks that no further ones are in: of a Swin those of its stages, else those of ``block_names``.

    Example:
        >>> stage = nn.Sequential(*(nn.TransformerEncoderLayer(4, 1, 4) for _ in range(2)))
        >>> innermost_blocks(nn.Sequential(stage, nn.Sequential(nn.LayerNorm(4))))
        ('0.0', '0.1', '1')
    """
    rows = {
        f"{name}.{child}" if name else child
        for name, part in module.named_modules()
        if isinstance(part, CONTAINERS) and _is_row(part)
        for child, _ in part.named_children()
    }
    innermost = {one for one in rows if not any(other.startswith(f"{one}.") for other in rows)}
    return tuple(name for name, _ in module.named_modules() if name in innermost) or block_names(module)


def list_layers(source: Source) -> list[dict[str, Any]]:
    """Name, class, number of weights, and whether "all" means it, of every layer that can be captured."""
    blocks = block_names(source.module)
    return [
        {
            "name": name,
            "class": type(source.module.get_submodule(name)).__name__,
            "weights": sum(parameter.numel() for parameter in source.module.get_submodule(name).parameters()),
            "block": name in blocks,
        }
        for name in source.layers()
    ]


def _is_row(container: nn.Module) -> bool:
    """Whether the container's modules are of one class and have modules of their own."""
    children = list(container.children())
    same = len({type(child) for child in children}) == 1
    return len(children) > 1 and same and any(True for _ in children[0].children())
