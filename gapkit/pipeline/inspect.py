"""``inspect``: what was understood of a target, and the embedder that a source would get."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gapkit.arrays import Array
from gapkit.data.describe import Description, describe
from gapkit.data.load import ReadOptions, load_target
from gapkit.errors import GapkitError
from gapkit.pipeline.pictures import target_pictures
from gapkit.types import InputSpec, Target

IMAGE_INPUT = InputSpec(kind="image", shape=(3, 32, 32), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
"""The bundled source's input: the embedder of any image source is chosen by the same rule."""


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """A target as it was understood.

    Attributes:
        description: shape, dtype, modality, classes, groups, splits.
        embedder: name of the embedder that an image source gets; None where there is none for this target.
        reason: why that one, or why none.
        doing: what the fitted embedder does, in words.
        pictures: the first samples of each class, as images or as an image source would see them; empty for text.
    """

    description: Description
    embedder: str | None
    reason: str
    doing: str
    pictures: dict[str, tuple[Array, ...]] = field(default_factory=dict[str, tuple[Array, ...]], repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The description with the embedder, for JSON."""
        chosen = {"name": self.embedder, "reason": self.reason, "description": self.doing}
        return {**self.description.to_dict(), "embedder": chosen}

    def table(self) -> str:
        """One line for each thing that was understood, as plain text."""
        from gapkit.reports.text import inspection_table

        return inspection_table(self.to_dict())

    def plot(self) -> Any:
        """A matplotlib figure: the first samples of each class; None where there is nothing to see."""
        from gapkit.reports.plots import picture_grid

        return picture_grid(self.pictures, self.description.name)

    def save(self, folder: str | Path) -> Path:
        """Write ``inspection.json`` and ``figures/`` into ``folder`` and return it."""
        from gapkit.reports.inspection import write_inspection

        return write_inspection(self.to_dict(), self.pictures, Path(folder))


def inspect(target: Target | str | Path, reading: ReadOptions | None = None) -> Inspection:
    """Say what was understood of a target, without loading a source.

    Args:
        target: a target, or what ``load_target`` takes.
        reading: how a file is read.

    Raises:
        DataError: the file cannot be read.
    """
    from gapkit.embedders import choose, fit

    if not isinstance(target, Target):
        target = load_target(target, reading or ReadOptions())
    description = describe(target)
    try:
        choice = choose(target, IMAGE_INPUT, None)
        embedder = fit(choice, target, IMAGE_INPUT, None)
    except GapkitError as error:
        return Inspection(description=description, embedder=None, reason=str(error), doing="")
    pictures = target_pictures(target, embedder, IMAGE_INPUT)
    return Inspection(
        description=description,
        embedder=choice.name,
        reason=choice.reason,
        doing=embedder.description,
        pictures=pictures.target or pictures.seen,
    )
