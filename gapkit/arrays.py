"""Array aliases, checks and seeded generators.

The aliases carry shapes that beartype checks under ``pytest --check-shapes``: n samples, d features, s source
classes (K_s), t target classes (K_t), r resamples.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, Shaped

from gapkit.errors import DataError
from gapkit.options import check_least

# Spelled out, because numpy.typing.NDArray is no class from numpy 2.5 on, and jaxtyping needs one.
AnyShape = tuple[Any, ...]

Array = np.ndarray[AnyShape, np.dtype[Any]]
"""Any array."""
Floats = Float64[np.ndarray[AnyShape, np.dtype[np.float64]], "..."]
"""Float64 of any shape."""
Samples = Shaped[np.ndarray[AnyShape, np.dtype[Any]], "n ..."]
"""Target inputs, first axis the samples."""
Features = Float64[np.ndarray[AnyShape, np.dtype[np.float64]], "n d"]
"""Float64 features."""
StoredFeatures = Float32[np.ndarray[AnyShape, np.dtype[np.float32]], "n d"]
"""Features as they are stored: float32, possibly a memory map."""
Probabilities = Float64[np.ndarray[AnyShape, np.dtype[np.float64]], "n s"]
"""Source conditional p: rows sum to 1."""
LogProbabilities = Float64[np.ndarray[AnyShape, np.dtype[np.float64]], "n s"]
"""log p, from a float64 log-softmax."""
TargetProbabilities = Float64[np.ndarray[AnyShape, np.dtype[np.float64]], "n t"]
"""Mapped conditional q: rows sum to 1."""
Labels = Int64[np.ndarray[AnyShape, np.dtype[np.int64]], " n"]
"""Class codes 0 .. K-1."""
PerSample = Float64[np.ndarray[AnyShape, np.dtype[np.float64]], " n"]
"""One number for each sample, such as a loss."""
PerScored = Float64[np.ndarray[AnyShape, np.dtype[np.float64]], " scored"]
"""One number for each sample that is scored, or chosen otherwise."""
Indices = Int64[np.ndarray[AnyShape, np.dtype[np.int64]], " k"]
"""Positions in the sample axis."""
Rows = Int64[np.ndarray[AnyShape, np.dtype[np.int64]], " _"]
"""Positions in the sample axis, where several such arrays of other lengths stand in one place."""
Mask = Bool[np.ndarray[AnyShape, np.dtype[np.bool_]], " n"]
"""A choice of samples."""


def generator(seed: int, *stream: int) -> np.random.Generator:
    """A generator for ``seed`` and a stream within it; streams are independent of each other.

    Raises:
        OptionError: a seed that is negative or no whole number.

    Example:
        >>> float(generator(0).random()) == float(generator(0).random())
        True
        >>> float(generator(0, 1).random()) == float(generator(0, 2).random())
        False
    """
    check_least("seed", seed, 0)
    return np.random.default_rng(np.random.SeedSequence(int(seed), spawn_key=stream))


@contextmanager
def seeded_torch(seed: int) -> Generator[None]:
    """Seed torch's global generators inside the block and restore them after it.

    Raises:
        OptionError: a seed that is negative or no whole number.
    """
    import torch

    check_least("seed", seed, 0)

    with torch.random.fork_rng():  # pyright: ignore[reportUnknownMemberType]
        torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType]
        yield


def digest(*parts: Array | str | bytes) -> str:
    """SHA-256 (hexadecimal) over arrays with dtype and shape, strings and bytes, in order.

    Arrays are read in blocks, so that a memory map does not have to fit into memory.
    """
    state = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            state.update(f"{part.dtype.str}{part.shape}".encode())
            for block in blocks(part):
                state.update(np.ascontiguousarray(block).data.cast("B") if block.size else b"")
        else:
            state.update(part.encode() if isinstance(part, str) else part)
        state.update(b"\0")
    return state.hexdigest()


def fingerprints(samples: Samples) -> list[str]:
    """One short hash (16 hexadecimal digits of SHA-256) for the bytes of each sample, whatever its shape.

    Example:
        >>> a, b, c = fingerprints(np.array([[1, 2], [1, 2], [2, 1]], dtype=np.uint8))
        >>> a == b, a == c
        (True, False)
    """
    return [hashlib.sha256(np.ascontiguousarray(sample).tobytes()).hexdigest()[:16] for sample in samples]


def blocks(array: Array, *, nbytes: int = 1 << 24) -> Iterator[Array]:
    """Consecutive pieces of ``array`` along the first axis, each of about ``nbytes``."""
    if array.ndim == 0:
        yield array.reshape(1)
        return
    for place in spans(len(array), array.nbytes // max(1, len(array)), nbytes):
        yield array[place]


def spans(n: int, row: int, nbytes: int, *, first: int = 0) -> Iterator[slice]:
    """Consecutive places among n rows of ``row`` bytes each, from the row ``first`` on, each of about ``nbytes``.

    Example:
        >>> [(place.start, place.stop) for place in spans(5, 8, 16)]
        [(0, 2), (2, 4), (4, 5)]
    """
    step = max(1, nbytes // max(1, row))
    for start in range(first, first + n, step):
        yield slice(start, min(start + step, first + n))


def log_softmax(logits: Array) -> LogProbabilities:
    """Logits (n, K) of any float dtype to float64 log-probabilities, computed in float64.

    Example:
        >>> log_softmax(np.zeros((1, 4))).round(3).tolist()
        [[-1.386, -1.386, -1.386, -1.386]]
    """
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


def check_samples(x: Array, *, name: str) -> None:
    """Refuse inputs that no embedder can use.

    Raises:
        DataError: no samples, neither numbers nor strings, NaN or infinite values, or x constant as a whole.
    """
    if x.ndim == 0 or len(x) == 0 or x.size == 0:
        raise DataError(f"{name} has shape {x.shape}", expected="at least one sample", remedy="check how it was saved")
    if x.dtype.kind not in "biufU":
        what = "complex numbers" if x.dtype.kind == "c" else f"dtype {x.dtype}"
        raise DataError(
            f"{name} has {what}",
            expected="real numbers or strings",
            remedy="save real and imaginary part as two channels" if x.dtype.kind == "c" else "convert it first",
        )
    if x.dtype.kind == "U":
        return
    if x.dtype.kind == "f":
        _check_finite(x, name)
    if x.min() == x.max() and len(x) > 1:
        raise DataError(
            f"{name} is {x.flat[0]} everywhere",
            expected="samples that differ",
            remedy="check how it was saved",
        )


def _check_finite(x: Array, name: str) -> None:
    """Count NaN and infinite values, in blocks for the sake of memory maps, and say where the first one is."""
    bad = np.concatenate([(~np.isfinite(block)).reshape(len(block), -1).sum(axis=1) for block in blocks(x)])
    samples = np.flatnonzero(bad)
    if not len(samples):
        return
    n_nan = sum(int(np.isnan(block).sum()) for block in blocks(x))
    raise DataError(
        f"{name} has {n_nan} NaN and {int(bad.sum()) - n_nan} infinite values in {len(samples)} samples, "
        f"the first at sample {samples[0]}",
        expected="finite numbers",
        remedy="drop these samples or fill the values in",
    )


def check_lengths(n: int, lengths: Mapping[str, int], *, name: str) -> None:
    """Refuse arrays that do not have one row for each of the n samples.

    Raises:
        DataError: names the array, its length and n.
    """
    for key, length in lengths.items():
        if length != n:
            what = "labels" if key == "y" else "entries"
            raise DataError(
                f"{name}: {key} has {length} {what} but x has {n} samples",
                expected="one for each sample",
                remedy=f"save x and {key} with the same first axis",
            )
