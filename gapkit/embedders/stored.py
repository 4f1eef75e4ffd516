"""Frozen values as JSON and tensors, and back: how a learned embedder's preparation and sizes lie in its file.

Only the kinds of values that are listed here are ever built from a file, and from their fields alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gapkit.embedders.fold import Fold
from gapkit.embedders.learned import MadeFor
from gapkit.embedders.modality import ImageLayout
from gapkit.embedders.patch_modules import CopySizes, Cuts, LayerSizes, PatchSizes, TableSizes
from gapkit.embedders.picture import Frame
from gapkit.embedders.preparation import PicturePreparation, ValuePreparation
from gapkit.embedders.resize import Placement, Resize
from gapkit.embedders.spectrogram import Bands, Spectrogram
from gapkit.embedders.values import OneHot, Standardised

Tensors = dict[str, Tensor]
KIND = "is"
KINDS: dict[str, type[Any]] = {
    "ValuePreparation": ValuePreparation,
    "PicturePreparation": PicturePreparation,
    "Standardised": Standardised,
    "OneHot": OneHot,
    "Resize": Resize,
    "ImageLayout": ImageLayout,
    "Placement": Placement,
    "Spectrogram": Spectrogram,
    "Bands": Bands,
    "Fold": Fold,
    "Frame": Frame,
    "PatchSizes": PatchSizes,
    "TableSizes": TableSizes,
    "Cuts": Cuts,
    "CopySizes": CopySizes,
    "LayerSizes": LayerSizes,
    "MadeFor": MadeFor,
}


def as_stored(value: Any, name: str, tensors: Tensors) -> Any:
    """A frozen value as what JSON holds; arrays go into ``tensors`` under the path of their fields."""
    if isinstance(value, np.ndarray):
        tensors[name] = torch.from_numpy(np.ascontiguousarray(value))
        return {"tensor": name}
    if is_dataclass(value):
        own = {
            item.name: as_stored(getattr(value, item.name), f"{name}.{item.name}", tensors) for item in fields(value)
        }
        return {KIND: type(value).__name__} | own
    if isinstance(value, tuple):
        return [as_stored(item, f"{name}.{place}", tensors) for place, item in enumerate(value)]
    return value


def from_stored(stored: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The value again; lists are tuples.

    Raises:
        KeyError: a kind that is not listed, or a tensor that is missing.
        TypeError: fields that the kind does not have.
    """
    if isinstance(stored, list):
        return tuple(from_stored(item, tensors) for item in stored)
    if not isinstance(stored, dict):
        return stored
    if KIND not in stored:
        return tensors[stored["tensor"]].numpy()
    return KINDS[stored[KIND]](**{name: from_stored(own, tensors) for name, own in stored.items() if name != KIND})
