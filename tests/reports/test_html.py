"""The HTML report: one file that needs nothing else, in which every text is only a text."""

from __future__ import annotations

import base64
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gapkit.reports.charts import CHARTS
from gapkit.reports.html import fragment
from gapkit.reports.html import page as page_text
from gapkit.reports.reading import read_gap
from gapkit.results import GapResult

VOID = {"meta", "img", "br", "hr", "link", "input"}
HOSTILE = ("<script>alert(1)</script>", '" onload="x', "$x$")


class Page(HTMLParser):
    """The elements of a page; every one that is opened is closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        """All words, with single spaces."""
        plain = "".join(self.words).replace("\u2060", "")
        return " ".join(plain.split())


def hostile(gap: GapResult) -> GapResult:
    """A result all of whose texts are markup."""
    bad = HOSTILE[0] + HOSTILE[1]
    return replace(
        gap,
        source=replace(gap.source, name=bad, description=bad, head=bad, device=bad),
        target=replace(gap.target, name=bad, embedder=bad, embedder_reason=bad, groups=bad, dtype=bad),
        misalignment=tuple(replace(row, status="partial", reason=bad) for row in gap.misalignment),
        notes=(bad,),
        provenance=replace(gap.provenance, versions={bad: bad}, options={bad: bad}, created=bad, data_hash=bad),
    )


@pytest.mark.parametrize("kind", ["small", "full", "minimal", "empty", "undefined", "regression", "several labels"])
def test_page_is_whole_and_needs_nothing_else(kind: str, kinds: dict[str, GapResult]) -> None:
    for text in (page_text(kinds[kind]), fragment(kinds[kind])):
        page = Page(text)
        for tag, attributes in page.elements:
            assert tag not in {"script", "iframe", "object", "embed", "form", "base", "link"}
            assert not any(name.startswith("on") for name in attributes)
            for name in ("src", "href", "srcset", "action"):
                assert (attributes.get(name) or "data:").startswith("data:")
            if tag == "img":
                assert (attributes["src"] or "").startswith("data:image/svg+xml;base64,")
                assert len(attributes["alt"] or "") > 10
        assert "@import" not in text
        assert "url(" not in text
        assert "nan" not in page.text.lower().split()


def test_every_text_is_escaped(kinds: dict[str, GapResult]) -> None:
    result = hostile(kinds["full"])
    for text in (page_text(result), fragment(result)):
        page = Page(text)
        assert "<script" not in text
        assert '" onload="x' not in text
        assert page.text.count("<script>alert(1)</script>") > 5
        assert not any("onload" in attributes for _, attributes in page.elements)


def test_inline_pictures_are_svg_without_scripts(kinds: dict[str, GapResult]) -> None:
    pictures = [attributes["src"] for tag, attributes in Page(page_text(kinds["full"])).elements if tag == "img"]
    assert len(pictures) == len(CHARTS)
    for uri in pictures:
        svg = base64.b64decode((uri or "").split(",")[1])
        tree = ElementTree.fromstring(svg)  # noqa: S314
        assert tree.tag.endswith("svg")
        assert not any(element.tag.endswith("script") for element in tree.iter())


def test_page_holds_header_reading_tables_maps_and_provenance(kinds: dict[str, GapResult]) -> None:
    result = kinds["full"]
    page = Page(page_text(result))
    words = page.text
    for said in (result.source.description, result.target.embedder, *read_gap(result), *result.notes):
        assert " ".join(said.split()) in words
    for row in result.misalignment:
        assert f"{row.normalised:.2f}" in words
    for said in ("version of python", "option folds", "weights hash", "2026-01-01", "source/0", "Class by class"):
        assert said in words
    assert sum(tag == "details" for tag, _ in page.elements) == 3
    assert not any("open" in attributes for tag, attributes in page.elements if tag == "details")
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in page.elements


def test_label_maps_of_many_lines_are_cut_and_counted(kinds: dict[str, GapResult]) -> None:
    words = Page(page_text(kinds["242 classes"])).text
    assert "226 further lines are in result.json." in words
    assert "352 source classes are read as no target class." not in words


def test_multilabel_page_lists_each_label_with_its_p(kinds: dict[str, GapResult]) -> None:
    words = Page(page_text(kinds["several labels"])).text
    assert "Label by label (KL)" in words
    assert "0.70 (p 0.005)" in words


def test_notebooks_show_the_reading_the_figure_and_the_tables(gap: GapResult) -> None:
    text = gap._repr_html_()
    assert text == fragment(gap)
    page = Page(text)
    assert sum(tag == "img" for tag, _ in page.elements) == 1
    assert read_gap(gap)[0] in page.text
    assert "<html" not in text
    assert "<body" not in text


def test_the_same_result_gives_the_same_files(kinds: dict[str, GapResult], tmp_path: Path) -> None:
    result = kinds["full"]
    folders = [result.save(tmp_path / name) for name in ("a", "b")]
    files = [sorted(path.relative_to(folder) for path in folder.rglob("*.*")) for folder in folders]
    assert files[0] == files[1]
    assert {path.name for path in files[0]} == {
        "report.html",
        "result.json",
        *(f"{chart.name}.svg" for chart in CHARTS),
    }
    for path in files[0]:
        assert (folders[0] / path).read_bytes() == (folders[1] / path).read_bytes()
    assert (folders[0] / "report.html").read_text(encoding="utf-8") == page_text(result)


def test_text_reports_do_not_load_what_draws() -> None:
    code = (
        "import sys, gapkit, gapkit.reports.text, gapkit.reports.folder; "
        "import gapkit.reports.align_text, gapkit.reports.compare_text; "
        "print({'matplotlib', 'seaborn', 'jinja2'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"
