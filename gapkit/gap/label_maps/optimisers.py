"""What label maps need of scipy.optimize, with types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from scipy.optimize import (  # pyright: ignore[reportMissingTypeStubs]
    brentq,  # pyright: ignore[reportUnknownVariableType]
    linear_sum_assignment,  # pyright: ignore[reportUnknownVariableType]
    minimize,  # pyright: ignore[reportUnknownVariableType]
)

from gapkit.arrays import Array, Floats, Indices


def assign(cost: Floats) -> Indices:
    """The injection (K_t,) of rows into columns of least total cost (K_t, K_s), exactly.

    Example:
        >>> assign(np.array([[1.0, 0.0, 2.0], [3.0, 0.5, 9.0]])).tolist()
        [0, 1]
    """
    columns = cast(Any, linear_sum_assignment(cost)[1])
    return np.asarray(columns, dtype=np.int64)


def minimise(
    objective: Callable[[Array], tuple[float, Array]], start: Array, *, gradient: float, relative: float, steps: int
) -> Array:
    """A minimiser of a smooth function by L-BFGS.

    Args:
        objective: point to value and gradient.
        start: (k,) where to begin.
        gradient: largest component of the gradient at which to stop.
        relative: relative change of the value at which to stop.
        steps: at most this many.

    Example:
        >>> def bowl(x):
        ...     return float(((x - 1) ** 2).sum()), 2 * (x - 1)
        >>> minimise(bowl, np.zeros(1), gradient=1e-9, relative=0.0, steps=9)
        array([1.])
    """
    options = {"maxiter": steps, "gtol": gradient, "ftol": relative}
    found = cast(Any, minimize(objective, start, jac=True, method="L-BFGS-B", options=options))
    return np.asarray(found.x, dtype=np.float64)


def find_root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a continuous function, of opposite signs at ``low`` and ``high``, is zero, by Brent's method.

    Example:
        >>> round(find_root(lambda x: x * x - 2, 0.0, 2.0), 9)
        1.414213562
    """
    return float(cast(Any, brentq(function, low, high, xtol=1e-12, maxiter=1000)))
