"""Optional packages, imported where a class of theirs is built upon."""

from __future__ import annotations

import importlib
from typing import Any

from gapkit.errors import OptionError


def base_class(module: str, name: str, *, extra: str) -> Any:
    """A class of an optional package.

    Args:
        module: where it is.
        name: of the class.
        extra: of gapkit, that brings the package.

    Raises:
        OptionError: the package is not installed.

    Example:
        >>> base_class("collections", "Counter", extra="none").__name__
        'Counter'
    """
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        raise OptionError(
            f"the package {module.partition('.')[0]} is not installed",
            expected="it where it is built upon",
            remedy=f"pip install 'gapkit[{extra}]'",
        ) from error
