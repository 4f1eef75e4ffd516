"""The knowledge-reuse score against its definition written out, closed forms, and simulations with known truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from gapkit.reuse.knowledge import BLOCKS, LayerFeatures, knowledge_reuse, model_reuse
from gapkit.reuse.retention import ProbeHits
from gapkit.statistics.jackknife import deal

CLASSES, INPUTS, WIDTH = 4, 10, 12
MEANS = 1.5 * np.eye(CLASSES, INPUTS)
AFTER, BEFORE, RANDOM, SPREAD = 0.9, 1.6, 0.2, 0.2


def maps(turned=0.6):
    """The linear layers before and after tuning, (INPUTS, WIDTH), the same in every world; before looks at classes."""
    rng = np.random.default_rng(92)
    before, other = rng.normal(size=(2, INPUTS, WIDTH))
    before[:CLASSES] *= 3
    return before, (1 - turned) * before + turned * other


def world(seed, n=300, copies=3, groups=None, turned=0.6):
    """Linear layers of clustered samples, random linear layers, and hits of a known rate."""
    rng = np.random.default_rng([seed, n, copies, 93])
    labels = (np.arange(n) // (1 if groups is None else n // groups) % CLASSES).astype(np.int64)
    codes = None if groups is None else (np.arange(n) // (n // groups)).astype(np.int64)
    shared = rng.normal(size=(n, INPUTS))
    difficulty = rng.normal(size=n) if codes is None else rng.normal(size=groups)[codes]
    x = MEANS[labels] + shared
    before, after = (x @ one for one in maps(turned))
    random = [x @ rng.normal(size=(INPUTS, WIDTH)) for _ in range(copies)]
    cuts = RANDOM + SPREAD * rng.normal(size=copies)
    hits = ProbeHits(
        before=difficulty + rng.normal(size=n) < BEFORE,
        after=difficulty + rng.normal(size=n) < AFTER,
        random=np.array([difficulty + rng.normal(size=n) < cut for cut in cuts]),
        groups=codes,
    )
    return LayerFeatures(before=before, after=after, random=random, hits=hits, labels=labels)


def expected_cka(first, second):
    """Of linear layers, from the covariance of the samples: ``|A' C B|^2 / (|A' C A| |B' C B|)``."""
    between = MEANS - MEANS.mean(axis=0)
    covariance = np.eye(INPUTS) + between.T @ between / CLASSES
    cross, one, two = (a.T @ covariance @ b for a, b in ((first, second), (first, first), (second, second)))
    return np.square(cross).sum() / np.sqrt(np.square(one).sum() * np.square(two).sum())


def truth(turned=0.6):
    """The score of infinitely many samples and random weights, with its parts."""
    rng = np.random.default_rng(94)
    before, after = maps(turned)
    floor = np.mean([expected_cka(before, rng.normal(size=(INPUTS, WIDTH))) for _ in range(20_000)])
    a, b = stats.norm.cdf(np.array([AFTER, BEFORE]) / np.sqrt(2))
    r = stats.norm.cdf(RANDOM / np.sqrt(2 + SPREAD**2))
    held, kept = (a - r) / (b - r), (expected_cka(before, after) - floor) / (1 - floor)
    return {"held": held, "kept": kept, "score": np.sqrt(held * kept)}


def naive_cka(x, y):
    """From inner products without self terms, U-centred entry by entry."""

    def u_centred(z):
        n, gram = len(z), z @ z.T
        np.fill_diagonal(gram, 0.0)
        rows = gram.sum(axis=1)
        found = [
            [
                0.0 if i == j else gram[i, j] - (rows[i] + rows[j]) / (n - 2) + rows.sum() / ((n - 1) * (n - 2))
                for j in range(n)
            ]
            for i in range(n)
        ]
        return np.array(found)

    k, other = u_centred(x), u_centred(y)
    return (k * other).sum() / np.sqrt((k * k).sum() * (other * other).sum())


def share(value, floor, top):
    return min(1.0, max(0.0, (value - floor) / (top - floor)))


def defined(layer, rows, copies):
    """held, kept and the score, as the docstring defines them, on some samples and copies."""
    hits = layer.hits
    rates = [one[rows].mean() for one in (hits.after, hits.before)]
    random = np.mean([hits.random[copy][rows].mean() for copy in copies])
    floor = np.mean([naive_cka(layer.before[rows], layer.random[copy][rows]) for copy in copies])
    held = share(rates[0], random, rates[1])
    kept = share(naive_cka(layer.before[rows], layer.after[rows]), floor, 1.0)
    return held, kept, np.sqrt(held * kept)


@pytest.mark.parametrize(("seed", "copies", "groups"), [(0, 3, None), (1, 5, None), (2, 3, 12)])
def test_values_and_intervals_are_those_of_the_definition(seed, copies, groups):
    layer = world(seed, n=60, copies=copies, groups=groups)
    found = knowledge_reuse(layer, seed=3)
    every, all_copies = np.arange(60), range(copies)
    codes = None if groups is None else layer.hits.groups
    dealt = deal(60, BLOCKS, strata=layer.labels, groups=codes, seed=3)
    blocks = int(dealt.max()) + 1
    assert blocks == (BLOCKS if groups is None else groups)
    without_block = [defined(layer, np.flatnonzero(dealt != block), all_copies) for block in range(blocks)]
    without_copy = [defined(layer, every, [c for c in all_copies if c != copy]) for copy in all_copies]
    for index, name in enumerate(("held", "kept", "score")):
        value = defined(layer, every, all_copies)[index]
        parts = []
        for replicates in (without_block, without_copy):
            one = np.array(replicates)[:, index]
            parts.append((len(one) - 1) ** 2 / len(one) * one.var(ddof=1))
        freedom = sum(parts) ** 2 / (parts[0] ** 2 / (blocks - 1) + parts[1] ** 2 / (copies - 1))
        reach = stats.t.ppf(0.975, freedom) * np.sqrt(sum(parts))
        estimate = getattr(found, name)
        assert (estimate.status, estimate.n) == ("ok", 60)
        assert estimate.value == pytest.approx(value, rel=1e-9)
        assert estimate.interval == pytest.approx((max(0, value - reach), min(1, value + reach)), rel=1e-8)


def test_without_tuning_it_is_one():
    layer = world(4)
    hits = replace(layer.hits, after=layer.hits.before)
    found = knowledge_reuse(replace(layer, after=layer.before, hits=hits))
    assert (found.held.value, found.held.interval) == (1.0, (1.0, 1.0))
    assert found.kept.value == pytest.approx(1.0, abs=1e-12)
    assert found.score.value == pytest.approx(1.0, abs=1e-12)
    assert found.score.interval == pytest.approx((1.0, 1.0), abs=1e-12)
    assert (found.score.status, found.score.reason) == ("ok", "")


def test_a_map_that_keeps_distances_keeps_everything():
    layer = world(5)
    q = np.linalg.qr(np.random.default_rng(5).normal(size=(WIDTH, WIDTH)))[0]
    assert knowledge_reuse(replace(layer, after=3 * layer.before @ q + 7)).kept.value == pytest.approx(1.0, abs=1e-9)


def test_either_part_alone_is_not_enough():
    layer = world(6)
    nothing = replace(layer.hits, after=np.zeros(300))
    forgotten = knowledge_reuse(replace(layer, after=layer.before, hits=nothing))
    assert (forgotten.held.value, forgotten.score.value) == (0.0, 0.0)
    assert forgotten.kept.value == pytest.approx(1.0, abs=1e-12)
    everything = replace(layer.hits, after=layer.hits.before)
    noise = np.random.default_rng(6).normal(size=layer.before.shape)
    rebuilt = knowledge_reuse(replace(layer, after=noise, hits=everything))
    assert (rebuilt.held.value, rebuilt.kept.value, rebuilt.score.value) == (1.0, 0.0, 0.0)


def test_where_random_weights_do_as_well_kept_stands_alone():
    layer = world(7)
    found = knowledge_reuse(replace(layer, hits=replace(layer.hits, before=layer.hits.random[0])))
    assert (found.held.value, found.held.interval, found.held.status) == (None, None, "undefined")
    assert found.score.status == "partial"
    assert found.score.reason == f"kept alone, since retention is undefined: {found.held.reason}"
    assert "standard error" in found.held.reason
    assert (found.score.value, found.score.interval) == (found.kept.value, found.kept.interval)


def test_where_random_weights_are_all_alike_nothing_can_be_kept():
    layer = world(8)
    found = knowledge_reuse(replace(layer, random=[layer.before] * 3))
    assert (found.kept.status, found.score.status, found.replicates) == ("undefined", "undefined", None)
    assert "random weights have a CKA of 1, which leaves nothing" in found.score.reason
    assert found.held.status == "ok"


def test_without_similarity_there_is_no_score():
    layer = world(9)
    found = knowledge_reuse(replace(layer, after=np.ones((300, WIDTH))))
    assert (found.score.value, found.score.status, found.replicates) == (None, "undefined", None)
    assert "the same features for all samples" in found.score.reason
    assert found.kept.reason == found.score.reason


@pytest.mark.parametrize(("copies", "groups", "text"), [(2, None, "2 random-weight copies"), (3, 3, "fewer samples")])
def test_too_few_copies_or_groups_are_undefined(copies, groups, text):
    found = knowledge_reuse(world(10, copies=copies, groups=groups))
    for estimate in (found.score, found.held, found.kept):
        assert (estimate.value, estimate.interval, estimate.n, estimate.status) == (None, None, 300, "undefined")
        assert text in estimate.reason


def test_groups_change_the_interval_and_not_the_value():
    layer = world(11, groups=20)
    grouped = knowledge_reuse(layer)
    alone = knowledge_reuse(replace(layer, hits=replace(layer.hits, groups=None)))
    renamed = knowledge_reuse(replace(layer, hits=replace(layer.hits, groups=layer.hits.groups * 5 + 1)))
    assert grouped.score.value == pytest.approx(alone.score.value, rel=1e-12)
    assert grouped.score.interval != alone.score.interval
    assert grouped.score == renamed.score


def test_the_score_of_a_model_is_the_mean_with_layers_varying_together():
    layers = [knowledge_reuse(world(12)), knowledge_reuse(world(13)), knowledge_reuse(world(14))]
    found = model_reuse(layers)
    assert found.value == pytest.approx(np.mean([layer.score.value for layer in layers]), rel=1e-12)
    assert (found.status, found.reason, found.n) == ("ok", "", 300)
    same = model_reuse([layers[0]] * 4)  # the same layer four times is no more certain than once
    assert same.interval == pytest.approx(layers[0].score.interval, rel=1e-9)
    assert found.interval[1] - found.interval[0] < max(np.diff(layer.score.interval)[0] for layer in layers)


def test_the_score_of_a_model_says_which_layers_have_none():
    whole, layer = knowledge_reuse(world(12)), world(15)
    alone = knowledge_reuse(replace(layer, hits=replace(layer.hits, before=layer.hits.random[0])))
    missing = knowledge_reuse(replace(layer, after=np.ones((300, WIDTH))))
    found = model_reuse([whole, alone, missing])
    assert found.value == pytest.approx((whole.score.value + alone.kept.value) / 2, rel=1e-12)
    assert (found.status, found.reason) == ("partial", "1 of 3 layers have no score; 1 of 3 stand for kept alone")
    nothing = model_reuse([missing, missing])
    assert (nothing.value, nothing.status, nothing.reason) == (None, "undefined", "no layer has a score")
    assert model_reuse([]).status == "undefined"


@pytest.mark.slow
@pytest.mark.parametrize(("copies", "groups", "turned"), [(3, None, 0.6), (5, None, 0.6), (3, 50, 0.6), (3, None, 0.3)])
def test_intervals_hold_the_truth(copies, groups, turned):
    true = truth(turned)
    held = []
    for seed in range(300):
        found = knowledge_reuse(world(seed, copies=copies, groups=groups, turned=turned), seed=seed)
        assert found.score.status == "ok"
        estimates = {"held": found.held, "kept": found.kept, "score": found.score}
        held.append([estimates[name].interval[0] <= true[name] <= estimates[name].interval[1] for name in true])
    assert (np.mean(held, axis=0) >= 0.90).all()
    assert np.mean(held, axis=0)[2] <= 0.995
