"""Examples of a target and of what its source was shown, for people to look at."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from gapkit.arrays import Indices
from gapkit.results import Pictures

if TYPE_CHECKING:
    from gapkit.sources.source import Source
    from gapkit.types import Embedder, InputSpec, Target

EXAMPLES = 6
MOST_CLASSES = 30
"""More would not be looked at, and make the report large."""


def example_pictures(source: Source, target: Target, embedder: Embedder) -> Pictures | None:
    """The first samples of each class as they are, as an image source sees them, and the surrogate's of each class.

    None where the source takes no images, or tokens instead of them.
    """
    from gapkit.embedders.examples import raw_pictures

    if source.input.kind != "image" or embedder.space != "input" or target.y.ndim != 1:
        return None
    found, surrogate = target_pictures(target, embedder, source.input), source.surrogate
    if surrogate is None:
        return found
    known = {name: raw_pictures(surrogate, rows) for name, rows in class_examples(surrogate, most=None).items()}
    return replace(found, source=known)


def target_pictures(target: Target, embedder: Embedder, input: InputSpec) -> Pictures:
    """The first samples of each class, as they are where they are images, and as an image source sees them."""
    # Imported here: torch takes seconds, and a mistyped file name should not have to wait for it.
    from gapkit.embedders.examples import raw_pictures, seen_pictures

    chosen, images = class_examples(target), embedder.name == "resize"
    return Pictures(
        target={name: raw_pictures(target, rows) for name, rows in chosen.items()} if images else {},
        seen={name: seen_pictures(embedder(target.x[rows]), input) for name, rows in chosen.items()},
    )


def class_examples(target: Target, *, most: int | None = MOST_CLASSES) -> dict[str, Indices]:
    """Positions of the first samples of each of the first classes that have any; without classes, of all."""
    names = target.class_names or ()
    if target.y.ndim != 1 or not names:
        return {"samples": np.arange(min(EXAMPLES, len(target)), dtype=np.int64)}
    codes = np.unique(target.y).tolist()[:most]
    return {names[int(code)]: np.flatnonzero(target.y == code)[:EXAMPLES] for code in codes}
