"""Which key or column is which: inputs, labels and groups are found by their usual names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gapkit.errors import DataError, OptionError, did_you_mean

LABEL_NAMES = ("label", "y", "target", "class")
GROUP_NAMES = ("group", "subject", "patient", "speaker", "session")
SHOWN = 20


def listing(names: Iterable[object], *, limit: int = SHOWN) -> str:
    """Names with commas between, cut after ``limit``.

    Example:
        >>> listing("abc", limit=2)
        'a, b and 1 more'
    """
    shown = [str(name) for name in names]
    rest = len(shown) - limit
    return ", ".join(shown[:limit]) + (f" and {rest} more" if rest > 0 else "")


def is_group_name(name: str) -> bool:
    """Whether a column is called like a group, in singular, plural or with "_id" at its end.

    Example:
        >>> is_group_name("Subject"), is_group_name("patient_id"), is_group_name("age")
        (True, True, False)
    """
    return name.lower().removesuffix("_id").removesuffix("s") in GROUP_NAMES


def choose_group(names: Sequence[str], asked: str | None, *, where: str, taken: Iterable[str] = ()) -> str | None:
    """The name of the groups: the one asked for, else the first of ``GROUP_NAMES`` that there is.

    Args:
        names: keys or columns there are.
        asked: name by the user, "none" for no groups, None for a search.
        where: file for messages.
        taken: names that are something else already.

    Raises:
        OptionError: there is no such name.
    """
    if asked == "none":
        return None
    if asked is not None:
        require(asked, names, what="group", where=where)
        return asked
    free = [name for name in names if name not in set(taken) and is_group_name(name)]
    # the singular first: next to `subject`, `subjects` is likely a list of their names
    free.sort(key=lambda name: (_rank(name), len(name)))
    return free[0] if free else None


def _rank(name: str) -> int:
    """Position in ``GROUP_NAMES``."""
    return GROUP_NAMES.index(name.lower().removesuffix("_id").removesuffix("s"))


def require(name: str, names: Sequence[str], *, what: str, where: str) -> None:
    """Refuse a name that the file does not have.

    Raises:
        OptionError: names what there is and what is nearest.
    """
    if name not in names:
        raise OptionError(
            f"{where} has no {what} {name!r}",
            expected=f"one of {listing(names)}",
            remedy=did_you_mean(name, list(names)[:SHOWN]),
        )


def choose_label(names: Sequence[str], asked: str | None, *, where: str) -> str:
    """The column of labels: the one asked for, else the only one that has a usual name.

    Raises:
        OptionError: there is no column of that name.
        DataError: no column, or more than one, has a usual name.
    """
    if asked is not None:
        require(asked, names, what="label column", where=where)
        return asked
    found = [name for name in names if name.lower() in LABEL_NAMES]
    if len(found) == 1:
        return found[0]
    got = f"has several columns that may be labels: {listing(found)}" if found else "has no column of labels"
    raise DataError(
        f"{where} {got}; its columns are {listing(names)}",
        expected=f"one column called {', '.join(LABEL_NAMES)}",
        remedy="rename it, or name it with --labels COLUMN (labels='COLUMN')",
    )
