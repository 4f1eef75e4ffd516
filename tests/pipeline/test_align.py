"""``align`` and ``compare``: metrics against plain counts, gaps at their moments, run folders, bad input."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import gapkit as gk
from gapkit.embedders import load_embedder
from gapkit.errors import OptionError, StorageError
from gapkit.pipeline.align_options import Budget
from gapkit.pipeline.align_run import read_run, write_weights
from gapkit.pipeline.align_samples import divide
from gapkit.results import AlignmentResult, Comparison
from tests.mona.small import lesson, small_source, small_target

N = 150


def options(method: str = "mona", **given) -> gk.AlignOptions:
    """A short training without probes."""
    return gk.AlignOptions(**{"lesson": lesson(method), "seeds": (0, 1), "bootstrap": 200, "probe": False} | given)


@pytest.fixture(scope="module")
def source() -> gk.Source:
    """The small source; its surrogate is of the source's own input."""
    return small_source()


@pytest.fixture(scope="module")
def target() -> gk.Target:
    """Series of three classes with a test split."""
    given = small_target(N)
    return replace(given, split=(np.arange(N) % 5 == 0).astype(np.uint8))


@pytest.fixture(scope="module")
def aligned(source: gk.Source, target: gk.Target) -> AlignmentResult:
    """One result with everything in it."""
    return gk.align(source, target, options=options(probe=True))


def test_metric_is_the_share_of_right_answers_on_test_samples(aligned: AlignmentResult, target: gk.Target) -> None:
    test = target.part("test")
    for run, learned in zip(aligned.runs, aligned.learned, strict=True):
        hits = learned.predict(test).argmax(axis=1) == test.y
        assert run.metric == pytest.approx(hits.mean())
        assert list(run.scores) == hits.astype(float).tolist()
        assert not set(learned.samples.target.x[:, 0, 0]) & set(test.x[:, 0, 0])  # none of them was trained on
    estimate = aligned.metric.estimate
    assert estimate.value == pytest.approx(np.mean([run.metric for run in aligned.runs]))
    assert estimate.interval is not None
    assert estimate.interval[0] <= estimate.value <= estimate.interval[1]
    assert aligned.validation.value == pytest.approx(np.mean([run.validation for run in aligned.runs]))


def test_gaps_are_those_that_measure_finds(aligned: AlignmentResult, source: gk.Source, target: gk.Target) -> None:
    assert list(aligned.gaps) == ["gap_before", "gap_warm", "gap_aligned", "gap_after"]
    test = replace(target.part("test"), split=None)
    asked = gk.MeasureOptions(split="all", scores=("none",), permutations=0, bootstrap=200)
    again = gk.measure(source, test, embedder=aligned.embedder, options=asked)
    assert aligned.gap_aligned is not None
    assert aligned.gap_aligned.misalignment == again.misalignment
    assert aligned.gap_before is not None
    assert aligned.gap_after is not None
    assert aligned.gap_before.misalignment != aligned.gap_after.misalignment


def test_result_reads_back_and_has_no_weights_in_it(aligned: AlignmentResult) -> None:
    text = aligned.to_json()
    assert AlignmentResult.from_json(text) == aligned
    content = json.loads(text)
    assert (content["kind"], content["history"], content["embedder"]) == (
        "alignment",
        "history.jsonl",
        "embedder.safetensors",
    )
    assert "learned" not in content
    assert content["cost"]["steps"] == 20


def test_reuse_is_that_of_the_tuned_encoder(aligned: AlignmentResult) -> None:
    assert aligned.reuse is not None
    drift = [found.value for found in aligned.reuse.curve("drift").values() if found.value is not None]
    assert drift
    assert all(value > 0 for value in drift)


def test_files_give_back_embedder_and_tuned_model(
    aligned: AlignmentResult, source: gk.Source, target: gk.Target, tmp_path: Path
) -> None:
    write_weights(aligned, tmp_path)
    assert load_embedder(tmp_path / "embedder.safetensors").key == aligned.embedder.key
    lines = (tmp_path / "history.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == aligned.history
    from gapkit.reuse.tuned import as_tuned

    tuned = as_tuned(source, tmp_path / "tuned.safetensors").source
    embedder = load_embedder(tmp_path / "tuned-embedder.safetensors")
    test = target.part("test")
    with torch.inference_mode():
        tokens = embedder(test.x)
        logits = tuned.adapter.head(tuned.adapter.pool(tuned.adapter.encode(tokens)))
    assert (logits.argmax(dim=1).numpy() == test.y).tolist() == [bool(hit) for hit in aligned.runs[0].scores]


def test_paired_differences_are_those_of_the_scores(
    aligned: AlignmentResult, source: gk.Source, target: gk.Target
) -> None:
    other = gk.align(source, target, options=options("finetune", measure=False))
    found = gk.compare(aligned, other)
    (one,) = found.paired
    scores = [np.array([run.scores for run in result.runs]) for result in (aligned, other)]
    assert one.difference == pytest.approx(float((scores[0] - scores[1]).mean()))
    assert one.interval is not None
    assert one.interval[0] <= one.difference <= one.interval[1]
    assert (one.a, one.b, one.status) == ("mona", "finetune", "ok")
    assert Comparison.from_json(found.to_json()) == found
    same = gk.compare(aligned, aligned).paired[0]
    assert (same.difference, same.p) == (0.0, 1.0)
    few = replace(other, seeds=(5,))
    assert gk.compare(aligned, few).paired[0].reason == "they share no seed"


def test_misalignments_stand_beside_each_other(aligned: AlignmentResult) -> None:
    before, after = aligned.gap_before, aligned.gap_after
    assert before is not None
    assert after is not None
    found = gk.compare(before, after)
    assert [run.metric for run in found.runs] == [None, None]
    assert found.runs[0].gaps["before"]["linear"].value == before.misalignment[3].normalised
    assert found.paired == ()
    with pytest.raises(OptionError, match="of the kinds alignment, gap"):
        gk.compare(before, aligned)
    with pytest.raises(OptionError, match="1 results"):
        gk.compare(before)


def test_targets_without_a_test_split_are_cut_the_same_way_for_all(target: gk.Target) -> None:
    bare = replace(target, split=None, groups=np.arange(N) // 5)
    one, two = (divide(bare, options(name, seeds=(seed,))) for name, seed in (("mona", 0), ("finetune", 3)))
    assert (one.test.x == two.test.x).all()
    home = dict(zip(bare.x[:, 0, 0].tolist(), np.arange(N) // 5, strict=True))
    groups = [{home[first] for first in part.x[:, 0, 0].tolist()} for part in (one.test, one.train)]
    assert not groups[0] & groups[1]
    assert "no test split" in one.notes[0]


def test_regression_has_r2_with_the_errors_of_the_values(source: gk.Source, target: gk.Target) -> None:
    value = gk.Target(target.x, target.y * 10.0 + 3, task="regression", name="value")
    found = gk.align(source, value, options=options("finetune", measure=False))
    test = divide(value, options()).test
    errors = [np.square(learned.predict(test)[:, 0] - test.y) for learned in found.learned]
    assert found.metric.name == "R2"
    assert found.metric.estimate.value == pytest.approx(1 - np.mean(errors) / np.var(test.y))


def test_budgets() -> None:
    assert Budget.parse("500steps").steps == gk.Steps(warm=50, align=100, tune=350)
    assert [Budget.parse(text).amount for text in ("90s", "1.5min", "2h")] == [90, 90, 7200]
    for wrong in ("", "500", "-3steps", "1.5steps", "ten minutes", "0s"):
        with pytest.raises(OptionError, match="use 500steps, 90s, 10min or 1h"):
            Budget.parse(wrong)


def test_a_time_becomes_steps_once(source: gk.Source, target: gk.Target, tmp_path: Path) -> None:
    asked = options("mona", budget="2s", seeds=(0,), measure=False)
    first = gk.align(source, target, options=asked, folder=tmp_path)
    kept = json.loads((tmp_path / "budget.json").read_text(encoding="utf-8"))
    assert first.budget["steps"] == kept
    assert sum(kept.values()) >= 10
    again = gk.align(source, target, options=asked, folder=tmp_path)
    assert again.budget == first.budget
    assert (again.runs, again.notes, again.embedder.key) == (first.runs, first.notes, first.embedder.key)
    assert again.embedder.key == again.learned[0].earlier["alignment"].key


def test_mona_is_an_estimator(source: gk.Source, target: gk.Target) -> None:
    given = lesson()
    learned = gk.MoNA(seed=0, training=given.training, alignment=given.alignment).fit(source, target)
    assert learned.gaps == {}
    assert {entry["stage"] for entry in learned.history} == {"warm-up", "alignment", "fine-tuning"}
    after = gk.measure(
        source, target, embedder=learned.embedder, options=gk.MeasureOptions(scores=("none",), permutations=0)
    )
    assert after.misalignment[0].value is not None


def test_folders_without_a_finished_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="holds no finished run"):
        read_run(tmp_path)
    (tmp_path / "result.json").write_text('{"kind": "reuse"}', encoding="utf-8")
    with pytest.raises(StorageError, match="of the kind reuse"):
        read_run(tmp_path)
