"""Retention against counting, closed forms, and simulations with known truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gapkit.errors import DataError
from gapkit.reuse.retention import ProbeHits, beyond_random, retention

AFTER, BEFORE, RANDOM, SPREAD = 0.6, 1.2, 0.1, 0.3


def world(seed, n=400, copies=3, groups=None, spread=SPREAD):
    """Hits where a normal number is below the cut of a model: samples, or groups, have difficulties in common."""
    rng = np.random.default_rng([seed, n, copies, 91])
    difficulty = rng.normal(size=n) if groups is None else rng.normal(size=groups)[np.arange(n) % groups]

    def hits(cut, noise):
        return difficulty + noise < cut

    cuts = RANDOM + spread * rng.normal(size=copies)
    return ProbeHits(
        before=hits(BEFORE, rng.normal(size=n)),
        after=hits(AFTER, rng.normal(size=n)),
        random=np.array([hits(cut, rng.normal(size=n)) for cut in cuts]),
        groups=None if groups is None else np.arange(n) % groups,
    )


def truth(spread=SPREAD):
    """Of expected rates."""
    after, before = stats.norm.cdf(np.array([AFTER, BEFORE]) / np.sqrt(2))
    random = stats.norm.cdf(RANDOM / np.sqrt(2 + spread**2))
    return (after - random) / (before - random)


def counted(hits):
    """By loops."""
    n = len(hits.before)
    before, after = (sum(1 for hit in row.tolist() if hit) / n for row in (hits.before, hits.after))
    random = sum(sum(1 for hit in row.tolist() if hit) / n for row in hits.random) / len(hits.random)
    return (after - random) / (before - random)


@settings(derandomize=True, deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(150, 300),
    copies=st.integers(3, 6),
    groups=st.sampled_from([None, 40, 75]),
)
def test_the_value_is_that_of_counting(seed, n, copies, groups):
    hits = world(seed, n, copies, groups)
    found = retention(hits, resamples=100)
    if found.status == "undefined":
        assert "standard error" in found.reason
        assert (found.value, found.interval) == (None, None)
    else:
        assert found.value == pytest.approx(counted(hits), rel=1e-12)
        assert found.interval[0] <= found.value <= found.interval[1]
    assert found.n == n


def test_without_tuning_it_is_exactly_one():
    hits = world(1)
    found = retention(ProbeHits(before=hits.before, after=hits.before, random=hits.random), resamples=200)
    assert (found.value, found.interval) == (1.0, (1.0, 1.0))


def test_as_much_as_random_weights_is_exactly_none():
    n = 120
    flat = np.arange(n) < 60
    found = retention(ProbeHits(before=np.arange(n) < 100, after=flat, random=np.tile(flat, (3, 1))), resamples=200)
    assert (found.value, found.interval) == (0.0, (0.0, 0.0))


def test_it_is_not_clipped():
    better = ProbeHits(
        before=np.arange(200) < 150, after=np.arange(200) < 200, random=np.tile(np.arange(200) < 50, (3, 1))
    )
    worse = ProbeHits(
        before=np.arange(200) < 150, after=np.arange(200) < 0, random=np.tile(np.arange(200) < 50, (3, 1))
    )
    assert (retention(better).value, retention(worse).value) == (1.5, -0.5)


def test_the_bound_of_the_denominator_is_two_standard_errors_of_paired_differences():
    n, flat = 100, np.arange(100) < 50
    for gained, known in ((3, False), (4, True)):  # the error of a share p of gains is sqrt(p (1 - p) / (n - 1))
        share = gained / n
        assert bool(share >= 2 * np.sqrt(share * (1 - share) / (n - 1))) is known
        hits = ProbeHits(before=np.arange(n) < 50 + gained, after=flat, random=np.tile(flat, (3, 1)))
        assert (beyond_random(hits.crossed) == "") is known
        assert (retention(hits, resamples=100).status == "ok") is known


@pytest.mark.parametrize("before", [50, 30])
def test_nothing_beyond_random_weights_is_undefined_and_says_so(before):
    rows = np.arange(100)
    found = retention(ProbeHits(before=rows < before, after=rows < 90, random=np.tile(rows < 50, (3, 1))))
    assert (found.value, found.interval, found.n, found.status) == (None, None, 100, "undefined")
    assert f"accuracy before less random is {(before - 50) / 100:.4g} " in found.reason
    assert "another surrogate" in found.reason


def test_too_few_copies_or_groups_are_undefined_and_say_so():
    hits = world(2)
    two = retention(ProbeHits(before=hits.before, after=hits.after, random=hits.random[:2]))
    assert (two.status, "2 random-weight copies" in two.reason) == ("undefined", True)
    one_group = np.zeros(len(hits.before), dtype=np.int64)
    one = retention(ProbeHits(before=hits.before, after=hits.after, random=hits.random, groups=one_group))
    assert (one.status, "1 unit of samples" in one.reason) == ("undefined", True)


def test_groups_change_the_interval_and_not_the_value():
    hits = world(3, n=600, groups=30)
    alone = retention(ProbeHits(before=hits.before, after=hits.after, random=hits.random))
    grouped = retention(hits)
    renamed = retention(
        ProbeHits(before=hits.before, after=hits.after, random=hits.random, groups=np.asarray(hits.groups) * 7 + 2)
    )
    assert grouped.value == pytest.approx(alone.value, rel=1e-12)
    assert grouped.interval != alone.interval
    assert grouped == renamed


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("after", np.ones(5), "after has shape"),
        ("random", np.ones(10), "random has shape"),
        ("before", np.full(10, 2.0), "before is no array of hits"),
        ("after", np.array(["a"] * 10), "after is no array of hits"),
        ("random", np.full((3, 10), np.nan), "random is no array of hits"),
    ],
)
def test_what_is_no_hits_is_refused(field, value, text):
    given = {"before": np.ones(10), "after": np.ones(10), "random": np.ones((3, 10))} | {field: value}
    with pytest.raises(DataError, match=text):
        ProbeHits(**given)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("copies", "groups", "spread"),
    [(3, None, SPREAD), (5, None, SPREAD), (3, None, 0.02), (3, 50, SPREAD), (5, 50, 0.1)],
)
def test_intervals_hold_the_truth(copies, groups, spread):
    held = []
    for seed in range(300):
        found = retention(world(seed, 400, copies, groups, spread), resamples=300, seed=seed)
        if found.interval is not None:
            held.append(found.interval[0] <= truth(spread) <= found.interval[1])
    assert len(held) >= 240
    assert 0.90 <= np.mean(held) <= 0.995
