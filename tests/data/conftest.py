"""What the tests of the readers share: files they make, and the three parts of a refusal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gapkit.data.load import ReadOptions, load_target
from gapkit.errors import GapkitError

Refusal = Callable[..., GapkitError]


@pytest.fixture
def refusal() -> Refusal:
    """Loads what must be refused and checks that got, expected and remedy each have their words."""

    def check(path: str | Path, *, got: str, expected: str, remedy: str, **options: Any) -> GapkitError:
        with pytest.raises(GapkitError) as caught:
            load_target(path, ReadOptions(**options))
        error = caught.value
        assert got in error.got, error.got
        assert expected in error.expected, error.expected
        assert remedy in error.remedy, error.remedy
        assert "\n" not in str(error)
        return error

    return check


@pytest.fixture
def arrays() -> dict[str, Any]:
    """Twelve vectors of three classes, four each."""
    return {"x": np.random.default_rng(0).normal(size=(12, 5)), "y": np.arange(12) % 3}


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Writes arrays into an .npz file and returns its path."""

    def write(*, name: str = "data.npz", **arrays: Any) -> Path:
        np.savez(tmp_path / name, **arrays)
        return tmp_path / name

    return write
