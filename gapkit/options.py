"""What options of every kind are checked for: names, choices and numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import cast

from gapkit.errors import OptionError, did_you_mean


def as_names(given: object, *, option: str) -> tuple[str, ...]:
    """Names, each once; one string is one name, not its letters.

    Raises:
        OptionError: neither a name nor names.

    Example:
        >>> as_names("kl", option="discrepancies"), as_names(["kl", "brier", "kl"], option="discrepancies")
        (('kl',), ('kl', 'brier'))
    """
    one = isinstance(given, str) or not isinstance(given, Iterable)
    several: list[object] = [given] if one else list(cast("Iterable[object]", given))
    names = [name for name in several if isinstance(name, str)]
    if len(names) < len(several):
        raise OptionError(
            f"{option} is {given!r}", expected="a name, or several", remedy=f"use {option}='NAME' or ('NAME', 'OTHER')"
        )
    return tuple(dict.fromkeys(names))


def check_choice(option: str, value: str, choices: Sequence[str]) -> None:
    """Refuse a value that is not among the choices.

    Raises:
        OptionError: names the choices, the nearest ones first.
    """
    if value not in choices:
        raise OptionError(
            f"{option} {value!r}", expected="one of " + ", ".join(choices), remedy=did_you_mean(value, choices)
        )


def check_least(option: str, value: object, least: int) -> None:
    """Refuse what is no whole number of at least ``least``.

    Raises:
        OptionError: names the number.

    Example:
        >>> check_least("folds", 5, 2)
    """
    remedy = f"use {option} {least} or more"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise OptionError(f"{option} {value!r}", expected=f"a whole number of at least {least}", remedy=remedy)
    if int(value) < least:
        raise OptionError(f"{option} {value}", expected=f"at least {least}", remedy=remedy)
