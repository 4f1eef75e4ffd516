"""What ``gapkit sources`` shows; neither torch nor a network is needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gapkit.sources.hub import WEIGHT_FILES, cached_file
from gapkit.sources.short_names import BUNDLED, SHORT_NAMES

if TYPE_CHECKING:
    from huggingface_hub import HFCacheInfo


@dataclass(frozen=True, kw_only=True)
class SourceListing:
    """A source that can be asked for.

    Attributes:
        name: what to write after ``--source``.
        meaning: what it is, with the full name of a short one.
        kind: "image", "audio", "text", or "" where only loading would tell.
        bundled: whether it comes with gapkit.
        cached: whether it can be loaded without a network.
    """

    name: str
    meaning: str
    kind: str
    bundled: bool
    cached: bool


def list_sources() -> tuple[SourceListing, ...]:
    """The bundled source, the short names, and what else the local hub cache holds."""
    listings = [
        SourceListing(
            name=BUNDLED,
            meaning="bundled ViT, 32x32 RGB, 352 classes (natural images, characters, digits)",
            kind="image",
            bundled=True,
            cached=True,
        )
    ]
    for name, (source, kind, meaning) in SHORT_NAMES.items():
        prefix, _, rest = source.partition(":")
        cached = cached_file(f"timm/{rest}" if prefix == "timm" else rest, WEIGHT_FILES) is not None
        listings.append(
            SourceListing(name=name, meaning=f"{source}: {meaning}", kind=kind, bundled=False, cached=cached)
        )
    return (*listings, *_others({source for source, _, _ in SHORT_NAMES.values()}))


def _others(known: set[str]) -> list[SourceListing]:
    """Models in the cache that have no short name."""
    found: list[SourceListing] = []
    for repository in sorted(cached_models()):
        owner, _, rest = repository.partition("/")
        name = f"timm:{rest}" if owner == "timm" else f"hf:{repository}"
        if name not in known and cached_file(repository, WEIGHT_FILES) is not None:
            found.append(SourceListing(name=name, meaning="in the local cache", kind="", bundled=False, cached=True))
    return found


def cached_models() -> list[str]:
    """Repositories of models that the local hub cache holds, whole or in part."""
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        cache: HFCacheInfo = scan_cache_dir(constants.HF_HUB_CACHE)
    except CacheNotFound:
        return []
    return [repository.repo_id for repository in cache.repos if repository.repo_type == "model"]
