"""The bundled source, tuned on data near to its own and far from it: how much is retained, in which order.

Written down before any number was seen: in what the head sees, retention is 1 without tuning, less after 60 steps on
digits (which the source has seen larger), and less still both after 60 steps on digits with permuted labels and after
60 steps on sequences of codes, with intervals that do not overlap those of digits.

That was wrong for the recipe of the example, at a rate of 5e-4. After 60 steps on digits, on permuted labels and on
codes retention was 0.98 (0.95 - 1.02), 0.98 (0.95 - 1.02) and 1.00, CKA 0.995 to 0.999: so few steps leave all of the
source in place, whatever they are for, and weights move least where nothing can be learnt (drifts of 0.04, 0.02 and
0.03). The test stands, and fails as expected. A second one, written down then and before its numbers, asks the same
order of retention at ten times the rate, in the last block. There it was 0.95 (0.87 - 1.03) after digits, 0.71 (0.53 -
0.84) after permuted labels, and 0.94 (0.83 - 1.01) after codes: the half of it that is about permuted labels holds, the
half about codes does not. CKA was 0.86, 0.26 and 0.82. A third one, written down then and before its numbers, asks the
order after ten times as many steps at that rate, 600. It fails too: by then digits, ten classes of the source's 352,
have destroyed as much (the interval of retention begins at 0.51 after digits and ends at 0.79 after permuted labels).

In all three, digits of another data set stand for the source's modality. A fourth one, written down then and before its
numbers, takes what is of the source's modality beyond doubt: a half of its surrogate, with its own classes. In the last
block, seen on the digits of the other half, retention after 600 steps at the higher rate on these is above that on the
same images with permuted labels, and above that on codes, with intervals that do not overlap. It fails as well: the
interval begins at 0.83 with the own labels and ends at 0.96 with permuted ones.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import gapkit as gk
from gapkit.embedders import choose, fit

pytestmark = pytest.mark.slow
EXAMPLES = Path(__file__).parents[2] / "examples"
FASTER = 5e-3
OPTIONS = gk.ProbeOptions(
    layers=("all",), max_samples=400, most_classes=20, matrices=(), bootstrap=200, projection=False, keep_features=False
)
LAST = "features"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    """The script that tunes."""
    sys.path.insert(0, str(EXAMPLES))
    try:
        import finetune_source
    finally:
        sys.path.remove(str(EXAMPLES))
    return finetune_source


@pytest.fixture(scope="module")
def source() -> gk.Source:
    return gk.load_source("vit")


def codes(n=1200):
    """Sequences of four letters; the class is how often a letter follows itself."""
    rng = np.random.default_rng(95)
    labels = np.arange(n) % 4
    x = np.empty((n, 64), dtype=np.int64)
    x[:, 0] = rng.integers(4, size=n)
    for position in range(1, 64):
        stays = rng.random(n) < 0.1 + 0.2 * labels
        x[:, position] = np.where(stays, x[:, position - 1], rng.integers(4, size=n))
    return gk.Target(x, labels, alphabet="ACGT", name="codes")


def retained(example, source, layer, rate, steps=60):
    """Retention in a layer after tuning on digits, on digits with permuted labels, and on codes."""
    digits, options = gk.load_target("sample:digits"), OPTIONS
    if layer != LAST:
        options = replace(OPTIONS, layers=(layer,))
    found = []
    for data, permute in ((digits, False), (digits, True), (codes(), False)):
        recipe = example.Recipe(steps=steps, seed=96, rate=rate, permute=permute)
        tuned = example.tune(source, data, recipe)[0]
        found.append(gk.probe(source, tuned, options=options).find(layer, "retention"))
    return found


@pytest.mark.xfail(strict=True, reason="60 steps at this rate leave everything in place: see above")
def test_what_is_retained_falls_from_near_to_far(example, source) -> None:
    near, permuted, far = retained(example, source, LAST, example.Recipe.rate)
    assert near.interval[1] < 1
    assert permuted.interval[1] < near.interval[0]
    assert far.interval[1] < near.interval[0]


@pytest.fixture(scope="module")
def faster(example, source):
    """Retention in the last block at the higher rate."""
    return retained(example, source, "blocks.6", FASTER)


def test_permuted_labels_leave_less_than_labels_at_a_higher_rate(faster) -> None:
    near, permuted, _ = faster
    assert permuted.interval[1] < near.interval[0]


@pytest.mark.xfail(strict=True, reason="0.94 (0.83 - 1.01) after codes, 0.95 (0.87 - 1.03) after digits")
def test_a_far_modality_leaves_less_than_a_near_one_at_a_higher_rate(faster) -> None:
    near, _, far = faster
    assert far.interval[1] < near.interval[0]


@pytest.mark.xfail(strict=True, reason="from 0.51 after digits, to 0.79 after permuted labels")
def test_after_many_steps_a_far_modality_leaves_less_than_a_near_one(example, source) -> None:
    near, permuted, far = retained(example, source, "blocks.6", FASTER, steps=600)
    assert permuted.interval[1] < near.interval[0]
    assert far.interval[1] < near.interval[0]


@pytest.mark.xfail(strict=True, reason="from 0.83 after the own labels, to 0.96 after permuted ones")
def test_the_own_modality_is_kept_beside_permuted_labels_and_a_far_one(example, source) -> None:
    seen = source.surrogate
    first = np.zeros(len(seen), dtype=bool)
    for label in np.unique(seen.y):
        first[np.flatnonzero(seen.y == label)[::2]] = True
    own, other = (seen.take(np.flatnonzero(half)) for half in (first, ~first))
    options = replace(OPTIONS, layers=("blocks.6",), max_samples=750, most_classes=10)
    found = []
    for data, permute in ((own, False), (own, True), (codes(), False)):
        recipe = example.Recipe(steps=600, seed=96, rate=FASTER, permute=permute)
        tuned = example.tune(source, data, recipe)[0]
        found.append(gk.probe(source, tuned, surrogate=other, options=options).find("blocks.6", "retention"))
    near, permuted, far = found
    assert permuted.interval[1] < near.interval[0]
    assert far.interval[1] < near.interval[0]


def with_head(example, source, data):
    """The source's own encoder, its weights untouched, under a head for the target: ridge on one-hot labels."""
    start = example.tune(source, data, example.Recipe(steps=4, seed=96))[1].eval()
    embedder = fit(choose(data, source.input, source.token), data, source.input, source.token)
    with torch.inference_mode():
        parts = np.array_split(np.arange(len(data)), 8)
        adapter = source.adapter
        z = torch.cat([adapter.pool(adapter.encode(adapter.embed(embedder(data.x[part])))) for part in parts]).double()
    labels = torch.nn.functional.one_hot(torch.as_tensor(data.y)).double()
    centred = z - z.mean(dim=0)
    weight = torch.linalg.solve(centred.T @ centred + torch.eye(z.shape[1]), centred.T @ labels).T
    with torch.no_grad():
        start.head.weight.copy_(weight)
        start.head.bias.copy_(labels.mean(dim=0) - weight @ z.mean(dim=0))
    return start


def test_without_a_step_everything_is_as_it_was(example, source) -> None:
    digits = gk.load_target("sample:digits")
    found = gk.probe(source, with_head(example, source, digits), target=digits, options=OPTIONS)
    assert found.find(LAST, "retention").value == 1.0
    for row in found.layers:
        for name in ("retention", "knn_retention"):
            assert row.measures[name].value in (1.0, None), (row.layer, name)
        for name in ("cka", "mutual_knn", "knowledge_reuse"):
            assert row.measures[name].value == pytest.approx(1.0, abs=1e-12), (row.layer, name)
    blocks = [row for row in found.layers if row.layer != LAST]
    for row in blocks:
        assert row.measures["drift"].value == 0.0
        assert row.measures["drift_rank"].status == "undefined"
        assert row.measures["drift_rank"].reason == "dW is zero in every matrix"
        assert row.measures["reuse"].value in (1.0, None)
    assert sum(row.measures["reuse"].value == 1.0 for row in blocks) >= 3
    assert found.model["reuse"].value == 1.0
