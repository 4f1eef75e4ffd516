"""What the tests of callbacks and metrics share."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest

from gapkit.arrays import seeded_torch


@pytest.fixture(autouse=True)
def _generators_given_back(_global_generators_untouched: None) -> Iterator[None]:
    """Trainers seed the global generators of torch, numpy and Python; afterwards they are as before."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with seeded_torch(0):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
