"""Samples at a temperature: what is computed in blocks, from sums or kept is what one formula gives."""

from __future__ import annotations

import numpy as np
import pytest

from gapkit.gap.label_maps import tempering
from gapkit.gap.label_maps.channel_problems import make_tempering
from gapkit.gap.label_maps.partition_problem import make_problem
from gapkit.gap.label_maps.tempering import FLOOR, TEMPERATURES, log_of, sort_samples, temper, temper_columns


def drawn(seed, n=150, n_source=30, n_target=4, spread=3.0):
    """Samples sorted by class, whose log p span hundreds of nats where the spread is large."""
    rng = np.random.default_rng([seed, 8])
    logits = spread * rng.normal(size=(n, n_source))
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    labels = np.append(np.arange(n_target), rng.integers(n_target, size=n - n_target))
    return sort_samples(log_of(probs / probs.sum(axis=1, keepdims=True)), labels, n_target)[0]


@pytest.mark.parametrize("spread", [0.1, 3.0, 60.0])
@pytest.mark.parametrize("temperature", [TEMPERATURES[0], 1.0, TEMPERATURES[-1]])
def test_columns_are_the_tempered_probabilities_transposed(spread, temperature):
    samples = drawn(0, spread=spread)
    columns, log_norms = temper_columns(samples.log_p, temperature)
    assert np.array_equal(columns.T, temper(samples.log_p, temperature))
    expected = np.log(np.exp(samples.log_p / temperature).sum(axis=1))
    assert log_norms == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("spread", [0.1, 3.0, 60.0])
@pytest.mark.parametrize("temperature", [TEMPERATURES[0], 1.0, TEMPERATURES[-1]])
def test_log_sums_are_those_of_the_logarithm_of_each_probability(spread, temperature):
    samples = drawn(1, spread=spread)
    tempered = samples.temper(temperature)
    assert spread < 60 or temperature >= 1 or tempered.p.min() == FLOOR
    weights = np.random.default_rng(0).random((150, 3)) * (np.arange(150) % 3 > 0)[:, None]
    expected = [(np.log(tempered.p[rows])[:, :, None] * weights[rows, None]).sum(axis=0) for rows in samples.blocks]
    assert tempered.log_sums(weights) == pytest.approx(np.array(expected), rel=1e-12, abs=1e-10)


def test_mean_logs_of_a_partition_problem_are_those_of_its_columns():
    tempered = drawn(2).temper(0.25)
    problem = make_problem(tempered, np.arange(150) % 4 > 0)
    expected = [np.log(problem.columns[:, rows]).mean(axis=1) for rows in problem.blocks]
    assert problem.log_means == pytest.approx(np.stack(expected, axis=1), rel=1e-12)
    assert np.array_equal(problem.labels, tempered.samples.labels[problem.mask])


def test_samples_that_are_taken_are_rows_of_p():
    tempered = drawn(3).temper(4.0)
    rows = np.arange(150) % 5 == 1
    assert np.array_equal(tempered.take(rows), tempered.p[rows])
    assert np.array_equal(tempered.take(np.ones(150, dtype=bool)), tempered.p)


def test_the_last_temperatures_are_kept_and_no_more():
    samples = drawn(4)
    once = {value: samples.temper(value) for value in (1.0, 4.0, 16.0)}
    assert samples.temper(16.0).columns is once[16.0].columns
    assert samples.temper(4.0).columns is once[4.0].columns
    again = samples.temper(1.0)
    assert again.columns is not once[1.0].columns
    assert np.array_equal(again.columns, once[1.0].columns)
    assert np.array_equal(again.log_norms, once[1.0].log_norms)


def test_what_takes_too_much_memory_is_not_kept(monkeypatch):
    samples = drawn(5)
    monkeypatch.setattr(tempering, "KEPT_BYTES", 8 * samples.log_p.size - 1)
    assert samples.temper(1.0).columns is not samples.temper(1.0).columns


def test_single_precision_is_computed_once_for_a_temperature_that_is_asked_for_again():
    single = make_tempering(drawn(6))
    first, other = single.at(4.0), single.at(1.0)
    assert single.at(1.0) is other
    assert np.array_equal(single.at(4.0).p, first.p)
    assert other.p == pytest.approx(single.samples.temper(1.0).p, rel=1e-4, abs=1e-6)
    assert first.p == pytest.approx(single.samples.temper(4.0).p, rel=1e-4, abs=1e-6)
