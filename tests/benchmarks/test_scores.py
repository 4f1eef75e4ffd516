"""What the scores of one labelling cost together beside one product ``F.T @ F``, and how much memory they take."""

from __future__ import annotations

import logging

import numpy as np
import pytest

PAIRS, LIMIT = 20, 6.0
D, MATRICES = 768, 12
"""d x d matrices that may be held beside the features: scatter, axes and workspaces; the features are 13 of them."""


@pytest.mark.benchmark
def test_seven_scores_cost_at_most_six_products(run_worker, median_interval) -> None:
    spent = {name: np.array(values) for name, values in run_worker("scores_worker.py", "time", str(PAIRS)).items()}
    assert len(spent["product"]) == PAIRS
    median, low, high = median_interval(spent["together"] / spent["product"])
    parts = ", ".join(f"{name} {np.median(values / spent['product']):.2f}" for name, values in spent.items())
    said = f"seven scores take {median:.2f} ({low:.2f} to {high:.2f}) times F.T @ F, {PAIRS} pairs: {parts}"
    logging.getLogger(__name__).info(said)  # shown by --log-cli-level=INFO
    assert low <= LIMIT, said


@pytest.mark.benchmark
def test_200_permutations_of_a_small_target_take_a_few_milliseconds_each(run_worker) -> None:
    spent = run_worker("scores_worker.py", "small")
    said = ", ".join(f"{name} {1000 * seconds:.2f} ms" for name, seconds in spent.items())
    logging.getLogger(__name__).info(said)
    assert max(seconds for name, seconds in spent.items() if name != "transrate") < 0.01, said
    assert sum(spent.values()) < 0.04, said


@pytest.mark.benchmark
def test_no_score_of_features_copies_them(run_worker) -> None:
    grown = run_worker("scores_worker.py", "memory")
    logging.getLogger(__name__).info("the peak grows by %.1f MiB", grown / 2**20)
    assert grown <= MATRICES * 8 * D * D
