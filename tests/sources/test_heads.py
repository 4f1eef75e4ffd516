"""Heads for sources that have none."""

from __future__ import annotations

import numpy as np
import pytest

from gapkit.arrays import Array, generator
from gapkit.errors import SourceError
from gapkit.sources.heads import complete_head, matched_variance, probe_logits, prototype_logits
from gapkit.types import Activations, Target

CENTRES = generator(11).normal(size=(4, 6)) * 4


def cloud(seed: int, n_per_class: int = 30, shift: float = 0.0) -> tuple[Array, Array]:
    """Four Gaussian classes in six dimensions."""
    labels = np.repeat(np.arange(4), n_per_class)
    return CENTRES[labels] + generator(seed).normal(size=(len(labels), 6)) + shift, labels


def activations(
    features: Array, labels: Array, *, name: str = "t", n_logits: int = 0, **options: object
) -> Activations:
    """Activations of a source with features alone, unless it has logits."""
    return Activations(
        target=Target(features, labels, name=name, **options),
        source="s",
        embedder="e",
        features={"block": features.astype(np.float32), "features": features.astype(np.float32)},
        logits=np.zeros((len(features), n_logits), np.float32),
        source_classes=tuple(str(k) for k in range(n_logits)),
    )


def test_a_source_with_a_head_keeps_it() -> None:
    given = activations(*cloud(0), n_logits=3)
    assert complete_head(given, None, seed=0) is given


def test_probe_on_the_surrogate_knows_its_classes() -> None:
    names = ["unused", "a", "b", "c", "d"]
    x, y = cloud(0)
    surrogate = activations(x, y + 1, name="pictures", class_names=names)
    found = complete_head(activations(*cloud(1)), surrogate, seed=0)
    assert found.head == "probe on pictures"
    assert found.source_classes == ("a", "b", "c", "d")
    assert found.logits.dtype == np.float32
    assert (found.logits.argmax(axis=1) == cloud(1)[1]).mean() > 0.95
    again = complete_head(activations(*cloud(1)), surrogate, seed=0)
    assert np.array_equal(again.logits, found.logits)


def test_probe_of_two_classes_gives_sklearns_probabilities() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    x, y = cloud(0)
    pair = y < 2
    logits, codes = probe_logits(x[pair], y[pair], x, seed=0)
    assert codes == [0, 1]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    scaler = StandardScaler().fit(x[pair])
    candidates = [
        LogisticRegression(C=c, max_iter=2000)
        .fit(scaler.transform(x[pair]), y[pair])
        .predict_proba(scaler.transform(x))
        for c in (0.001, 0.01, 0.1, 1.0)
    ]
    assert min(np.abs(p - other).max() for other in candidates) < 1e-9


def test_probe_regularises_where_features_are_noise() -> None:
    """On pure noise the least penalty overfits: held-out choice must end near the class prior."""
    rng = generator(3)
    x, y = rng.normal(size=(120, 60)), np.arange(120) % 3
    logits, _ = probe_logits(x, y, rng.normal(size=(50, 60)), seed=0)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert p.max() < 0.6


@pytest.mark.parametrize(
    ("surrogate", "words"),
    [
        (activations(cloud(0)[0][:, :5], cloud(0)[1], name="p"), "p has 5 features and the target 6"),
        (activations(cloud(0)[0], cloud(0)[1] * 0.5, name="p", task="regression"), "p has task regression"),
    ],
)
def test_surrogates_that_give_no_head(surrogate: Activations, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        complete_head(activations(*cloud(1)), surrogate, seed=0)


def test_prototypes_without_a_surrogate_use_no_labels() -> None:
    x, y = cloud(1)
    found = complete_head(activations(x, y), None, seed=0)
    shuffled = complete_head(activations(x, generator(9).permutation(y)), None, seed=0)
    assert found.source_classes == tuple(f"prototype {k}" for k in range(12))
    assert "k=12" in found.head
    assert "no labels" in found.head
    assert np.array_equal(found.logits, shuffled.logits)
    assert not np.array_equal(found.logits, complete_head(activations(x, y), None, seed=1).logits)


def test_prototype_logits_are_the_posterior_of_equal_gaussians() -> None:
    """With as many prototypes as classes: s^2 from the within-cluster covariance, summed up sample by sample."""
    x, y = cloud(2, n_per_class=400)
    logits = prototype_logits(x, 4, seed=0)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    assert all(len(set(logits[y == k].argmax(axis=1))) == 1 for k in range(4))
    assignment = logits.argmax(axis=1)
    centres = np.stack([z[assignment == k].mean(axis=0) for k in range(4)])
    within = z - centres[assignment]
    covariance = np.zeros((6, 6))
    for row in within:
        covariance += np.outer(row, row) / len(within)
    variance = np.trace(covariance @ covariance) / np.trace(covariance)
    expected = np.array([[-((row - c) ** 2).sum() / (2 * variance) for c in centres] for row in z])
    np.testing.assert_allclose(logits, expected, rtol=1e-6, atol=1e-6)


def test_matched_variance_counts_a_repeated_feature_once() -> None:
    rng = generator(5)
    noise = rng.normal(size=(4000, 8))
    assert matched_variance(noise) == pytest.approx(1.0, abs=0.05)
    column = rng.normal(size=(4000, 1))
    assert matched_variance(np.repeat(column, 8, axis=1)) == pytest.approx(8 * column.var(), rel=0.05)
    wide = rng.normal(size=(5, 40))
    dense = wide.T @ wide / 5
    assert matched_variance(wide) == pytest.approx(np.trace(dense @ dense) / np.trace(dense))


def test_few_different_rows_give_few_prototypes() -> None:
    x = np.repeat([[0.0, 1.0], [1.0, 0.0]], 30, axis=0)
    found = complete_head(activations(x, np.arange(60) % 3), None, seed=0)
    assert found.logits.shape == (60, 2)
    assert np.isfinite(found.logits).all()
