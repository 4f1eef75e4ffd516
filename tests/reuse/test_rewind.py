"""Criticality, reuse and excess against loops, closed forms, and simulations with known truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gapkit.errors import DataError
from gapkit.reuse import rewind
from gapkit.reuse.hits import LayerHits, majority_hits
from gapkit.reuse.rewind import causal_reuse, reuse_excess

CUTS = {"model": (1.5, 1.0, -0.8), "control": (1.4, 0.2, -0.6)}
WEAK = {"model": (0.5, 0.2, 0.0), "control": (0.5, 0.1, -0.2)}
MAJORITY = 0.3


def world(seed, n=300, seeds=5, spread=0.5, groups=None, cuts=None):
    """Hits of a model and a control: samples have difficulties in common, resets of a seed too.

    A sample is hit where a normal number is below the cut of the condition, so that all expected rates are known.
    """
    rng = np.random.default_rng([seed, n, seeds])
    difficulty = rng.normal(size=n) if groups is None else rng.normal(size=groups)[np.arange(n) % groups]
    shared, majority, luck = 0.8 * rng.normal(size=n), rng.random(n) < MAJORITY, rng.normal(size=seeds)
    found = []
    for tuned, rewound, reset in (cuts or CUTS).values():
        hits = [difficulty + shared + 0.6 * rng.normal(size=n) < cut for cut in (tuned, rewound)]
        own = spread * (np.sqrt(0.25) * luck + np.sqrt(0.75) * rng.normal(size=seeds))
        again = difficulty + own[:, None] + rng.normal(size=(seeds, n)) < reset
        codes = None if groups is None else np.arange(n) % groups
        found.append(LayerHits(tuned=hits[0], rewound=hits[1], reset=again, majority=majority, groups=codes))
    return found


def rates(cuts, spread):
    """Expected accuracies: tuned, rewound, reset."""
    scales = np.sqrt([2.0, 2.0, 2.0 + spread**2])
    return stats.norm.cdf(np.array(cuts) / scales)


def truth(spread, cuts=None):
    """Expected criticality, reuse and excess."""
    model, control = (rates(one, spread) for one in (cuts or CUTS).values())
    shares = [min(1.0, max(0.0, (p - r) / (t - r))) for t, p, r in (model, control)]
    return {
        "criticality": (model[0] - model[2]) / (model[0] - MAJORITY),
        "reuse": shares[0],
        "excess": max(0.0, shares[0] - shares[1]) / (1 - shares[1]),
    }


def naive(hits):
    """Accuracies, criticality and unclipped reuse, by counting."""
    n = len(hits.tuned)
    t, p, c = (sum(row.tolist()) / n for row in (hits.tuned, hits.rewound, hits.majority))
    r = sum(sum(row) for row in hits.reset.tolist()) / (n * len(hits.reset))
    return t, p, r, c, (t - r) / (t - c), (p - r) / (t - r)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("groups", [None, 25])
def test_values_are_those_of_the_formulas(seed, groups):
    hits, control = world(seed, groups=groups)
    found = causal_reuse(hits, resamples=50)
    t, p, r, c, criticality, reuse = naive(hits)
    assert (found.tuned, found.rewound, found.reset, found.chance) == pytest.approx((t, p, r, c), rel=1e-12)
    assert found.contribution.value == pytest.approx(t - r, rel=1e-12)
    assert found.criticality.value == pytest.approx(criticality, rel=1e-12)
    assert found.reuse.value == pytest.approx(min(1.0, max(0.0, reuse)), rel=1e-12)
    assert (found.seeds, found.reuse.n, found.reuse.status, found.reuse.reason) == (5, 300, "ok", "")
    other = min(1.0, max(0.0, naive(control)[5]))
    excess = max(0.0, found.reuse.value - other) / (1 - other)
    assert reuse_excess(hits, control, resamples=50).value == pytest.approx(excess, rel=1e-12)
    for one in (found.contribution, found.criticality, found.reuse):
        assert one.interval[0] <= one.value <= one.interval[1]


@pytest.mark.parametrize("control", [0.2, 0.75])
@pytest.mark.parametrize("name", [*rewind.FUNCTIONS, "above_chance", "gain", "control_reuse", "left", "excess"])
def test_gradients_are_derivatives(name, control):
    function = rewind.FUNCTIONS.get(name) or getattr(rewind, f"_{name}")
    means = [0.9, 0.7, 0.8, control, 0.3, 0.25] if name in ("control_reuse", "left", "excess") else [0.9, 0.7, 0.2, 0.3]
    gradient = function(np.array([means]))[1][0]
    for k in range(len(means)):
        step = np.eye(len(means))[k] * 1e-6
        high, low = (function(np.array([means]) + sign * step)[0][0] for sign in (1, -1))
        assert gradient[k] == pytest.approx((high - low) / 2e-6, abs=1e-6)


def deterministic(t, p, r, n=100, seeds=5):
    """Exactly these counts of hits, the same in every reset."""
    rows = [np.arange(n) < count for count in (t, p, r)]
    return LayerHits(tuned=rows[0], rewound=rows[1], reset=np.tile(rows[2], (seeds, 1)), majority=np.arange(n) < 10)


@pytest.mark.parametrize(("p", "reuse"), [(10, 0.0), (20, 0.0), (50, 0.5), (80, 1.0), (95, 1.0)])
def test_reuse_is_clipped_and_so_is_its_interval(p, reuse):
    found = causal_reuse(deterministic(80, p, 20), resamples=200)
    assert found.reuse.value == pytest.approx(reuse, abs=1e-12)
    assert 0 <= found.reuse.interval[0] <= found.reuse.value <= found.reuse.interval[1] <= 1
    assert found.criticality.value == pytest.approx(60 / 70)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), n=st.integers(10, 200), rate=st.floats(0.05, 0.95), seeds=st.integers(5, 8))
def test_before_any_step_of_training_reuse_is_exactly_one(seed, n, rate, seeds):
    rng = np.random.default_rng(seed)
    tuned, reset = rng.random(n) < 0.9, rng.random((seeds, n)) < rate
    found = causal_reuse(LayerHits(tuned=tuned, rewound=tuned, reset=reset, majority=rng.random(n) < 0.2), resamples=30)
    if found.reuse.status == "ok":
        assert (found.reuse.value, found.reuse.interval) == (1.0, (1.0, 1.0))
    else:
        assert found.reuse.value is None
        assert found.reuse.reason


@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), grouped=st.booleans())
def test_order_of_seeds_and_names_of_groups_do_not_matter_and_dtypes_neither(seed, grouped):
    hits = world(seed % 50, n=120, groups=20 if grouped else None)[0]
    rng = np.random.default_rng(seed)
    order, seeds = rng.permutation(120), rng.permutation(5)
    again = LayerHits(
        tuned=hits.tuned[order].astype(np.int8),
        rewound=hits.rewound[order].astype(bool),
        reset=hits.reset[seeds][:, order].tolist(),
        majority=hits.majority[order].astype(np.float32),
        groups=None if hits.groups is None else np.array([f"patient {g}" for g in hits.groups])[order],
    )
    first, second = causal_reuse(hits, resamples=20), causal_reuse(again, resamples=20)
    for name in ("contribution", "criticality", "reuse"):
        assert getattr(first, name).value == pytest.approx(getattr(second, name).value, rel=1e-10)
        assert getattr(first, name).status == getattr(second, name).status


def naive_error(hits):
    """Of the difference tuned less reset: the two-way analysis of variance over samples and seeds, by loops."""
    table = [[t - r for r in column] for t, column in zip(hits.tuned.tolist(), hits.reset.T.tolist(), strict=True)]
    n, s = len(table), len(table[0])
    mean = sum(map(sum, table)) / (n * s)
    rows, columns = [sum(row) / s for row in table], [sum(row[j] for row in table) / n for j in range(s)]
    rest = sum((table[i][j] - rows[i] - columns[j] + mean) ** 2 for i in range(n) for j in range(s))
    rest /= n * s * (n - 1) * (s - 1)
    units = sum((row - mean) ** 2 for row in rows) / n / (n - 1)
    seeds = sum((column - mean) ** 2 for column in columns) / s / (s - 1)
    return mean, (max(units, rest) + max(seeds, rest) - rest) ** 0.5


def test_reuse_is_undefined_exactly_where_the_contribution_is_below_two_standard_errors():
    seen = set()
    for seed in range(60):
        hits = world(seed, n=80, cuts={"model": (0.3, 0.1, 0.0)})[0]
        value, error = naive_error(hits)
        found = causal_reuse(hits, resamples=20)
        assert (found.reuse.status == "ok") == (value >= 2 * error and value > 0)
        assert found.contribution.status == "ok"
        seen.add(found.reuse.status)
        if found.reuse.status == "undefined":
            assert (found.reuse.value, found.reuse.interval) == (None, None)
            assert "tuned less reset is" in found.reuse.reason
    assert seen == {"ok", "undefined"}


def test_a_layer_that_does_not_matter_has_a_criticality_and_no_reuse():
    found = causal_reuse(deterministic(80, 80, 80), resamples=20)
    assert found.criticality.value == 0.0
    assert found.reuse.status == "undefined"
    assert "accuracy tuned less reset is 0 with a standard error of 0" in found.reuse.reason


def test_a_model_at_chance_has_no_criticality():
    hits = deterministic(10, 10, 0)
    found = causal_reuse(hits, resamples=20)
    assert found.criticality.status == "undefined"
    assert "tuned less chance" in found.criticality.reason
    assert found.reuse.value == 1.0


def test_few_seeds_or_one_group_leave_everything_undefined():
    few = causal_reuse(deterministic(80, 50, 20, seeds=4))
    one = world(0)[0]
    one = causal_reuse(
        LayerHits(
            tuned=one.tuned, rewound=one.rewound, reset=one.reset, majority=one.majority, groups=np.zeros(300, int)
        )
    )
    for found, reason in ((few, "4 reset seeds"), (one, "1 unit of samples")):
        for estimate in (found.contribution, found.criticality, found.reuse):
            assert (estimate.value, estimate.status) == (None, "undefined")
            assert reason in estimate.reason
    assert few.tuned == 0.8


def test_excess_over_a_control():
    assert reuse_excess(deterministic(80, 50, 20), deterministic(80, 35, 20), resamples=20).value == pytest.approx(
        1 / 3
    )
    assert reuse_excess(deterministic(80, 35, 20), deterministic(80, 50, 20), resamples=20).value == 0.0
    assert reuse_excess(deterministic(80, 50, 20), deterministic(80, 5, 20), resamples=20).value == pytest.approx(0.5)
    assert reuse_excess(deterministic(80, 80, 20), deterministic(80, 50, 20), resamples=20).value == 1.0
    same = world(1)[0]
    found = reuse_excess(same, same, resamples=100)
    assert (found.value, found.interval[0]) == (0.0, 0.0)


def test_an_excess_that_cannot_be_had_says_why():
    full = reuse_excess(deterministic(80, 50, 20), deterministic(80, 80, 20))
    assert full.status == "undefined"
    assert "1 less the control's reuse is 0" in full.reason
    flat = deterministic(80, 80, 80)
    assert "reuse of the control" in reuse_excess(deterministic(80, 50, 20), flat).reason
    assert "reuse of the model" in reuse_excess(flat, deterministic(80, 50, 20)).reason
    with pytest.raises(DataError, match=r"resets of shape \(6, 100\)"):
        reuse_excess(deterministic(80, 50, 20), deterministic(80, 50, 20, seeds=6))


def test_the_majority_rate():
    assert majority_hits(np.array([1, 3, 3, 0])).tolist() == [0, 1, 1, 0]
    assert majority_hits(np.array([5, 2])).tolist() == [0, 1]
    with pytest.raises(DataError, match="no labels"):
        majority_hits(np.array([], dtype=np.int64))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tuned": np.ones((2, 100))}, "tuned has shape"),
        ({"rewound": np.ones(99)}, "rewound has shape"),
        ({"reset": np.ones(100)}, "reset has shape"),
        ({"reset": np.ones((100, 5))}, "reset has shape"),
        ({"majority": np.full(100, np.nan)}, r"outside of \[0, 1\]"),
        ({"tuned": np.arange(100)}, r"outside of \[0, 1\]"),
        ({"tuned": np.array(["yes"] * 100)}, "dtype"),
        ({"groups": np.zeros(5)}, "groups has shape"),
    ],
)
def test_what_are_no_hits_is_said(change, message):
    hits = deterministic(80, 50, 20)
    given = {name: getattr(hits, name) for name in ("tuned", "rewound", "reset", "majority", "groups")}
    with pytest.raises(DataError, match=message):
        LayerHits(**(given | change))


def coverage(repetitions, resamples=300, **options):
    """How often intervals hold the truth, where they are defined."""
    expected = truth(options["spread"], options.get("cuts"))
    held = {name: [] for name in expected}
    for seed in range(repetitions):
        hits, control = world(1000 + seed, **options)
        found = causal_reuse(hits, resamples=resamples, seed=seed)
        estimates = {"criticality": found.criticality, "reuse": found.reuse}
        estimates["excess"] = reuse_excess(hits, control, resamples=resamples, seed=seed)
        for name, one in estimates.items():
            if one.status == "ok":
                held[name].append(one.interval[0] - 1e-12 <= expected[name] <= one.interval[1] + 1e-12)
    return {name: (len(values), np.mean(values)) for name, values in held.items()}


def test_intervals_hold_the_truth_of_a_small_simulation():
    found = coverage(120, n=150, spread=0.5, resamples=200)
    assert all(count == 120 and share >= 0.88 for count, share in found.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "least"),
    [
        ({"n": 300, "spread": 0.0}, 0.92),
        ({"n": 300, "spread": 0.5}, 0.91),
        ({"n": 400, "spread": 0.5, "groups": 40}, 0.91),
        ({"n": 300, "spread": 0.5, "seeds": 10}, 0.92),
        ({"n": 300, "spread": 0.5, "cuts": WEAK}, 0.87),
    ],
)
def test_intervals_hold_the_truth(options, least):
    found = coverage(800, **options)
    assert all(least <= share <= 1 for _, share in found.values()), found
    assert found["criticality"][1] <= 0.985  # and are not simply wide
