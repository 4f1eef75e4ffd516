"""Names from files as letters that a figure can show: short, on few lines, with no glyph that no font has."""

from __future__ import annotations

import textwrap
from functools import cache

from matplotlib import font_manager

BASE = "DejaVu Sans"
WIDE = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Zen Hei"),
    *("WenQuanYi Micro Hei", "PingFang SC", "Hiragino Sans", "Microsoft YaHei", "Arial Unicode MS", "Noto Sans"),
)
"""Fonts that hold what the base font, which comes with matplotlib, lacks; whichever is installed."""
UNKNOWN = "\ufffd"
ELLIPSIS = "\u2026"
NAMELESS = "(no name)"


def shorten(name: str, most: int = 20) -> str:
    """A name in one line of at most ``most`` characters; the end is kept too, for names often differ there.

    Example:
        >>> shorten("short"), len(shorten("a" * 80, 20))
        ('short', 20)
        >>> shorten("omniglot/Korean/character32", 16)
        'omniglo\u2026racter32'
    """
    line = legible(" ".join(name.split())) or NAMELESS
    if len(line) <= most:
        return line
    head = (most - 1) // 2
    return line[:head] + ELLIPSIS + line[len(line) - (most - 1 - head) :]


def wrapped(text: str, width: int, lines: int = 2) -> str:
    """Text on at most this many lines of this many characters; what does not fit ends in an ellipsis."""
    whole = textwrap.wrap(legible(" ".join(text.split())), width, break_on_hyphens=False) or [NAMELESS]
    if len(whole) <= lines:
        return "\n".join(whole)
    return "\n".join([*whole[: lines - 1], shorten_end(whole[lines - 1] + " " + whole[lines], width)])


def on_two_lines(name: str, width: int) -> str:
    """A name on up to two lines of this many characters, broken after a slash where that does.

    Example:
        >>> on_two_lines("omniglot/Korean/character32", 16).splitlines()
        ['omniglot/Korean/', 'character32']
    """
    head, slash, tail = name.rpartition("/")
    if len(name) > width and head and " " not in name:
        return f"{shorten(head + slash, width)}\n{shorten(tail, width)}"
    return wrapped(name, width)


def shorten_end(text: str, most: int) -> str:
    """Text cut at its end.

    Example:
        >>> shorten_end("undefined: too few samples", 12)
        'undefined: \u2026'
    """
    return text if len(text) <= most else text[: most - 1] + ELLIPSIS


def legible(text: str) -> str:
    """The text with what no font here has, control characters among it, replaced."""
    return "".join(letter if ord(letter) in _glyphs(BASE) or _is_wide(letter) else UNKNOWN for letter in text)


def families() -> list[str]:
    """Fonts in the order in which a letter is looked for."""
    return [BASE, *_installed()]


@cache
def _glyphs(family: str) -> frozenset[int]:
    """Code points that a font draws; the line break is matplotlib's own."""
    path = font_manager.findfont(family, fallback_to_default=False)
    drawn = {code for code in font_manager.get_font(path).get_charmap() if chr(code).isprintable()}
    return frozenset(drawn | {ord("\n")})


@cache
def _installed() -> tuple[str, ...]:
    """Which of the wide fonts there are."""
    names = set(font_manager.get_font_names())
    return tuple(name for name in WIDE if name in names)


@cache
def _is_wide(sign: str) -> bool:
    """Whether one of the wide fonts has this letter."""
    return any(ord(sign) in _glyphs(name) for name in _installed())
