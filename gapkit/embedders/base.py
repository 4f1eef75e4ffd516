"""What every fixed embedder is: a frozen value with a key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal

import numpy as np

from gapkit.arrays import Array, digest

KEY_DIGITS = 16


@dataclass(frozen=True, kw_only=True, eq=False)
class FixedEmbedder:
    """Parameters and train statistics of an embedder; two of them are equal when their keys are.

    Attributes:
        name: "resize", "fold", "spectrogram", "onehot", "waveform" or "tokens".
        statistics_from: the samples that the statistics were taken from, in words; no part of the key.
    """

    name: str
    statistics_from: str = field(compare=False)

    @property
    def space(self) -> Literal["input", "tokens"]:
        """Batches go to the source's own embedder; those that make tokens say otherwise."""
        return "input"

    @property
    def key(self) -> str:
        """Name and hash of every parameter and statistic: equal keys embed equally, in every process."""
        return f"{self.name}-{digest(*parts_of(self))[:KEY_DIGITS]}"

    def __eq__(self, other: object) -> bool:
        """Whether both embed every sample in the same way."""
        return isinstance(other, FixedEmbedder) and self.key == other.key

    def __hash__(self) -> int:
        """Hash of the key."""
        return hash(self.key)


def parts_of(value: Any) -> Iterator[Array | str]:
    """Arrays and strings that tell a value from others; fields with ``compare=False`` are left out.

    Example:
        >>> list(parts_of((1, "a")))
        ["(1, 'a')"]
    """
    if isinstance(value, np.ndarray):
        yield value
    elif is_dataclass(value):
        yield type(value).__qualname__
        for item in fields(value):
            if item.compare:
                yield item.name
                yield from parts_of(getattr(value, item.name))
    else:
        yield repr(value)
