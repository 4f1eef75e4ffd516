"""Names of timm's models, without importing timm, which takes seconds."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from gapkit.errors import SourceError, nearest
from gapkit.sources.hub import WEIGHT_FILES, cached_file, probe

ENTRY_POINT = re.compile(r"^@register_model\ndef (\w+)\(", re.MULTILINE)


ANY_REPOSITORY = "timm/resnet50.a1_in1k"
"""Asked for where only timm, once imported, knows the repository of a model."""


def reach_timm(name: str, *, title: str) -> None:
    """Refuse a model that timm does not have, or that is neither in the cache nor within reach.

    Raises:
        SourceError: says which of the two.
    """
    check_timm_name(name, title=title)
    if not maybe_cached(name):
        download = f"timm.create_model({name!r}, pretrained=True)"
        probe(f"timm/{name}" if "." in name else ANY_REPOSITORY, name=title, download=download)


def check_timm_name(name: str, *, title: str) -> None:
    """Refuse architectures that timm does not have; their names are read from its files, without importing it.

    Raises:
        SourceError: names the nearest ones.
    """
    known = timm_architectures()
    base = name.partition(".")[0]
    if base in known or not known:
        return
    close = nearest(base, known)
    raise SourceError(
        f"{title}: timm has no model {base!r}",
        expected="a name that timm.list_models() gives",
        remedy=f"did you mean {close}?" if close else "check the name",
    )


def timm_architectures() -> list[str]:
    """The architectures that the installed timm registers; empty where its files cannot be read."""
    spec = find_spec("timm")
    folders = [] if spec is None else [Path(place) / "models" for place in spec.submodule_search_locations or ()]
    files = [path for folder in folders for path in sorted(folder.glob("*.py"))]
    return [name for path in files for name in ENTRY_POINT.findall(path.read_text(encoding="utf-8"))]


def maybe_cached(name: str) -> bool:
    """Whether the cache may hold the weights: exactly where the name has a tag, some tag of it where it has none.

    A model whose weights lie in someone else's repository is found only after timm has been imported.
    """
    if "." in name and cached_file(f"timm/{name}", [WEIGHT_FILES[0], WEIGHT_FILES[2]]) is not None:
        return True
    from huggingface_hub import constants

    pattern = f"models--*--{name}" + ("" if "." in name else ".*")
    return next(Path(constants.HF_HUB_CACHE).glob(pattern), None) is not None


def distinct(names: Sequence[str], marks: Sequence[str]) -> tuple[str, ...]:
    """Class names, with a mark behind those that several classes have (ImageNet has two cranes).

    Example:
        >>> distinct(["crane", "quail", "crane"], ["a", "b", "c"])
        ('crane (a)', 'quail', 'crane (c)')
    """
    counts = Counter(names)
    return tuple(f"{name} ({mark})" if counts[name] > 1 else name for name, mark in zip(names, marks, strict=True))
