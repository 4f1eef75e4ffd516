"""The header of an .npy array, read and judged before memory is taken for the array."""

from __future__ import annotations

import lzma
import math
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.lib import format as npy_format

from gapkit.arrays import Array
from gapkit.data.memory import check_memory
from gapkit.data.text import reason
from gapkit.errors import DataError

HEADER_LIMIT = 10_000  # characters; numpy's own bound for files that are not trusted
LAST_CODE_POINT, SURROGATES = 0x10FFFF, (0xD800, 0xDFFF)
# what zipfile, zlib and numpy raise on damaged bytes; RuntimeError covers encryption, unknown compression and recursion
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    tokenize.TokenError,
    EOFError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    OverflowError,
    MemoryError,
    RuntimeError,
)


@runtime_checkable
class Stream(Protocol):
    """What a header is read from: an open file, or a member of an archive."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes."""
        ...

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a position."""
        ...

    def tell(self) -> int:
        """The position."""
        ...


@dataclass(frozen=True, kw_only=True)
class Header:
    """What an .npy header declares.

    Attributes:
        shape: of the array.
        dtype: of the array.
        start: bytes before the first value.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    start: int

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return math.prod(self.shape) * self.dtype.itemsize


@contextmanager
def damage_told(where: str) -> Iterator[None]:
    """Turn what damaged bytes raise into a ``DataError`` that names the file or key.

    Raises:
        DataError: the bytes cannot be read.
    """
    try:
        with warnings.catch_warnings():
            # hostile headers make numpy and ast warn before they fail
            warnings.simplefilter("ignore")
            yield
    except PermissionError:
        raise
    except (*DAMAGE, OSError) as error:
        raise DataError(
            f"{where} is damaged ({reason(error)})",
            expected="an array as numpy.savez or numpy.save writes it",
            remedy="copy or download the file again, or save it again",
        ) from error


def read_header(stream: Stream, *, where: str) -> Header:
    """Read the header at the beginning of ``stream`` and refuse what can never be a target.

    Raises:
        DataError: pickled objects, structured or empty dtypes, a shape that cannot be.
        ValueError: the bytes are no header (see ``damage_told``).
    """
    version = npy_format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        # 3.0 is written for structured arrays with non-latin field names only
        raise ValueError(f"array format {version[0]}.{version[1]}")
    read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
    shape, _, dtype = read(stream, max_header_size=HEADER_LIMIT)
    header = Header(shape=shape, dtype=dtype, start=stream.tell())
    if dtype.hasobject:
        raise DataError(
            f"{where} holds pickled Python objects",
            expected="numbers or strings; gapkit never unpickles, because a pickle can run any code",
            remedy="save it with a plain dtype, for example np.savez(file, x=np.stack(list_of_arrays), y=labels)",
        )
    if dtype.kind == "V" or dtype.itemsize == 0 or any(size < 0 for size in shape):
        raise DataError(
            f"{where} declares dtype {dtype} and shape {shape}",
            expected="an array of numbers or strings",
            remedy="save each field as an array of its own",
        )
    return header


def read_values(stream: Stream, *, where: str, size: int) -> Array:
    """Read one array, having compared its header with the memory and with the bytes there are.

    Args:
        stream: at the beginning of the header; seekable.
        where: file and key for messages.
        size: bytes from the beginning of the header to the end of the values.

    Raises:
        DataError: more than the memory there is, more or fewer bytes than declared, or see ``read_header``.
    """
    header = read_header(stream, where=where)
    check_memory(header.nbytes, where=f"{where} declares shape {header.shape} and dtype {header.dtype}, which")
    check_size(header, size, where=where)
    stream.seek(0)
    return plain(npy_format.read_array(stream, allow_pickle=False), where=where)


def check_size(header: Header, size: int, *, where: str) -> None:
    """Refuse an array whose bytes are more or fewer than its header declares.

    Raises:
        DataError: names both numbers.
    """
    if header.start + header.nbytes != size:
        raise DataError(
            f"{where} declares {header.nbytes:,} bytes and holds {max(0, size - header.start):,}",
            expected="as many as its header declares",
            remedy="the file is truncated or altered: copy or download it again",
        )


def plain(array: Array, *, where: str) -> Array:
    """The array in native byte order, bytes decoded to strings, long double to double.

    Raises:
        DataError: strings that are not Unicode.
    """
    if array.dtype.kind == "S":
        try:
            return np.char.decode(array, "utf-8")
        except UnicodeDecodeError as error:
            raise _not_unicode(where) from error
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        with np.errstate(over="ignore"):
            return array.astype(np.float64)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype.kind == "U" and array.size:
        codes = np.ascontiguousarray(array).reshape(-1).view(np.uint32)
        surrogate = (codes >= SURROGATES[0]) & (codes <= SURROGATES[1])
        if codes.max() > LAST_CODE_POINT or surrogate.any():
            raise _not_unicode(where)
    return array


def _not_unicode(where: str) -> DataError:
    """The error for bytes that are no text."""
    return DataError(
        f"{where} holds strings that are not Unicode",
        expected="UTF-8 bytes or numpy strings",
        remedy="decode the text before saving it",
    )
