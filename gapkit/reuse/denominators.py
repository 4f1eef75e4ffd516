"""What stands below a fraction: whether it can, and dividing by it."""

from __future__ import annotations

import numpy as np

from gapkit.arrays import Floats
from gapkit.errors import UndefinedError

ERRORS = 2.0
"""A denominator has to be so many standard errors above 0."""


def no_denominator(value: float, error: float, what: str, *, remedy: str) -> UndefinedError | None:
    """Why a difference cannot be divided by; None where it can.

    Args:
        value: the difference.
        error: its standard error.
        what: its name.
        remedy: what helps.
    """
    if value > 0 and value >= ERRORS * error:
        return None
    return UndefinedError(
        f"{what} is {value:.4g} with a standard error of {error:.4g}",
        expected=f"at least {ERRORS:g} standard errors",
        remedy=remedy,
    )


def ratio(above: Floats, below: Floats) -> tuple[Floats, Floats]:
    """``above / below`` and ``1 / below``; 0 where the denominator is, which happens in resamples only."""
    value, per = (np.divide(one, below, out=np.zeros_like(below), where=below != 0) for one in (above, 1.0))
    return value, per
