"""Streaming metrics against the functions on all samples, whatever the batches, merged and synchronised."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import gapkit as gk
from gapkit.arrays import Array, generator
from gapkit.errors import UndefinedError
from gapkit.integrations.metrics import NC1, AccuracyRetention, Alignment, LinearCKA
from gapkit.reuse import alignment, cka, nc1
from gapkit.reuse.retention import ProbeHits, retention

D, E, CLASSES, COPIES, N = 7, 4, 5, 3, 61
SIZES = [1, 2, 3, 17, 60, 61]


def features(n: int = N, d: int = D, *, shift: float = 0.0, seed: int = 0) -> Array:
    rng = generator(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + shift


def labels(n: int = N) -> Array:
    """Class 3 has a single sample, and class 4 none."""
    codes = generator(9).integers(0, 3, size=n)
    codes[n // 2] = 3
    return codes


def hits(n: int = N, seed: int = 4) -> tuple[Array, Array, Array]:
    rng = generator(seed)
    before = rng.random(n) < 0.9
    return before, np.where(rng.random(n) < 0.8, before, rng.random(n) < 0.5), rng.random((COPIES, n)) < 0.4


Case = tuple[Callable[[], Any], tuple[Array, ...], Callable[[], float]]


def cases(shift: float) -> dict[str, Case]:
    """How a metric is made, what it is given, and what the function says of all of it; the last axis 0 is samples."""
    x, y, codes = features(shift=shift), features(d=E, shift=-shift, seed=1), labels()
    y[:, 0] += 0.5 * x[:, 1]
    before, after, random = hits()
    given = ProbeHits(before=before, after=after, random=random)
    return {
        "cka": (lambda: LinearCKA(D, E), (x, y), lambda: cka(x, y)),
        "biased cka": (lambda: LinearCKA(D, E, debiased=False), (x, y), lambda: cka(x, y, debiased=False)),
        "alignment": (lambda: Alignment(D, CLASSES), (x, codes), lambda: alignment(x, codes)),
        "nc1": (lambda: NC1(D, CLASSES), (x, codes), lambda: nc1(x, codes)),
        "retention": (lambda: AccuracyRetention(COPIES), (before, after, random.T), lambda: retention(given).value),
    }


NAMES = list(cases(0.0))


def feed(metric: Any, arrays: tuple[Array, ...], start: int, stop: int) -> None:
    """Give a metric some samples."""
    batch = [torch.from_numpy(np.ascontiguousarray(array[start:stop])) for array in arrays]
    if isinstance(metric, AccuracyRetention):
        batch[2] = batch[2].T
    metric.update(*batch)


@pytest.mark.parametrize("shift", [0.0, 3.0, 1e4])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NAMES)
def test_values_are_those_of_all_samples_whatever_the_batches(name: str, size: int, shift: float) -> None:
    make, arrays, expected = cases(shift)[name]
    metric = make()
    for start in range(0, N, size):
        feed(metric, arrays, start, start + size)
    found = metric.compute()
    assert found.dtype == torch.float64
    assert float(found) == pytest.approx(expected(), abs=1e-8, rel=1e-8)
    metric.reset()
    feed(metric, arrays, 0, N)
    assert float(metric.compute()) == pytest.approx(float(found), abs=1e-8, rel=1e-8)


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric .* was called before the ``update``")
@pytest.mark.parametrize("ends", [(20, 40), (0, 61), (1, 2), (30, 61)])
@pytest.mark.parametrize("name", NAMES)
def test_merged_metrics_hold_all_samples(name: str, ends: tuple[int, int]) -> None:
    make, arrays, expected = cases(2.0)[name]
    metrics = [make() for _ in range(3)]
    for metric, (start, stop) in zip(metrics, [(0, ends[0]), (ends[0], ends[1]), (ends[1], N)], strict=True):
        if start < stop:
            feed(metric, arrays, start, stop)
    metrics[1].merge_state(metrics[2])
    metrics[0].merge_state(metrics[1])
    assert float(metrics[0].compute()) == pytest.approx(expected(), abs=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_metrics_of_two_processes_are_synchronised(name: str) -> None:
    make, arrays, expected = cases(2.0)[name]
    here, there = make(), make()
    feed(here, arrays, 0, 25)
    feed(there, arrays, 25, N)

    def gather(tensor: Tensor, group: object = None) -> list[Tensor]:
        """What all processes have of a state."""
        (key,) = [key for key in here._defaults if getattr(here, key) is tensor]
        return [tensor, getattr(there, key)]

    here.dist_sync_fn, here.distributed_available_fn = gather, lambda: True
    assert float(here.compute()) == pytest.approx(expected(), abs=1e-8)
    here.dist_sync_fn, here.distributed_available_fn = None, lambda: False  # it goes on with its own alone
    feed(here, arrays, 25, N)
    assert float(here.compute()) == pytest.approx(expected(), abs=1e-8)


def test_forward_gives_the_value_of_the_batch_and_adds_it() -> None:
    x, y = features(), features(d=E, seed=1)
    metric = LinearCKA(D, E)
    for start, stop in ((0, 30), (30, N)):
        one = metric(torch.from_numpy(x[start:stop]), torch.from_numpy(y[start:stop]))
        assert float(one) == pytest.approx(cka(x[start:stop], y[start:stop]), abs=1e-8)
    assert float(metric.compute()) == pytest.approx(cka(x, y), abs=1e-8)


def test_averages_over_batches_are_not_what_is_computed() -> None:
    x = features(seed=2)
    y = x[:, :E] + features(d=E, seed=3)
    whole = cka(x, y)
    averages = np.mean([cka(x[start : start + 10], y[start : start + 10]) for start in range(0, 60, 10)])
    assert abs(averages - whole) > 0.01


def test_float32_batches_are_summed_in_float64() -> None:
    x = features(shift=100.0).astype(np.float32)
    y = features(d=E, seed=1).astype(np.float32)
    metric = LinearCKA(D, E)
    for start in range(0, N, 7):
        feed(metric, (x, y), start, start + 7)
    assert float(metric.compute()) == pytest.approx(cka(x, y), abs=1e-8)


def test_a_layer_is_wholly_like_itself_and_unlike_noise() -> None:
    x, noise = features(400, 30), generator(8).normal(size=(400, 30))
    metric, other = LinearCKA(30), LinearCKA(30)
    feed(metric, (x, 3 * x + 1), 0, 400)
    feed(other, (x, noise), 0, 400)
    assert float(metric.compute()) == pytest.approx(1)
    assert abs(float(other.compute())) < 0.05


@pytest.mark.parametrize(
    ("metric", "numbers"),
    [
        (LinearCKA(D, E), (D + E) ** 2 + 3 * (D + E) + 4),
        (Alignment(D, CLASSES), CLASSES * (D + 2)),
        (NC1(D, CLASSES), CLASSES * (D + 1) + D**2),
        (AccuracyRetention(COPIES), 1 + (COPIES + 2) + (COPIES + 2) ** 2),
    ],
)
def test_states_have_the_size_that_is_said(metric: Any, numbers: int) -> None:
    assert sum(getattr(metric, key).numel() for key in metric._defaults) == numbers


def test_where_the_function_is_undefined_the_metric_is() -> None:
    x, codes = torch.from_numpy(features()), torch.from_numpy(labels())
    metric = LinearCKA(D)
    metric.update(x[:3], x[:3])
    with pytest.raises(UndefinedError, match="3 samples; expected at least 4 for CKA"):
        metric.compute()
    metric = LinearCKA(D)
    metric.update(x, torch.ones_like(x))
    with pytest.raises(UndefinedError, match="y has a self term"):
        metric.compute()
    equally_far = LinearCKA(6)
    equally_far.update(torch.eye(6), torch.eye(6))
    with pytest.raises(UndefinedError, match="x has a self term"):
        equally_far.compute()
    nearly = np.eye(8) + 1e-6 * features(8, 8)
    assert cka(nearly, nearly) == pytest.approx(1)
    lost = LinearCKA(8)
    feed(lost, (nearly, nearly), 0, 8)
    with pytest.raises(UndefinedError, match=r"lost in rounding.*use gapkit\.reuse\.cka on all of them"):
        lost.compute()
    for kind in (Alignment, NC1):
        single = kind(D, CLASSES)
        single.update(x[:3], torch.arange(3))
        with pytest.raises(UndefinedError, match="no class has two samples"):
            single.compute()
    one_class = NC1(D, CLASSES)
    one_class.update(x, torch.zeros_like(codes))
    with pytest.raises(UndefinedError, match="the same label"):
        one_class.compute()
    same = NC1(D, 2)
    same.update(torch.cat([x, x]), torch.arange(2).repeat_interleave(N))
    with pytest.raises(UndefinedError, match="the same mean"):
        same.compute()
    with pytest.raises(UndefinedError, match="all zero"):
        Alignment(D, 2).update(torch.zeros(2, D), torch.zeros(2, dtype=torch.int64))


@pytest.mark.parametrize("seed", range(12))
def test_retention_is_undefined_where_the_function_is(seed: int) -> None:
    rng = generator(seed, 5)
    before, after, random = rng.random(40) < 0.62, rng.random(40) < 0.6, rng.random((COPIES, 40)) < 0.45
    expected = retention(ProbeHits(before=before, after=after, random=random))
    metric = AccuracyRetention(COPIES)
    feed(metric, (before, after, random.T), 0, 40)
    if expected.value is None:
        with pytest.raises(UndefinedError) as caught:
            metric.compute()
        assert str(caught.value) == expected.reason
    else:
        assert float(metric.compute()) == pytest.approx(expected.value, abs=1e-8)


def test_both_outcomes_were_among_the_seeds() -> None:
    statuses = set()
    for seed in range(12):
        rng = generator(seed, 5)
        before, after, random = rng.random(40) < 0.62, rng.random(40) < 0.6, rng.random((COPIES, 40)) < 0.45
        statuses.add(retention(ProbeHits(before=before, after=after, random=random)).status)
    assert statuses == {"ok", "undefined"}


X, CODES = torch.zeros(4, D), torch.zeros(4, dtype=torch.int64)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: LinearCKA(0), "features is 0; expected at least 1"),
        (lambda: LinearCKA(2, 0), "others is 0; expected at least 1"),
        (lambda: NC1(2, 0), "classes is 0; expected at least 1"),
        (lambda: AccuracyRetention(2), "2 copies; expected at least 3"),
        (lambda: LinearCKA(D).update(X[:, :3], X), r"x has shape \(4, 3\); expected \(B, 7\)"),
        (lambda: LinearCKA(D).update(X, X[:3]), r"y has shape \(3, 7\); expected \(4, 7\)"),
        (lambda: LinearCKA(D).update(X / 0, X), "x has NaN or infinite values"),
        (lambda: NC1(D, 2).update(X, CODES + 2), "expected one integer from 0 to 1 for each of 4 samples"),
        (lambda: NC1(D, 2).update(X, CODES - 1), "expected one integer from 0 to 1"),
        (lambda: NC1(D, 2).update(X, CODES[:3]), r"labels of shape \(3,\)"),
        (lambda: Alignment(D, 2).update(X, CODES.float()), "dtype torch.float32"),
        (lambda: AccuracyRetention().update(CODES, CODES, CODES), r"expected \(B,\), \(B,\) and \(3, B\)"),
        (lambda: AccuracyRetention().update(CODES + 2, CODES, CODES.repeat(3, 1)), r"hits outside of \[0, 1\]"),
    ],
)
def test_mistakes_are_named(call: Callable[[], object], words: str) -> None:
    with pytest.raises(gk.GapkitError, match=words):
        call()


def test_empty_batches_change_nothing() -> None:
    x = features()
    metrics = LinearCKA(D), NC1(D, CLASSES), Alignment(D, CLASSES)
    for metric in metrics:
        feed(metric, (x, x if isinstance(metric, LinearCKA) else labels()), 0, N)
        before = float(metric.compute())
        feed(metric, (x, x if isinstance(metric, LinearCKA) else labels()), N, N)
        assert float(metric.compute()) == before


def test_without_torchmetrics_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    monkeypatch.delitem(sys.modules, "gapkit.integrations.metrics")
    with pytest.raises(gk.GapkitError, match=r"torchmetrics is not installed; .*pip install 'gapkit\[torchmetrics\]'"):
        import gapkit.integrations.metrics  # noqa: F401
