"""What users hold as arrays, as plain numpy arrays: one place for all functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, cast

import numpy as np

from gapkit.arrays import Array, Floats
from gapkit.errors import DataError

MISSING = ("NAType", "NaTType")
"""Types of what pandas has in the place of a missing value."""


def as_array(given: object, name: str) -> Array:
    """A numpy array of an array, a tensor on any device, a column of a table, or rows in lists.

    Tensors are detached; bfloat16, which numpy does not have, becomes float64; objects that are all numbers, all
    booleans or all strings become an array of those. An array comes back as it is.

    Args:
        given: what is read.
        name: what it is called in messages.

    Raises:
        DataError: masked entries, a sparse matrix, rows of different lengths, or no array at all.

    Example:
        >>> as_array([[1, 2], [3, 4]], "x").shape, as_array(np.array(["b", "a"], dtype=object), "y").dtype.kind
        ((2, 2), 'U')
    """
    if given is None:
        raise DataError(f"{name} is None", expected="an array", remedy="give one row for each sample")
    if isinstance(given, np.ma.MaskedArray):
        return _unmasked(cast("np.ma.MaskedArray[Any, Any]", given), name)
    if hasattr(given, "toarray"):
        raise DataError(
            f"{name} is a sparse {type(given).__name__}", expected="a dense array", remedy=f"pass {name}.toarray()"
        )
    try:
        found = _read(given)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{name} cannot be read as an array ({reason})",
            expected="an array, a tensor, or rows of one length",
            remedy="convert it to a numpy array first",
        ) from error
    return _of_one_type(found) if found.dtype.kind in "OV" else found


def as_floats(given: object, name: str) -> Floats:
    """Real numbers of any type as float64.

    Raises:
        DataError: what ``as_array`` refuses, or no real numbers.
    """
    found = as_array(given, name)
    if found.dtype.kind not in "biuf":
        raise DataError(f"{name} has dtype {found.dtype}", expected="real numbers", remedy="convert it first")
    return found.astype(np.float64, copy=False)


def check_present(found: Array, name: str, *, what: str = "label") -> None:
    """Refuse labels, or groups, of which some are missing.

    Raises:
        DataError: how many are NaN, infinite or missing, and the first of them.

    Example:
        >>> check_present(np.array([0, 1]), "labels")
    """
    if found.dtype.kind == "f":
        bad: Array = ~np.isfinite(found)
        how = "NaN or infinite"
    elif found.dtype.kind == "O":
        values: list[object] = found.ravel().tolist()
        bad = np.array([_is_missing(value) for value in values], dtype=bool).reshape(found.shape)
        how = "missing (None or NaN)"
    else:
        return
    if bad.any():
        rows = np.flatnonzero(bad.reshape(bad.shape[0] if bad.ndim else 1, -1).any(axis=1))
        raise DataError(
            f"{name} has {len(rows)} {what}s that are {how}, the first at sample {rows[0]}",
            expected=f"a finite {what} for every sample",
            remedy=f"drop these samples or give them a {'class' if what == 'label' else what} of their own",
        )


def _is_missing(value: object) -> bool:
    """Whether something stands for no value."""
    return value is None or type(value).__name__ in MISSING or (isinstance(value, Real) and value != value)


def _unmasked(given: np.ma.MaskedArray[Any, Any], name: str) -> Array:
    """The data of a masked array that masks nothing."""
    masked = int(np.ma.getmaskarray(given).sum())
    if masked:
        raise DataError(
            f"{name} has {masked} masked entries of {given.size}",
            expected="an array without masked entries",
            remedy=f"drop these samples, or fill them in by {name}.filled(...)",
        )
    return np.asarray(given.data)


def _read(given: object) -> Array:
    """Whatever numpy reads, tensors by way of the CPU."""
    if isinstance(given, list | tuple):
        rows = cast("Sequence[object]", given)
        return np.asarray([_read(row) for row in rows] if rows and _is_tensor(rows[0]) else rows)
    if not _is_tensor(given):
        return np.asarray(given)
    held: Any = cast("Any", given).detach().cpu()
    try:
        return np.asarray(held)
    except TypeError:
        return np.asarray(held.double())


def _is_tensor(given: object) -> bool:
    """Whether it is a tensor of torch, which need not be imported to know."""
    return hasattr(given, "detach") and hasattr(given, "cpu")


def _of_one_type(found: Array) -> Array:
    """Objects, and numbers of types that numpy does not have, as what all of them are; else as they came."""
    if found.dtype.kind == "V":
        return _as_type(found, np.float64) if found.dtype.names is None else found
    values: list[object] = found.ravel().tolist()
    kinds: tuple[tuple[Callable[[object], bool], type[np.generic]], ...] = (
        (lambda value: isinstance(value, str), np.str_),
        (lambda value: isinstance(value, bool | np.bool_), np.bool_),
        (lambda value: isinstance(value, Integral), np.int64),
        (lambda value: isinstance(value, Real), np.float64),
    )
    for fits, kind in kinds:
        if values and all(fits(value) for value in values):
            return _as_type(found, kind)
    return found


def _as_type(found: Array, kind: type[np.generic]) -> Array:
    """Another type, where all values fit into it."""
    try:
        return found.astype(np.dtype(kind))
    except (TypeError, ValueError, OverflowError):
        return found
