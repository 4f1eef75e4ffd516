"""What the Python functions are handed: a source, a target and options, not their names or files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gapkit.errors import OptionError
from gapkit.types import Target

if TYPE_CHECKING:
    from gapkit.pipeline.options import RunOptions


def check_source(given: object) -> None:
    """Refuse what is no source.

    Raises:
        OptionError: says how to get one.
    """
    # Imported here: whoever has a source has torch already, and a name should not have to wait for it.
    if not isinstance(given, str | Target | type(None)):
        from gapkit.sources.source import Source

        if isinstance(given, Source):
            return
    remedy = "load one by gapkit.load_source(name), or wrap a module by gapkit.Source.from_module(module, input=...)"
    if isinstance(given, str):
        remedy = f"load it first: gapkit.load_source({given!r})"
    elif isinstance(given, Target):
        remedy = "give the source first and the target second"
    raise OptionError(f"source is {told(given)}", expected="a gapkit.Source", remedy=remedy)


def check_target(given: object, name: str = "target") -> None:
    """Refuse what is no target.

    Args:
        given: the target, or the surrogate.
        name: which of the two.

    Raises:
        OptionError: says how to get one.
    """
    if isinstance(given, Target):
        return
    remedy = "make one by gapkit.Target(x, y)"
    if isinstance(given, str | Path):
        remedy = f"load it first: gapkit.load_target({str(given)!r})"
    raise OptionError(f"{name} is {told(given)}", expected="a gapkit.Target", remedy=remedy)


def check_surrogate(given: object) -> None:
    """Refuse what is no labelled set; None stands for the source's own.

    Raises:
        OptionError: says how to get one.
    """
    if given is not None:
        check_target(given, "surrogate")


def check_embedder(given: object) -> None:
    """Refuse names: a fitted embedder is an object, a name is an option.

    Raises:
        OptionError: says where the name goes.
    """
    if isinstance(given, str):
        raise OptionError(
            f"embedder is the text {given!r}",
            expected="a fitted embedder, such as that of a learned alignment",
            remedy=f"give the name of a fixed one, or its file, as an option: MeasureOptions(embedder={given!r})",
        )


def check_options(given: object, kind: type[RunOptions]) -> None:
    """Refuse the options of something else.

    Raises:
        OptionError: names the right ones.
    """
    if given is not None and not isinstance(given, kind):
        raise OptionError(
            f"options is {told(given)}",
            expected=f"gapkit.{kind.__name__}",
            remedy=f"give options=gapkit.{kind.__name__}(...)",
        )


def told(given: object) -> str:
    """What something is, in a message.

    Example:
        >>> told("vit"), told(3), told(None)
        ("the text 'vit'", 'a value of type int', 'None')
    """
    if given is None:
        return "None"
    if isinstance(given, str | Path):
        return f"the text {str(given)!r}"
    return f"a value of type {type(given).__name__}"
