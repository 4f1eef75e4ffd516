"""``load_source``: a name to a source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gapkit.arrays import seeded_torch
from gapkit.errors import OptionError, SourceError
from gapkit.sources.folders import is_timm_folder, read_config
from gapkit.sources.hub import cached_folder, check_repository, fetch_folder, probe
from gapkit.sources.short_names import BUNDLED, Prefix, resolve
from gapkit.sources.timm_names import reach_timm

if TYPE_CHECKING:
    from gapkit.sources.cut import Cut
    from gapkit.sources.source import Source
    from gapkit.types import Target


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
    _reach(kind, rest, name)  # before torch, which takes seconds to import
    from gapkit.sources.source import Source, choose_device

    choose_device(device)  # before a model is downloaded for it
    with seeded_torch(0):  # modules are built with random weights before the trained ones are read into them
        adapter = _adapter(kind, rest, name, arch)
    if surrogate is not None:
        adapter.surrogate = surrogate
    return Source(adapter, device=device, precision=precision)


def _reach(kind: Prefix, rest: str, name: str) -> None:
    """Refuse a hub source that is neither here nor within reach."""
    if kind == "timm" and not (Path(rest) / "config.json").is_file():
        reach_timm(rest, title=name)
    if kind == "hf" and not Path(rest).expanduser().is_dir():
        check_repository(rest, name=name)
        if cached_folder(rest) is None:
            probe(rest, name=name)


def _adapter(kind: Prefix, rest: str, name: str, arch: str | None) -> Cut:
    """The cut model for each kind of name; timm and transformers are imported when they are needed."""
    if kind == "bundled":
        from gapkit.sources.bundled import load_bundled

        return load_bundled()
    if kind == "timm":
        from gapkit.sources.from_timm import load_timm

        return load_timm(rest, title=name)
    if kind == "hf":
        return _load_hub(rest, name)
    return _load_file(Path(rest).expanduser(), name, arch)


def _load_hub(rest: str, name: str) -> Cut:
    """A folder, or a repository of the hub; whether it is timm's or transformers' shows in its configuration."""
    folder = Path(rest).expanduser()
    return _load_folder(folder if folder.is_dir() else fetch_folder(rest, name=name), name)


def _load_folder(folder: Path, name: str) -> Cut:
    """A folder that timm or transformers wrote."""
    if is_timm_folder(folder):
        from gapkit.sources.from_timm import load_timm_folder

        return load_timm_folder(folder, title=name)
    read_config(folder, title=name)  # before transformers, which takes seconds to import
    from gapkit.sources.from_transformers import load_transformers_folder

    return load_transformers_folder(folder, title=name)


def _load_file(path: Path, name: str, arch: str | None) -> Cut:
    """A checkpoint of a given architecture; a folder with a configuration needs none."""
    if path.is_dir() and arch is None:
        return _load_folder(path, name)
    from gapkit.sources.checkpoint import check_file

    check_file(path, name=name)
    if arch is None:
        raise SourceError(
            f"{name} without an architecture",
            expected="--arch (arch=...): vit, timm's name, or a folder with a config.json",
            remedy="add --arch, such as --arch resnet50",
        )
    if arch == BUNDLED:
        from gapkit.sources.bundled import load_bundled_file

        return load_bundled_file(path, name=name)
    if (Path(arch) / "config.json").is_file() and not is_timm_folder(Path(arch)):
        from gapkit.sources.from_transformers import load_transformers_file

        return load_transformers_file(path, arch=arch, title=name)
    from gapkit.sources.from_timm import load_timm_file

    return load_timm_file(path, arch=arch, title=name)
