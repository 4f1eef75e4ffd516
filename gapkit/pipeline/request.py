"""What a user names on the command line, and how it becomes a target and a source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gapkit.data.load import ReadOptions, load_target

if TYPE_CHECKING:
    from gapkit.sources.source import Source
    from gapkit.types import Target


@dataclass(frozen=True, kw_only=True)
class Request:
    """Names of a source and a target with what is needed to load them.

    Attributes:
        source: such as "vit" or "timm:resnet50".
        target: a path or "sample:NAME".
        reading: how the target is read.
        arch: architecture of a ``file:`` source.
        surrogate: a path or "sample:NAME", for a headless source.
        device: where the source runs.
        precision: of its forward pass.
    """

    source: str
    target: str
    reading: ReadOptions = field(default_factory=ReadOptions)
    arch: str | None = None
    surrogate: str | None = None
    device: str = "auto"
    precision: str = "fp32"

    def load(self) -> tuple[Source, Target]:
        """The target first, since its mistakes show without loading a model; then the source.

        Raises:
            GapkitError: one of them cannot be loaded.
        """
        target = load_target(self.target, self.reading)
        surrogate = None if self.surrogate is None else load_target(self.surrogate)
        # Imported here: torch takes seconds, and a mistyped file name should not have to wait for it.
        from gapkit.sources.load import load_source

        source = load_source(
            self.source, arch=self.arch, surrogate=surrogate, device=self.device, precision=self.precision
        )
        return source, target


@dataclass(frozen=True, kw_only=True)
class RankRequest:
    """Names of sources and of a target with what is needed to load the target.

    Attributes:
        sources: such as "vit" or "timm:resnet50"; each is loaded when its turn comes.
        target: a path or "sample:NAME".
        reading: how the target is read.
        surrogate: a path or "sample:NAME", for headless sources.
        device: where the sources run.
        precision: of their forward passes.
    """

    sources: tuple[str, ...]
    target: str
    reading: ReadOptions = field(default_factory=ReadOptions)
    surrogate: str | None = None
    device: str = "auto"
    precision: str = "fp32"

    def load(self) -> tuple[Target, Target | None]:
        """The target and the surrogate.

        Raises:
            GapkitError: one of them cannot be loaded.
        """
        surrogate = None if self.surrogate is None else load_target(self.surrogate)
        return load_target(self.target, self.reading), surrogate

    def open(self, name: str) -> Source:
        """One of the sources.

        Raises:
            SourceError: it cannot be loaded.
        """
        from gapkit.sources.load import load_source

        return load_source(name, device=self.device, precision=self.precision)
