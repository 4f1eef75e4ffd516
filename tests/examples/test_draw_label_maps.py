"""The README's picture is what its script draws, and the drawing shows what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
COMMITTED = EXAMPLES / "label_maps.svg"
MAX_BYTES = 60_000
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
SVG = "{http://www.w3.org/2000/svg}"
Label = tuple[str, float, float]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What the script writes in a process and a folder of its own."""
    folder = tmp_path_factory.mktemp("picture")
    command = [sys.executable, "-W", "error", str(EXAMPLES / "draw_label_maps.py"), str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert [path.name for path in folder.iterdir()] == [COMMITTED.name]
    return (folder / COMMITTED.name).read_bytes()


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import draw_label_maps

    return draw_label_maps


def parsed(picture: bytes) -> ElementTree.Element:
    """The tree of a picture that this repository has drawn itself."""
    return ElementTree.fromstring(picture)  # noqa: S314


def labels(picture: bytes) -> list[Label]:
    """Every text with the place (x, y) of its anchor in the view box; matplotlib moves it or turns it about there."""
    found: list[Label] = []
    for item in parsed(picture).iter(f"{SVG}text"):
        x, y = (round(float(number), 1) for number in NUMBER.findall(item.get("transform", ""))[-2:])
        found.append(("".join(item.itertext()), x, y))
    return found


def colours(picture: bytes) -> Counter[str]:
    """How often each colour is used."""
    return Counter(re.findall(r"#[0-9a-f]{6}\b", picture.decode()))


def test_committed_picture_is_what_the_script_draws(drawn: bytes) -> None:
    committed = COMMITTED.read_bytes()
    # Another version of matplotlib may write the same drawing in other words: labels, places and colours stay.
    assert drawn == committed or (labels(drawn), colours(drawn)) == (labels(committed), colours(committed))
    assert parsed(drawn).get("viewBox") == parsed(committed).get("viewBox")


def test_labels_are_read_with_their_places() -> None:
    turned, moved = '<text transform="rotate(-0 1.5 2.04)">a</text>', '<text transform="translate(3 4)">b</text>'
    picture = f'<svg xmlns="http://www.w3.org/2000/svg">{turned}{moved}</svg>'
    assert labels(picture.encode()) == [("a", 1.5, 2.0), ("b", 3.0, 4.0)]


def test_style_of_the_machine_changes_nothing(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["draw_label_maps.py", str(tmp_path)])
    script.main()
    usual = (tmp_path / script.NAME).read_bytes()
    style = {"font.family": ["monospace"], "lines.linewidth": 9, "savefig.facecolor": "black", "savefig.bbox": "tight"}
    with matplotlib.rc_context(style):
        script.main()
    assert (tmp_path / script.NAME).read_bytes() == usual


def test_picture_is_small_timeless_and_names_no_place() -> None:
    text = COMMITTED.read_text(encoding="utf-8")
    assert len(text.encode()) < MAX_BYTES
    assert not re.search(r"dc:date|Matplotlib v|/work|/home|/tmp|/opt|file:|<script|<image", text)
    assert not re.search(r"\b20\d\d-\d\d", text)


def test_picture_has_a_light_ground_of_its_own() -> None:
    root = parsed(COMMITTED.read_bytes())
    width, height = (float(number) for number in NUMBER.findall(root.get("viewBox", ""))[2:])
    first = next(root.iter(f"{SVG}path"))
    assert "fill: #ffffff" in first.get("style", "")
    assert "opacity" not in first.get("style", "")
    corners = np.array(NUMBER.findall(first.get("d", "")), dtype=float).reshape(-1, 2)
    assert (corners.min(axis=0).tolist(), corners.max(axis=0).tolist()) == ([0, 0], [width, height])


def test_every_family_and_part_is_named_as_in_the_results(script: ModuleType) -> None:
    from gapkit.gap.inputs import FAMILIES
    from gapkit.gap.scoring import STEPS

    words = [text for text, _, _ in labels(COMMITTED.read_bytes())]
    assert set(FAMILIES) | set(STEPS) <= set(words)
    assert tuple(reversed(STEPS)) == tuple(script.PARTS)
    assert tuple(STEPS[part][0] for part in script.PARTS) == script.LADDER


def test_drawn_maps_belong_to_their_families(script: ModuleType) -> None:
    injection, partition, channel = (script.MAPS[name] for name in ("injection", "partition", "channel"))
    for matrix in (injection, partition):
        assert set(matrix.ravel().tolist()) == {0, 1}
        assert matrix.sum(axis=1).max() == 1
    assert injection.sum(axis=0).tolist() == [1, 1, 1]
    assert partition.sum(axis=0).min() == 1
    assert partition.sum(axis=0).max() > 1
    assert partition.sum(axis=1).min() == 0
    assert channel.min() >= 0
    np.testing.assert_allclose(channel.sum(axis=1), 1)
    assert (channel > 0).sum(axis=1).max() > 1


def test_parts_stack_from_zero_to_the_injection_below_the_prior(script: ModuleType) -> None:
    found = labels(COMMITTED.read_bytes())
    scale = next(y for text, _, y in found if text == "1: class prior")
    places = {text: x for text, x, y in found if y == scale}
    assert list(places) == [*script.LADDER, "0", "1: class prior"]
    zero, one = places["0"], places["1: class prior"]
    drawn = [(places[name] - zero) / (one - zero) for name in script.LADDER]
    np.testing.assert_allclose(drawn, np.cumsum(list(script.PARTS.values())), atol=1e-3)
    assert drawn[-1] < 1


def test_text_keeps_inside_the_picture(script: ModuleType) -> None:
    with matplotlib.rc_context({**script.STYLE, "font.sans-serif": ["DejaVu Sans"]}):
        figure = script.draw()
        figure.canvas.draw()
        boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) > 50
    assert min(box.x0 for box in boxes) >= 0
    assert max(box.x1 for box in boxes) <= figure.bbox.x1
    assert min(box.y0 for box in boxes) >= 0
    assert max(box.y1 for box in boxes) <= figure.bbox.y1
    overlaps = [(i, j) for j in range(len(boxes)) for i in range(j) if boxes[i].overlaps(boxes[j])]
    assert overlaps == []


def test_colours_of_target_classes_and_parts_differ_when_printed_grey(script: ModuleType) -> None:
    for used in (script.TARGETS, script.PART_COLOURS):
        grey = np.sort([np.dot(matplotlib.colors.to_rgb(colour), [0.2126, 0.7152, 0.0722]) for colour in used])
        assert np.diff(grey).min() > 0.15
