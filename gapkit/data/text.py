"""Text files: lines in UTF-8, or an error that says where they are not."""

from __future__ import annotations

from pathlib import Path

from gapkit.errors import DataError

LONGEST_REASON = 160  # characters
SEPARATORS = (",", ";", "\t")


def read_text(path: Path) -> str:
    """The whole file as text; a byte-order mark is dropped.

    Raises:
        DataError: not UTF-8, or empty.
    """
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path.name} is not UTF-8: byte 0x{content[error.start]:02x} in line {line}",
            expected="text in UTF-8",
            remedy=f"convert it, for example with iconv -f latin1 -t utf-8 {path.name}",
        ) from error
    if not text.strip():
        raise DataError(
            f"{path.name} is empty",
            expected="a line of column names, then one line per sample",
            remedy="check how it was saved",
        )
    return text


def read_lines(path: Path) -> list[str]:
    """The lines of a file, blanks at both ends of a line and empty lines dropped."""
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]


def reason(error: BaseException) -> str:
    """The first line of what an exception of a library says, or its kind where it says nothing.

    Example:
        >>> reason(EOFError()), reason(ValueError("no table"))
        ('EOFError', 'no table')
    """
    lines = str(error).strip().splitlines()
    return lines[0][:LONGEST_REASON] if lines else type(error).__name__


def separator(text: str) -> str:
    """What separates the columns: the one of ``SEPARATORS`` that the first line has most of.

    Example:
        >>> separator("a;b,c;d")
        ';'
    """
    first = text.lstrip().split("\n", 1)[0]
    return max(SEPARATORS, key=first.count)
