"""The README's commands print what the README shows, and its Python runs."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

from gapkit.arrays import seeded_torch

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"\d+\.\d+|\d+")
TOLERANCE, SHARE = 0.03, 0.25
"""Another processor rounds differently: a few samples are in other folds then, and a label map near a tie is another.
Between AVX2 and AVX-512 the partition under zero-one moves by up to a fifth, everything else by less than 0.03."""


@pytest.fixture
def refresh(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script that fills the README in."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import refresh_readme

    return refresh_readme


def test_every_output_block_is_filled_and_needs_no_other_file_than_data(refresh: ModuleType) -> None:
    blocks = list(refresh.BLOCK.finditer(README))
    assert len(blocks) == README.count("<!-- output of:") == 8
    assert all(match["shown"].strip() for match in blocks)


def test_outputs_on_bundled_samples_are_what_is_printed_now(refresh: ModuleType) -> None:
    blocks = [match for match in refresh.BLOCK.finditer(README) if "DATA" not in match["command"]]
    assert len(blocks) == 5
    for match in blocks:
        now = refresh.block(refresh.printed(match["command"], ""))
        assert NUMBER.sub("#", now).split() == NUMBER.sub("#", match["shown"]).split()
        shown = [float(number) for number in NUMBER.findall(match["shown"])]
        assert [float(number) for number in NUMBER.findall(now)] == pytest.approx(shown, abs=TOLERANCE, rel=SHARE)


def test_figures_are_what_their_commands_draw_now(refresh: ModuleType) -> None:
    figures = list(refresh.FIGURE.finditer(README))
    assert len(figures) == README.count("<!-- figure of:") == 2
    for figure in figures:
        shown = (ROOT / figure["picture"]).read_bytes()
        now = refresh.drawn(figure["command"], figure["file"])
        # The same marks; where they are may differ by rounding on another processor, and which letters are drawn.
        assert marks(now) == marks(shown)
        assert shown.startswith(b"<?xml")


def marks(figure: bytes) -> list[str]:
    """The elements of an SVG but for its letters and its ticks, whose number follows from the range of the values."""
    found: list[str] = []

    def visit(element: ElementTree.Element) -> None:
        name = element.tag.rpartition("}")[2]
        if name in ("defs", "use") or re.match("[xy]tick_", element.get("id", "")):
            return
        found.append(name)
        for inner in element:
            visit(inner)

    visit(ElementTree.fromstring(figure))  # noqa: S314 - figures of the project itself
    return found


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_python_blocks_run(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with seeded_torch(2):
        exec(compile(code, "README.md", "exec"), {})  # noqa: S102


def test_both_commands_stand_in_the_readme_and_ci_calls_the_second() -> None:
    assert "pip install . && gapkit measure --source vit --target sample:digits" in README
    assert 'pip install -e ".[test]" && pytest' in README


def test_table_script_measures_each_target_with_its_split(refresh: ModuleType) -> None:
    output = refresh.printed("python examples/measure_table.py sample:digits sample:digits:all", "")
    title, _, *rows = output.splitlines()
    assert title.split("|")[-2].strip() == "ceiling"
    assert rows[0] == rows[1]
    assert rows[0].startswith("| sample:digits | 1797 (all) | 10 | - | resize |")
