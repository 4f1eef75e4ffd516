"""Gram matrices that are read from the products of all rows, when that is done, and what TransRate makes of them."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from gapkit.errors import UndefinedError
from gapkit.scores import row_products
from gapkit.scores.inputs import ScoreInputs
from gapkit.scores.row_products import products_pay
from gapkit.scores.transrate import TransRate
from gapkit.statistics.centred import CentredRows
from gapkit.statistics.mapped import HELD


@pytest.mark.parametrize("side", [1, 7, 100])
def test_gram_matrices_are_those_of_the_rows(monkeypatch, side):
    monkeypatch.setattr(row_products, "SIDE", side)
    rng = np.random.default_rng(0)
    rows = CentredRows(rows=rng.normal(size=(40, 5)), centre=rng.normal(size=5))
    products = row_products.row_products(rows)
    for count in (0, 1, 9, 40):
        index = np.sort(rng.permutation(40)[:count])
        taken = rows.take(index)
        assert np.tril(products.among(index)) == pytest.approx(np.tril(taken @ taken.T), rel=1e-13, abs=1e-13)


def test_products_are_made_where_they_fit_and_are_read_often():
    assert products_pay(5000, 3 * 5000**2)
    assert not products_pay(5000, 5000**2)
    assert not products_pay(6000, 10**12)
    rows = CentredRows(rows=np.zeros((1100, 1)))
    assert sum(tile.nbytes for tile in row_products.row_products(rows).tiles) <= 4 * 1100 * (1100 + row_products.SIDE)
    assert 4 * 5000 * (5000 + row_products.SIDE) <= HELD


@pytest.mark.parametrize(("n", "d"), [(80, 200), (90, 60), (90, 12)])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("rank", [2, None])
def test_several_labellings_score_as_each_alone(monkeypatch, n, d, scale, rank):
    """Of 12 features, one class has more samples than features, and another has fewer."""
    made = []

    def counted(rows):
        made.append(len(rows.rows))
        return row_products.row_products(rows)

    monkeypatch.setattr(sys.modules[TransRate.__module__], "row_products", counted)
    rng = np.random.default_rng([n, d])
    labels = np.append(np.zeros(8, dtype=np.int64), 1 + np.arange(n - 8) % 2)
    features = scale * (rng.normal(size=(n, rank or d)) @ (rng.normal(size=(rank or d, d)) if rank else np.eye(d)))
    score = TransRate().on(ScoreInputs(features=features, labels=labels))
    labellings = [rng.permutation(labels) for _ in range(300 if d == 12 else 20)]
    expected = [score(other) for other in labellings]
    assert score.several(labellings) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    # Coordinates on two axes have a smaller matrix of their own.
    assert made == ([] if rank and n <= d else [n])
    assert score.several(labellings[:1]) == pytest.approx(expected[:1], rel=1e-12)
    assert len(made) <= 1  # one labelling is not worth it
    with pytest.raises(UndefinedError, match="same label"):
        score.several([labels, 0 * labels])
