"""What options of every kind are checked for: names, choices and numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import TypeVar, cast

from gapkit.errors import OptionError, did_you_mean

Options = TypeVar("Options")


def given_or_default(given: Options | None, kind: type[Options]) -> Options:
    """The options that were given, or the defaults of their kind.

    Raises:
        OptionError: something else was given, such as a dictionary.

    Example:
        >>> given_or_default(None, int), given_or_default(3, int)
        (0, 3)
    """
    if given is None:
        return kind()
    if not isinstance(given, kind):
        raise OptionError(
            f"options is a value of type {type(given).__name__}",
            expected=f"{kind.__name__}, or None for its defaults",
            remedy=f"write options={kind.__name__}(name=value)",
        )
    return given


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


def check_choice(option: str, value: object, choices: Sequence[str]) -> None:
    """Refuse a value that is not among the choices.

    Raises:
        OptionError: names the choices, the nearest ones first.
    """
    if value not in choices:
        raise OptionError(
            f"{option} {value!r}", expected="one of " + ", ".join(choices), remedy=did_you_mean(str(value), choices)
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


def check_number(option: str, value: object, *, least: float | None = None) -> None:
    """Refuse what is no finite number above 0, or of at least ``least``.

    Raises:
        OptionError: names the option.

    Example:
        >>> check_number("epsilon", 1e-4)
        >>> check_number("strength", 0, least=0)
    """
    number = math.nan if isinstance(value, bool) or not isinstance(value, Real) else float(value)
    if not (math.isfinite(number) and (number > 0 if least is None else number >= least)):
        raise OptionError(
            f"{option} {value!r}",
            expected="a positive finite number" if least is None else f"a finite number, {least:g} or more",
            remedy=f"give {option} another value",
        )
