"""Names, files, modules and arrays in the place of sources and targets: one message that says what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torch import nn

import gapkit as gk
from gapkit.arrays import seeded_torch
from gapkit.errors import OptionError

TARGET = gk.Target(np.arange(160.0).reshape(40, 2, 2) % 7, np.arange(40) % 2, name="t")


@pytest.fixture(name="source", scope="module")
def small_source() -> gk.Source:
    with seeded_torch(0):
        module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    return gk.Source.from_module(module, input=gk.InputSpec(kind="image", shape=(1, 2, 2)), class_names=list("abc"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("vit", r"source is the text 'vit'; expected a gapkit.Source; load it first: gapkit.load_source\('vit'\)"),
        (None, "source is None; expected a gapkit.Source; load one"),
        (TARGET, "source is a value of type Target; .* the source first and the target second"),
        (nn.Flatten(), r"type Flatten; .*gapkit\.Source\.from_module"),
    ],
)
def test_what_is_no_source(given: object, message: str) -> None:
    for call in (gk.measure, gk.align):
        with pytest.raises(OptionError, match=message):
            call(given, TARGET)
    with pytest.raises(OptionError, match=message):
        gk.probe(given, nn.Flatten())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "data.npz",
            r"is the text 'data.npz'; expected a gapkit.Target; load it first: gapkit.load_target\('data",
        ),
        (Path("data.npz"), r"load it first: gapkit.load_target\('data.npz'\)"),
        (TARGET.x, r"is a value of type ndarray; .* gapkit.Target\(x, y\)"),
    ],
)
def test_what_is_no_target_or_surrogate(source: gk.Source, given: object, message: str) -> None:
    for call in (gk.measure, gk.rank, gk.align):
        with pytest.raises(OptionError, match=f"target {message}" if message.startswith("is") else message):
            call(source, given)
        with pytest.raises(OptionError, match=f"surrogate {message}" if message.startswith("is") else message):
            call(source, TARGET, surrogate=given)
    with pytest.raises(OptionError, match=message):
        gk.probe(source, nn.Flatten(), surrogate=given)


def test_options_of_something_else_and_an_embedder_by_its_name(source: gk.Source) -> None:
    with pytest.raises(OptionError, match="options is a value of type RankOptions; expected gapkit.MeasureOptions"):
        gk.measure(source, TARGET, options=gk.RankOptions())
    with pytest.raises(OptionError, match="options is a value of type dict; expected gapkit.RankOptions"):
        gk.rank(source, TARGET, options={})
    with pytest.raises(OptionError, match=r"embedder is the text 'fold'; .*MeasureOptions\(embedder='fold'\)"):
        gk.measure(source, TARGET, embedder="fold")
