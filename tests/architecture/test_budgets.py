"""Budgets of files, functions and names, counted from the syntax tree; ruff counts arguments and complexity."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = sorted(path for folder in ("gapkit", "examples", "tests") for path in (ROOT / folder).rglob("*.py"))
TARGET_LINES, MAX_LINES = 300, 400
MAX_BODY, MAX_ARGUMENTS, MAX_COMMAND_BODY = 40, 6, 15
DRAWERS = {"utils", "util", "common", "helpers", "helper", "misc"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST) -> Iterator[Function]:
    """Every function of a module, methods and nested ones included."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def body_lines(function: Function) -> int:
    """Lines from the first statement after the docstring to the last one."""
    body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def arguments(function: Function) -> int:
    """Arguments of all kinds, without self and cls."""
    given = function.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    return sum(argument is not None and argument.arg not in ("self", "cls") for argument in every)


def over_budget(path: Path, *, command: bool = False) -> list[str]:
    """What in a file is larger than it may be; a command may have any number of arguments and a body of 15."""
    text = path.read_text(encoding="utf-8")
    n_lines = text.count("\n")
    found = [f"{path.name}: {n_lines} lines, over {MAX_LINES}"] if n_lines > MAX_LINES else []
    for function in functions(ast.parse(text)):
        many = arguments(function) > MAX_ARGUMENTS
        allowed = MAX_COMMAND_BODY if many and command else MAX_BODY
        if body_lines(function) > allowed:
            found.append(f"{path.name}: {function.name} has {body_lines(function)} lines, over {allowed}")
        if many and not command:
            found.append(f"{path.name}: {function.name} has {arguments(function)} arguments, over {MAX_ARGUMENTS}")
    return found


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_and_functions_keep_their_budgets(path: Path) -> None:
    assert over_budget(path, command=path.parent == ROOT / "gapkit" / "cli") == []
    n_lines = path.read_text(encoding="utf-8").count("\n")
    if n_lines > TARGET_LINES:
        warnings.warn(f"{path.relative_to(ROOT)}: {n_lines} lines, over the target of {TARGET_LINES}", stacklevel=1)


def test_no_module_is_a_drawer() -> None:
    assert [path for path in CODE if path.stem in DRAWERS or path.parent.name in DRAWERS] == []


def test_there_is_code_to_count() -> None:
    assert ROOT / "gapkit" / "errors.py" in CODE
    assert Path(__file__) in CODE


def body_of(n: int) -> str:
    """A docstring and ``n`` lines."""
    return '    """Docstring\n\n    of three lines.\n    """\n' + "    x = 1\n" * n


@pytest.mark.parametrize(
    ("text", "command", "expected"),
    [
        ("def f():\n" + body_of(40), False, []),
        ("def f():\n" + body_of(41), False, ["a.py: f has 41 lines, over 40"]),
        (
            "class A:\n    async def f(self):\n        x = 1" + "\n" * 40 + "        y = 2\n",
            False,
            ["a.py: f has 41 lines, over 40"],
        ),
        ("def f(a, b, *c, d, e, **g):\n" + body_of(1), False, []),
        ("def f(a, b, /, *c, d, e, **g):\n" + body_of(1), False, []),
        ("def f(a, b, h, *c, d, e, **g):\n" + body_of(1), False, ["a.py: f has 7 arguments, over 6"]),
        ("def f(a, b, c, d, e, f, g):\n" + body_of(15), True, []),
        ("def f(a, b, c, d, e, f, g):\n" + body_of(16), True, ["a.py: f has 16 lines, over 15"]),
        ("def f(a):\n" + body_of(16), True, []),
        ("x = 1\n" * 400, False, []),
        ("x = 1\n" * 401, False, ["a.py: 401 lines, over 400"]),
    ],
)
def test_a_budget_that_is_exceeded_is_reported(tmp_path: Path, text: str, command: bool, expected: list[str]) -> None:
    path = tmp_path / "a.py"
    path.write_text(text, encoding="utf-8")
    assert over_budget(path, command=command) == expected
