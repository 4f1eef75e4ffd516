"""What a user names on the command line, and how it becomes a target and a source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gapkit.data.load import ReadOptions, load_target
from gapkit.errors import OptionError

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
        return _open(self.source, self), target


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


@dataclass(frozen=True, kw_only=True)
class ProbeRequest:
    """Names of a source, a tuned model and samples, with what is needed to load them.

    Attributes:
        before: the pretrained source, such as "vit" or "timm:resnet50".
        after: the tuned model: a checkpoint or a folder.
        target: a path or "sample:NAME" of what it was tuned on, or None.
        reading: how the target is read.
        surrogate: a path or "sample:NAME"; by default the source's own.
        control: a checkpoint of the same architecture trained on the target from scratch.
        control_start: what the control began with.
        arch: architecture of a ``file:`` source.
        device: where the models run.
        precision: of their forward passes.
    """

    before: str
    after: str | None = None
    target: str | None = None
    reading: ReadOptions = field(default_factory=ReadOptions)
    surrogate: str | None = None
    control: str | None = None
    control_start: str | None = None
    arch: str | None = None
    device: str = "auto"
    precision: str = "fp32"

    def __post_init__(self) -> None:
        """Check that nothing is asked that needs a target without one.

        Raises:
            OptionError: a control without a target, or its start without it.
        """
        for name, needed in (("control", "target"), ("control_start", "control")):
            if getattr(self, name) is not None and getattr(self, needed) is None:
                option, other = (f"--{key.replace('_', '-')}" for key in (name, needed))
                raise OptionError(f"{option} without {other}", expected=f"{other} too", remedy=f"give {other}")

    def load(self) -> tuple[Source, Target | None]:
        """The target first, since its mistakes show without loading a model; then the source with its surrogate.

        Raises:
            GapkitError: one of them cannot be loaded.
        """
        target = None if self.target is None else load_target(self.target, self.reading)
        return _open(self.before, self), target


def _open(name: str, request: Request | ProbeRequest) -> Source:
    """A source with the surrogate that is asked for, which is read first."""
    surrogate = None if request.surrogate is None else load_target(request.surrogate)
    # Imported here: torch takes seconds, and a mistyped file name should not have to wait for it.
    from gapkit.sources.load import load_source

    return load_source(name, arch=request.arch, surrogate=surrogate, device=request.device, precision=request.precision)
