"""``rank``: the same samples for every source, ranks from their scores, and messages."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from torch import nn

import gapkit as gk
from gapkit.arrays import Array, generator, seeded_torch
from gapkit.errors import OptionError

N = 120
OPTIONS = gk.RankOptions(permutations=0, keep_features=False, scores=("fast",))


def make_source(seed: int, *, width: int = 12) -> gk.Source:
    """A random network."""
    with seeded_torch(seed):
        module = nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 6))
    names = [f"s{k}" for k in range(6)]
    spec = gk.InputSpec(kind="image", shape=(1, 8, 8))
    return gk.Source.from_module(module, input=spec, head="3", class_names=names)


def target() -> gk.Target:
    y = np.arange(N) % 3
    x: Array = generator(0).integers(0, 80, size=(N, 8, 8)) + 50 * y[:, None, None]
    return gk.Target(x.astype(np.uint8), y, name="squares")


@pytest.fixture(name="ranked", scope="module")
def three_sources() -> gk.RankResult:
    return gk.rank(
        {"net0": make_source(0), "net1": make_source(1), "net2": make_source(2, width=4)}, target(), options=OPTIONS
    )


def test_ranks_are_those_of_the_values(ranked: gk.RankResult) -> None:
    assert len(ranked.rows) == 3
    for name in ranked.scores:
        values = [row.scores[name].value for row in ranked.rows]
        assert all(row.scores[name].direction == "higher" for row in ranked.rows)
        places = [row.rank[name].value for row in ranked.rows]
        assert places == list(stats.rankdata([-value for value in values]))
        assert [row.rank[name].value for row in ranked.order(name)] == sorted(places)
    means = [np.mean([place.value for place in row.rank.values()]) for row in ranked.rows]
    assert means == sorted(means)
    for row in ranked.rows:
        for place in row.rank.values():
            assert place.interval[0] <= place.value <= place.interval[1]


def test_agreement_is_kendalls_tau_of_every_pair(ranked: gk.RankResult) -> None:
    assert len(ranked.agreement) == len(ranked.scores) * (len(ranked.scores) - 1) / 2
    for pair in ranked.agreement:
        a, b = ([row.scores[name].value for row in ranked.rows] for name in (pair.a, pair.b))
        assert pair.tau == pytest.approx(stats.kendalltau(a, b).statistic)
        assert pair.interval[0] <= pair.tau <= pair.interval[1]
        assert pair.n == 3


def test_scores_are_those_of_measure(ranked: gk.RankResult) -> None:
    options = gk.MeasureOptions(bootstrap=100, permutations=0, keep_features=False)
    alone = gk.measure(make_source(1), target(), options=options)
    row = next(row for row in ranked.rows if row.source == "net1")
    assert tuple(row.scores.values()) == alone.scores


def test_it_is_read_again_and_has_a_table_and_figures(ranked: gk.RankResult) -> None:
    assert gk.RankResult.from_json(ranked.to_json()) == ranked
    table = ranked.table()
    for word in ("net0", "net1", "net2", "squares", "LEEP", "Kendall's tau"):
        assert word in table
    for figure in ("ranks", "values", "agreement"):
        assert ranked.plot(figure) is not None
    with pytest.raises(OptionError, match="did you mean 'ranks'"):
        ranked.plot("rankz")


def test_layers_are_ranked_by_what_reads_features() -> None:
    options = gk.RankOptions(permutations=0, keep_features=False, scores=("leep", "logme"), layers=("1", "2"))
    found = gk.rank({"net0": make_source(0)}, target(), options=options)
    assert {row.layer for row in found.rows} == {"1", "2", "features"}
    for row in found.rows:
        assert set(row.scores) == ({"leep", "logme"} if row.layer == "features" else {"logme"})
    assert {row.rank["logme"].value for row in found.rows} == {1.0, 2.5}  # layer 2 is what the head sees
    assert "net0 1" in found.table()


def test_one_source_is_ranked_first_and_agreement_has_no_value() -> None:
    found = gk.rank([make_source(0)], target(), options=OPTIONS)
    assert all(place.value == 1.0 for place in found.rows[0].rank.values())
    assert all(pair.tau is None for pair in found.agreement)
    assert "Kendall" not in found.table()
    with pytest.raises(OptionError, match="agreement"):
        found.plot("agreement")


def test_the_same_twice_is_the_same() -> None:
    sources = {"a": make_source(0), "b": make_source(1)}
    first, second = (gk.rank(sources, target(), options=OPTIONS).to_dict() for _ in range(2))
    for content in (first, second):
        del content["provenance"]["created"], content["provenance"]["seconds"]
    assert first == second


def test_names_are_loaded_one_after_the_other() -> None:
    asked: list[str] = []

    def load(name: str) -> gk.Source:
        asked.append(name)
        return make_source(len(asked))

    found = gk.rank(["a", "b"], target(), options=OPTIONS, load=load)
    assert asked == ["a", "b"]
    assert {row.source for row in found.rows} == {"a", "b"}


def test_mistakes_are_said() -> None:
    with pytest.raises(OptionError, match="no sources"):
        gk.rank([], target())
    with pytest.raises(OptionError, match="Sequential twice.*name them"):
        gk.rank([make_source(0), make_source(0)], target())
    with pytest.raises(OptionError, match="scores none; expected scores that sources can be ranked by"):
        gk.RankOptions(scores=("none",))
    with pytest.raises(OptionError, match="scores mmd2.*units of each source"):
        gk.RankOptions(scores=("mmd2",))
    with pytest.raises(OptionError, match="draws 3"):
        gk.RankOptions(draws=3)


def test_one_source_or_name_alone_is_one_source() -> None:
    asked: list[str] = []

    def load(name: str) -> gk.Source:
        asked.append(name)
        return make_source(0)

    by_name = gk.rank("vit", target(), options=OPTIONS, load=load)
    assert (asked, [row.source for row in by_name.rows]) == (["vit"], ["vit"])
    alone = gk.rank(make_source(0), target(), options=OPTIONS)
    assert [row.source for row in alone.rows] == ["Sequential"]
    assert alone.rows[0].scores == by_name.rows[0].scores


def test_two_sources_of_one_name_are_refused() -> None:
    with pytest.raises(OptionError, match="vit twice among the sources; expected each once"):
        gk.rank(["vit", "vit"], target())


def test_what_is_no_source_is_refused_before_anything_is_computed() -> None:
    with pytest.raises(OptionError, match=r"type Flatten; .*Source\.from_module"):
        gk.rank({"net": nn.Flatten()}, target())
    with pytest.raises(OptionError, match="type int; expected a gapkit.Source; load one"):
        gk.rank([3], target())


def test_a_source_is_called_by_the_name_it_was_given_and_described_by_both(ranked: gk.RankResult) -> None:
    assert [source.name for source in ranked.sources] == ["net0", "net1", "net2"]
    for source in ranked.sources:
        assert source.description == f"{source.name}: Sequential, image 1x8x8, 6 classes, head: own"
        assert f"source    {source.name}: Sequential, image" in ranked.table()
    (alone,) = gk.rank(make_source(0), target(), options=OPTIONS).sources
    assert alone.description == "Sequential: image 1x8x8, 6 classes, head: own"


@pytest.mark.parametrize("field", ["layers", "scores", "discrepancies"])
def test_one_string_is_one_name_and_none_is_kept_twice(field: str) -> None:
    name = {"layers": "blocks.*", "scores": "lfc", "discrepancies": "kl"}[field]
    for given in (name, [name], (name, name)):
        assert getattr(gk.MeasureOptions(**{field: given}), field) == (name,)
        if field != "discrepancies":
            assert getattr(gk.RankOptions(**{field: given}), field) == (name,)
    with pytest.raises(OptionError, match=f"{field} is 3; expected a name, or several"):
        gk.MeasureOptions(**{field: 3})


def test_a_string_that_is_no_name_is_refused_whole() -> None:
    with pytest.raises(OptionError, match="did you mean 'lfc'"):
        gk.RankOptions(scores="lfcc")
    with pytest.raises(OptionError, match="discrepancy 'kll'"):
        gk.MeasureOptions(discrepancies="kll")


@pytest.mark.parametrize("option", ["seed", "permutations", "n_bins", "max_samples", "batch_size", "draws"])
def test_numbers_that_are_no_whole_numbers_are_refused(option: str) -> None:
    for wrong in (1.5, "3", True):
        with pytest.raises(OptionError, match=f"{option} {wrong!r}; expected a whole number"):
            gk.RankOptions(**{option: wrong})
    with pytest.raises(OptionError, match=f"{option} -1; expected at least"):
        gk.RankOptions(**{option: -1})


def test_rows_of_layers_are_in_the_order_of_their_mean_place_over_scores_that_rank_several() -> None:
    """LEEP ranks two rows, the scores of features six: a place counts by its share of the rows that it is among."""
    names = ("leep", "logme", "h_score", "lfc")
    options = gk.RankOptions(permutations=0, keep_features=False, scores=names, layers=("1", "2"))
    found = gk.rank({"a": make_source(0), "b": make_source(2, width=4)}, target(), options=options)
    assert len(found.rows) == 6
    places: dict[int, list[float]] = {position: [] for position in range(6)}
    for name in names:
        held = [position for position, row in enumerate(found.rows) if name in row.scores]
        assert len(held) == (2 if name == "leep" else 6)
        own = stats.rankdata([-found.rows[position].scores[name].value for position in held])
        for position, place in zip(held, own, strict=True):
            places[position].append((place - 1) / (len(held) - 1))
    means = [float(np.mean(own)) for own in places.values()]
    assert means == sorted(means)
    # By the plain mean of the ranks the order would be another one, so that the rule is seen.
    plain = [np.mean([place.value for place in row.rank.values()]) for row in found.rows]
    assert plain != sorted(plain)


def test_a_score_that_ranks_one_row_does_not_order_it() -> None:
    options = gk.RankOptions(permutations=0, keep_features=False, scores=("leep", "lfc"), layers=("1",))
    found = gk.rank(make_source(0), target(), options=options)
    assert [row.rank["lfc"].value for row in found.rows] == [1.0, 2.0]
    assert sum("leep" in row.rank for row in found.rows) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"split": "tset"}, "split 'tset'; expected one of train, test, all; did you mean 'test'"),
        ({"folds": 1}, "folds 1; expected at least 2"),
        ({"n_bins": 1}, "n_bins 1; expected at least 2"),
        ({"max_samples": 19}, "max_samples 19; expected at least 20"),
        ({"batch_size": 0}, "batch_size 0; expected at least 1"),
        ({"permutations": -1}, "permutations -1; expected at least 0"),
        ({"seed": -1}, "seed -1; expected at least 0"),
        ({"draws": 99}, "draws 99; expected at least 100"),
        ({"scores": ()}, r"scores \(nothing\)"),
        ({"scores": ("fast", "otdd")}, "scores otdd; expected scores that sources can be ranked by"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        gk.RankOptions(**options)
