"""What a module of gapkit may do when it is imported and what no file may hold."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "gapkit").rglob("*.py"))
TEXTS = sorted(
    path
    for pattern in (
        "gapkit/**/*",
        "tests/**/*",
        "examples/**/*",
        "notebooks/**/*",
        ".ci/*",
        "*.toml",
        "*.md",
        ".*.yaml",
    )
    for path in ROOT.glob(pattern)
    if path.suffix in {"", ".py", ".md", ".toml", ".yaml", ".html", ".json", ".ipynb"} and path.is_file()
)
COMMANDS = ROOT / "gapkit" / "cli" / "app.py"  # typer has no other way to be given commands than to be called

DEFINITION = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Import, ast.ImportFrom, ast.Pass)
CHEAP_CALLS = {
    *("frozenset", "set", "dict", "tuple", "range", "float", "int", "len", "sorted", "max", "min"),
    *(
        "join",
        "field",
        "re.compile",
        "logging.getLogger",
        "version",
        "np.dtype",
        "np.log",
        "np.sqrt",
        "math.log",
        "math.sqrt",
    ),
}
UNSAFE = {("allow_pickle", True), ("trust_remote_code", True), ("weights_only", False)}
RUN_AS_SCRIPT = "__name__ == '__main__'"
CHOICES = ("TYPE_CHECKING", "sys.platform ", "sys.version_info ")

PLACE = re.compile(r"(?<![\w.~})/:-])/(?:home|root|work|opt|Users|mnt|media|srv)/\w|\b[A-Z]:\\\\?Users\b")
REGISTRY = re.compile(
    r"(?:https?|file)://(?:[\w.-]*pypi\.|files\.pythonhosted|download\.pytorch|[\w.]*anaconda|registry\.npmjs|/)"
)


def import_work(statements: list[ast.stmt]) -> list[str]:
    """Statements at the top of a module, or of a class in it, that are no import, definition or constant."""
    found: list[str] = []
    for node in statements:
        if isinstance(node, ast.ClassDef):
            found += import_work(node.body)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == RUN_AS_SCRIPT:
            continue
        elif isinstance(node, ast.If) and f"{ast.unparse(node.test)} ".startswith(CHOICES):
            found += import_work([*node.body, *node.orelse])
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            found += [] if node.value is None else _costly_calls(node.value)
        elif not isinstance(node, DEFINITION) and not _is_text(node):
            found.append(ast.unparse(node).splitlines()[0])
    return found


def _is_text(node: ast.stmt) -> bool:
    """Whether a statement is a docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _costly_calls(value: ast.expr) -> list[str]:
    """Calls in a constant that are neither constructors (a capital letter) nor known to be cheap."""
    inside_lambda = {id(node) for lam in ast.walk(value) if isinstance(lam, ast.Lambda) for node in ast.walk(lam.body)}
    calls = [node for node in ast.walk(value) if isinstance(node, ast.Call) and id(node) not in inside_lambda]
    names = [ast.unparse(call.func) for call in calls]
    costly = [name for name in names if not {name, name.split(".")[-1]} & CHEAP_CALLS]
    return [f"{name}(...)" for name in costly if not name.split(".")[-1][:1].isupper()]


def unsafe_loading(tree: ast.AST) -> list[str]:
    """Calls that let a file run code: a keyword that allows it, or torch.load left to its default."""
    found: list[str] = []
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        words = {word.arg: word.value.value for word in call.keywords if isinstance(word.value, ast.Constant)}
        found += [f"{name}={value}" for name, value in words.items() if (name, value) in UNSAFE]
        if ast.unparse(call.func) == "torch.load" and "weights_only" not in words:
            found.append("torch.load without weights_only=True")
    return found


def places(text: str) -> list[str]:
    """Absolute paths of one machine and addresses of package registries."""
    return [match.group() for pattern in (PLACE, REGISTRY) for match in pattern.finditer(text)]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_only_defines_and_loads_nothing_that_runs(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert path == COMMANDS or import_work(tree.body) == []
    assert unsafe_loading(tree) == []


def test_no_file_names_a_machine_or_a_registry() -> None:
    assert {ROOT / "pyproject.toml", ROOT / ".ci" / "run", Path(__file__)} <= set(TEXTS)
    found = {path.name: places(path.read_text(encoding="utf-8")) for path in TEXTS if path != Path(__file__)}
    assert {name: hits for name, hits in found.items() if hits} == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '"""Doc."""\nimport os\nX: int = 3\nA = Float["n d"]\nB = frozenset({1})\nC = Options(a=re.compile("x"))\n',
            [],
        ),
        ("if TYPE_CHECKING:\n    import torch\nif __name__ == '__main__':\n    main()\n", []),
        ("f = lambda: load()\ndef g():\n    load()\n", []),
        ("print(1)\n", ["print(1)"]),
        ("TABLE = np.load('x')\n", ["np.load(...)"]),
        ("TABLE = {k: open(k) for k in 'ab'}\n", ["open(...)"]),
        ("for a in b:\n    c\n", ["for a in b:"]),
        ("class A:\n    x = load()\n    print(1)\n", ["load(...)", "print(1)"]),
        ("if sys.platform == 'win32':\n    import msvcrt\nelse:\n    load()\n", ["load()"]),
        ("if DEBUG:\n    x = 1\n", ["if DEBUG:"]),
        ("try:\n    import a\nexcept ImportError:\n    a = None\n", ["try:"]),
    ],
)
def test_import_work_is_reported(text: str, expected: list[str]) -> None:
    assert import_work(ast.parse(text).body) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("np.load(p, allow_pickle=True)", ["allow_pickle=True"]),
        ("torch.load(p, weights_only=False)", ["weights_only=False"]),
        ("model(trust_remote_code=True)", ["trust_remote_code=True"]),
        ("torch.load(p)", ["torch.load without weights_only=True"]),
        ("np.load(p, allow_pickle=False); torch.load(p, weights_only=True)", []),
    ],
)
def test_unsafe_loading_is_reported(text: str, expected: list[str]) -> None:
    assert unsafe_loading(ast.parse(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        'open("/home/me/x.npz")',
        "data = /root/x",
        r"C:\Users\me",
        "--index-url https://pypi.org/simple",
        "file:///wheels",
        "https://download.pytorch.org/whl/cpu",
    ],
)
def test_a_machine_or_a_registry_is_reported(text: str) -> None:
    assert places(text)


@pytest.mark.parametrize(
    "text", ["https://arxiv.org/abs/2406.18864", "~/work/x", "../opt/x", "a/home/b", "file:CHECKPOINT", "$HOME/work/x"]
)
def test_other_addresses_are_left_alone(text: str) -> None:
    assert places(text) == []
