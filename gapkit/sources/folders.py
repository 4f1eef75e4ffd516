"""What a model's folder says of itself, read without importing the library that wrote it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gapkit.errors import SourceError


def is_timm_folder(folder: Path) -> bool:
    """Whether a folder's config.json is timm's: it names an architecture, not a ``model_type``."""
    config = read_json(folder / "config.json")
    return "architecture" in config and "model_type" not in config


def read_config(folder: Path, *, title: str) -> dict[str, Any]:
    """The configuration of a folder, refused where it asks for Python code from the repository.

    Raises:
        SourceError: no configuration, or one with ``auto_map``.
    """
    config = read_json(folder / "config.json")
    if not config:
        raise SourceError(
            f"{title}: no readable config.json in {folder}",
            expected="a folder that save_pretrained or timm wrote",
            remedy="check the path",
        )
    if "auto_map" in config:
        raise SourceError(
            f"{title}: its config.json asks for Python code of its own (auto_map)",
            expected="an architecture that transformers has itself: gapkit runs no code from a model's repository",
            remedy="load the model yourself and pass it to gapkit.Source.from_module",
        )
    return config


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file, empty where there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
