"""``load_source``: a name to a source."""

from __future__ import annotations

from gapkit.errors import OptionError
from gapkit.sources.bundled import load_bundled
from gapkit.sources.short_names import resolve
from gapkit.sources.source import Source, choose_device
from gapkit.types import Adapter, Target


def load_source(
    name: str,
    *,
    arch: str | None = None,
    surrogate: Target | None = None,
    device: str = "auto",
    precision: str = "fp32",
) -> Source:
    """Load a pretrained source model by name.

    Args:
        name: ``vit`` (bundled), ``timm:NAME``, ``hf:NAME-OR-PATH``, ``file:CHECKPOINT``, or a short name such as
            ``swin-b``. Hub models are taken from the local cache, or downloaded where there is a network.
        arch: architecture of a ``file:`` checkpoint: ``vit`` (the bundled one), a timm name, or a folder with a
            ``config.json`` of transformers or timm.
        surrogate: small labelled set of the source's own modality; by default the one that comes with the source.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        precision: "fp32", "bf16" or "fp16", of the forward pass.

    Raises:
        SourceError: the source is unknown, out of reach, corrupt or of another architecture.
        OptionError: the device or the precision is not to be had.
    """
    kind, rest = resolve(name)
    if arch is not None and kind != "file":
        raise OptionError(
            f"architecture {arch!r} for source {name!r}",
            expected="an architecture for file: checkpoints only",
            remedy="leave --arch out",
        )
    choose_device(device)  # before a model is downloaded for it
    return Source(_adapter(kind, rest, name, arch, surrogate), device=device, precision=precision)


def _adapter(kind: str, rest: str, name: str, arch: str | None, surrogate: Target | None) -> Adapter:
    """The adapter for each kind of name."""
    return load_bundled(surrogate=surrogate)
