"""Scores and distances in ``measure``: what is computed for which target, and what is said otherwise."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

import gapkit as gk
from gapkit.arrays import Array, generator, log_softmax, seeded_torch
from gapkit.errors import OptionError
from gapkit.pipeline import scores as pipeline_scores
from gapkit.scores.catalogue import chosen_measures, distances, scores
from gapkit.scores.h_score import h_score
from gapkit.scores.leep import leep
from gapkit.scores.logme import logme
from gapkit.scores.probes import knn_accuracy, linear_probe_accuracy

N = 90
SCORES = [score.traits.name for score in scores()]
FAST = [score.traits.name for score in scores() if score.traits.fast]
DISTANCES = [distance.traits.name for distance in distances()]


def make_source(*, headless: bool = False, surrogate: gk.Target | None = None) -> gk.Source:
    with seeded_torch(0):
        module = nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), *([] if headless else [nn.Linear(12, 6)]))
    names = [f"s{k}" for k in range(6)]
    spec = gk.InputSpec(kind="image", shape=(1, 8, 8))
    if headless:
        return gk.Source.from_module(module, input=spec, surrogate=surrogate)
    return gk.Source.from_module(module, input=spec, head="3", class_names=names, surrogate=surrogate)


def images(seed: int = 0, n: int = N) -> tuple[Array, Array]:
    y = np.arange(n) % 3
    x = generator(seed).integers(0, 60, size=(n, 8, 8)) + 60 * y[:, None, None]
    return x.astype(np.uint8), y


def measure(source: gk.Source, target: gk.Target, *names: str, permutations: int = 19) -> gk.GapResult:
    options = gk.MeasureOptions(bootstrap=100, permutations=permutations, keep_features=False, n_bins=3, scores=names)
    return gk.measure(source, target, options=options)


def test_everything_is_measured_and_read_again() -> None:
    source = make_source(surrogate=gk.Target(*images(1)))
    result = measure(source, gk.Target(*images()), "all", permutations=5)
    assert [row.name for row in result.scores] == SCORES
    assert [row.name for row in result.distances] == DISTANCES
    for row in (*result.scores, *result.distances):
        assert row.status == "ok", row
        assert row.value is not None
        assert row.interval is not None
        assert row.interval[0] <= row.value <= row.interval[1]
        assert row.n == N
    assert all(row.null is not None for row in result.scores)
    assert [row.name for row in result.distances if row.null is not None] == ["otdd"]
    assert all(row.floor is not None for row in result.distances)
    assert gk.GapResult.from_json(result.to_json()) == result
    table = result.table()
    for row in (*result.scores, *result.distances):
        assert row.title in table


def test_rows_are_the_functions_on_the_same_arrays() -> None:
    source, target = make_source(), gk.Target(*images())
    result = measure(source, target, "fast")
    assert [row.name for row in result.scores] == FAST
    assert result.distances == ()
    activations = gk.extract(source, target, _embedder(source, target))
    features = np.asarray(activations.features["features"], dtype=np.float64)
    found = {row.name: row.value for row in result.scores}
    assert found["leep"] == pytest.approx(leep(np.exp(log_softmax(activations.logits)), target.y), rel=1e-9)
    assert found["logme"] == pytest.approx(logme(features, target.y), rel=1e-9)
    assert found["h_score"] == pytest.approx(h_score(features, target.y), rel=1e-9)


def _embedder(source: gk.Source, target: gk.Target):
    from gapkit.embedders import choose, fit

    return fit(choose(target, source.input, source.token), target, source.input, source.token)


def test_none_is_none() -> None:
    result = measure(make_source(), gk.Target(*images()), "none")
    assert (result.scores, result.distances) == ((), ())


def test_a_source_without_surrogate_has_no_distances_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    result = measure(make_source(), gk.Target(*images()), "mmd2", "leep")
    assert [row.name for row in result.scores] == ["leep"]
    (row,) = result.distances
    assert (row.status, row.value) == ("undefined", None)
    assert "--surrogate" in row.reason
    assert "undefined: the source has no surrogate" in result.table()


def test_the_surrogate_is_run_only_where_a_distance_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_source(surrogate=gk.Target(*images(1)))
    monkeypatch.setattr("gapkit.pipeline.measure.run_surrogate", None)
    assert measure(source, gk.Target(*images()), "fast").distances == ()


def test_groups_of_the_surrogate_reach_the_distances_and_the_provenance() -> None:
    x, y = images(1)
    subjects = generator(5).permutation(N) // 9
    free, grouped = (
        measure(make_source(surrogate=gk.Target(x, y, groups=groups)), gk.Target(*images()), "energy_distance")
        for groups in (None, subjects)
    )
    before, after = free.distances[0], grouped.distances[0]
    assert after.value == before.value
    assert after.interval != before.interval
    assert after.floor != before.floor
    assert grouped.provenance.options["surrogate"] != free.provenance.options["surrogate"]


def test_folds_are_those_that_are_asked_for() -> None:
    source, target = make_source(), gk.Target(*images())
    features = np.asarray(gk.extract(source, target, _embedder(source, target)).features["features"], dtype=np.float64)
    names = ("knn_accuracy", "linear_probe_accuracy")
    for folds in (3, 5):
        options = gk.MeasureOptions(bootstrap=100, permutations=0, keep_features=False, scores=names, folds=folds)
        found = {row.name: row.value for row in gk.measure(source, target, options=options).scores}
        assert found["knn_accuracy"] == knn_accuracy(features, target.y, n_folds=folds)
        assert found["linear_probe_accuracy"] == linear_probe_accuracy(features, target.y, n_folds=folds)
    few = gk.Target(x := images()[0][:12], np.arange(12) % 3)
    assert len(x) == 12
    ranked = gk.rank(source, few, options=gk.RankOptions(permutations=0, keep_features=False, scores=names, folds=4))
    assert all(score.status == "ok" for score in ranked.rows[0].scores.values())
    ranked = gk.rank(source, few, options=gk.RankOptions(permutations=0, keep_features=False, scores=names))
    assert all("use fewer folds (--folds)" in score.reason for score in ranked.rows[0].scores.values())
    assert {distance.folds for distance in distances(folds=3) if hasattr(distance, "folds")} == {3}


def test_a_headless_source_has_scores_of_the_head_that_it_is_given() -> None:
    source = make_source(headless=True, surrogate=gk.Target(*images(1)))
    found = {row.name: row for row in measure(source, gk.Target(*images()), "leep", "energy_distance").scores}
    assert found["leep"].status == "ok"


def test_a_regression_target_is_given_as_numbers_or_as_bins() -> None:
    x, y = images()
    values = y + 0.1 * generator(2).normal(size=N)
    source = make_source()
    result = measure(source, gk.Target(x, values, task="regression"), "logme", "h_score", "parc")
    found = {row.name: row for row in result.scores}
    assert all(row.status == "ok" for row in found.values())
    target = gk.Target(x, values, task="regression")
    features = np.asarray(gk.extract(source, target, _embedder(source, target)).features["features"], dtype=np.float64)
    assert found["logme"].value == pytest.approx(logme(features, values, task="regression"), rel=1e-9)


def test_several_labels_have_the_scores_that_are_defined_for_them() -> None:
    x, y = images()
    several = np.stack([y > 0, y > 1], axis=1).astype(np.int64)
    result = measure(make_source(), gk.Target(x, several, ["a", "b"]), "all")
    for score in scores():
        row = next(row for row in result.scores if row.name == score.traits.name)
        assert (row.status == "ok") == ("multilabel" in score.traits.tasks), row
        assert row.status == "ok" or "several labels" in row.reason


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("logmee",), "score 'logmee'; expected one of .*did you mean 'logme'"),
        (("none", "leep"), "scores none, leep; expected none alone"),
        ((), r"scores \(nothing\)"),
    ],
)
def test_names_that_there_are_not_are_refused(names: tuple[str, ...], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        gk.MeasureOptions(scores=names)


def test_fast_and_names_go_together() -> None:
    found = chosen_measures(("fast", "mmd2", "parc"))
    assert [score.traits.name for score in found[0]] == [name for name in SCORES if name in FAST or name == "parc"]
    assert [distance.traits.name for distance in found[1]] == ["mmd2"]


def test_progress_is_told() -> None:
    told: list[tuple[str, int, int]] = []
    options = gk.MeasureOptions(bootstrap=100, permutations=5, keep_features=False, scores=("leep", "nce"))
    gk.measure(make_source(), gk.Target(*images()), options=options, progress=lambda *given: told.append(given))
    assert [given for given in told if given[0] == pipeline_scores.TASK] == [("scores", 1, 2), ("scores", 2, 2)]
