"""What can go wrong for a user: one family of exceptions, each with got, expected and remedy.

The command line prints ``str(error)`` and exits with code 2. Anything else that is raised is a defect of gapkit.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class GapkitError(Exception):
    """A mistake that the user can mend.

    The message is one sentence: ``{got}; expected {expected}; {remedy}``.

    Attributes:
        got: what was found, beginning with the file, option or argument that it was found in.
        expected: what would have been right.
        remedy: what to do now.
    """

    def __init__(self, got: str, *, expected: str, remedy: str) -> None:
        """Compose the message; the three parts stay readable as attributes."""
        self.got, self.expected, self.remedy = got, expected, remedy
        super().__init__(f"{got}; expected {expected}; {remedy}")


class DataError(GapkitError):
    """A target file, folder or array that cannot be used."""


class SourceError(GapkitError):
    """A source model that is unknown, out of reach, corrupt or of another architecture."""


class OptionError(GapkitError):
    """Options that are out of range or contradict one another."""


class UndefinedError(GapkitError):
    """A measure that these data do not allow; a result then has the status "undefined" with the message as reason."""


class TrainingError(GapkitError):
    """A training that cannot go on; its last checkpoint is as good as it was."""


class StorageError(GapkitError):
    """A cache or run folder that cannot be read or written."""


def nearest(name: str, candidates: Iterable[str], *, count: int = 3) -> str:
    """The candidates spelled most like ``name``, quoted and joined; empty where none is near.

    Example:
        >>> nearest("resise", ["resize", "fold"])
        "'resize'"
    """
    known = {candidate.lower(): candidate for candidate in candidates}
    close = get_close_matches(name.lower(), known, n=count, cutoff=0.5)
    return ", ".join(repr(known[match]) for match in close)


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """A remedy that names the nearest candidates, or all of them where none is near.

    Example:
        >>> did_you_mean("resise", ["resize", "fold"])
        "did you mean 'resize'?"
    """
    names = list(candidates)
    close = nearest(name, names)
    if close:
        return f"did you mean {close}?"
    return "choose one of " + ", ".join(repr(candidate) for candidate in names)
