"""How many patches of which size: about as many as the source's own embedder gives or fewer, as its encoder takes."""

from __future__ import annotations

from math import ceil, inf, isqrt, log, prod

from gapkit.embedders.patch_modules import Cuts, Grid, PatchSizes, TableSizes
from gapkit.embedders.preparation import ValuePreparation
from gapkit.errors import DataError, OptionError
from gapkit.types import EmbeddingPart, TokenSpec

USUAL_TOKENS = 64
"""Where the source's own number depends on the sample, as that of words does: attention then costs little."""
SERIES_TOKENS = 32
"""Of a series at most, where the encoder has no places of its own: half of the bundled source's number takes half the
time, and learned as well or better (160 steps, DNA 0.97 against 0.93, inertial sensors 0.94 and 0.94)."""
TABLE_TOKENS = 256
"""Tokens of a table at most, if the source's own are not more: attention grows with their square."""


def module_sizes(
    preparation: ValuePreparation, part: EmbeddingPart, token: TokenSpec, asked: int | None
) -> PatchSizes | TableSizes:
    """Sizes of the module for prepared values.

    Args:
        preparation: what the module is given.
        part: of the source.
        token: its token space.
        asked: number of tokens that is asked for, None for the source's own or about that.

    Raises:
        OptionError: so many tokens do not fit the source or the target.
        DataError: the source takes fewer tokens than the target needs.
    """
    check_asked(asked, preparation, part, token)
    grid = part.grid if token.layout == "grid" else None
    if preparation.kind == "table":
        return TableSizes(cuts=table_cuts(preparation.shape[-1], part, token, asked), dim=token.dim, grid=grid)
    axes = preparation.shape[1:]
    cuts = (series_cuts(axes[0], part, token, asked),) if len(axes) == 1 else field_cuts(axes, part, token, asked)
    return PatchSizes(channels=preparation.shape[0], axes=cuts, dim=token.dim, positions=not part.placed, grid=grid)


def check_asked(asked: int | None, preparation: ValuePreparation, part: EmbeddingPart, token: TokenSpec) -> None:
    """Refuse a number of tokens that the encoder does not take, or that the target cannot give.

    Raises:
        OptionError: says which, and what would fit.
    """
    if asked is None:
        return
    cells = prod(preparation.shape[1:])
    if part.exact and asked != part.count:
        grid = "" if part.grid is None else f", {part.grid[0]}x{part.grid[1]}"
        raise OptionError(
            f"{asked} tokens for {part.source}",
            expected=f"{part.count}{grid}, which is all that its encoder takes",
            remedy="leave tokens out",
        )
    most = cells if token.max_len is None else min(cells, token.max_len)
    least = min(2, cells)
    if not part.exact and not least <= asked <= most:
        raise OptionError(
            f"{asked} tokens for {part.source} and samples of {cells} {'features' if cells > 1 else 'value'}",
            expected=f"{least} to {most}" if least < most else f"{most}",
            remedy="leave tokens out",
        )


def series_cuts(length: int, part: EmbeddingPart, token: TokenSpec, asked: int | None) -> Cuts:
    """Patches of a series of ``length`` steps; at least two where there are two steps."""
    exactly = asked if asked is not None else _exactly(length, part)
    if exactly is not None:
        return spread_cuts(length, exactly)
    size = nearest_size(length, min(part.count or USUAL_TOKENS, SERIES_TOKENS), most=token.max_len)
    return Cuts(length=length, size=size, count=ceil(length / size))


def _exactly(length: int, part: EmbeddingPart) -> int | None:
    """The number of tokens that keeps the encoder's own positions, where it has them for its own number only."""
    if part.exact or (part.placed and part.grid is not None and part.count is not None and length >= part.count):
        return part.count
    return None


def spread_cuts(length: int, count: int) -> Cuts:
    """Exactly ``count`` patches, as short as cover the axis."""
    return Cuts(length=length, size=ceil(length / count), count=count, spread=True)


def nearest_size(length: int, wanted: int, *, most: int | None) -> int:
    """Steps in a patch, so that the number of patches is nearest to ``wanted`` in ratio, at most ``most``, and not 1.

    Example:
        >>> [nearest_size(length, 64, most=None) for length in (1, 2, 46, 100, 997, 1000)]
        [1, 1, 1, 2, 16, 16]
    """
    least = 1 if most is None else ceil(length / most)
    largest = max(1, ceil(length / 2))
    guess = max(1, length // wanted)
    sizes = {min(largest, max(least, size)) for size in (guess, guess + 1)}
    return min(sizes, key=lambda size: (abs(log(ceil(length / size) / wanted)), size))


def field_cuts(size: tuple[int, ...], part: EmbeddingPart, token: TokenSpec, asked: int | None) -> tuple[Cuts, ...]:
    """Square patches of a field (H, W), or the source's own grid where its encoder knows the places by it."""
    own = _own_grid(part, asked)
    if own is not None and (part.exact or all(edge >= count for edge, count in zip(size, own, strict=True))):
        return tuple(spread_cuts(edge, count) for edge, count in zip(size, own, strict=True))
    wanted = asked or part.count or USUAL_TOKENS
    edge = square_edge(size, wanted, most=asked or token.max_len)
    return tuple(Cuts(length=length, size=min(edge, length), count=ceil(length / edge)) for length in size)


def _own_grid(part: EmbeddingPart, asked: int | None) -> Grid | None:
    """Rows and columns that the encoder's positions are for."""
    if part.exact and part.grid is None and part.count is not None:
        return squarest(part.count)
    if not part.placed or part.grid is None:
        return None
    return part.grid if asked is None or asked == part.count else squarest(asked)


def squarest(count: int) -> Grid:
    """Two factors of ``count`` that are as near to each other as can be, as timm lays out another number of tokens.

    Example:
        >>> squarest(12), squarest(7)
        ((3, 4), (1, 7))
    """
    rows = next(rows for rows in range(isqrt(count), 0, -1) if count % rows == 0)
    return rows, count // rows


def square_edge(size: tuple[int, ...], wanted: int, *, most: int | None) -> int:
    """Edge of square patches, so that their number is nearest to ``wanted`` in ratio, at most ``most``, and not 1.

    Raises:
        DataError: even two patches are more than ``most``.
    """
    counts = {edge: prod(ceil(length / edge) for length in size) for edge in range(1, max(2, max(size)))}
    fitting = [edge for edge, count in counts.items() if count <= (inf if most is None else most)]
    if not fitting:
        raise DataError(
            f"fields {size[0]}x{size[1]} for a source that takes {most} tokens",
            expected="a source that takes two tokens or more",
            remedy="choose another source",
        )
    return min(fitting, key=lambda edge: (round(abs(log(counts[edge] / wanted)), 9), edge))


def table_cuts(features: int, part: EmbeddingPart, token: TokenSpec, asked: int | None) -> Cuts:
    """One token for each feature while they fit, else for groups of equal size; never one for several features."""
    exactly = asked if asked is not None else part.count if part.exact else None
    if exactly is not None:
        return spread_cuts(features, exactly)
    most = max(TABLE_TOKENS, part.count or 0)
    most = most if token.max_len is None else min(most, token.max_len)
    size = min(ceil(features / most), max(1, ceil(features / 2)))
    return Cuts(length=features, size=size, count=ceil(features / size))
