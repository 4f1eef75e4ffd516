"""Small worlds: a source conditional, features and labels with a known relation."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from gapkit.gap import ConditionalInputs


@dataclass(frozen=True, kw_only=True)
class World:
    """Arrays of one world; ``log_p`` is the source's log-softmax."""

    log_p: np.ndarray
    features: np.ndarray
    labels: np.ndarray

    @property
    def probs(self) -> np.ndarray:
        return np.exp(self.log_p)

    def inputs(self, **more: object) -> ConditionalInputs:
        given = {"n_classes": int(self.labels.max()) + 1} | more
        return ConditionalInputs(log_probabilities=self.log_p, features=self.features, labels=self.labels, **given)


def make_world(
    seed: int = 0,
    *,
    n: int = 200,
    n_source: int = 12,
    shares: tuple[float, ...] = (0.25, 0.25, 0.25, 0.25),
    signal: float = 1.0,
    sharpness: float = 2.0,
) -> World:
    """Gaussian classes seen through a random head with ``n_source`` outputs; signal 0 knows nothing of the labels."""
    rng = np.random.default_rng([seed, 11])
    labels = rng.permutation(np.repeat(np.arange(len(shares)), np.round(np.array(shares) * n).astype(int)))
    features = signal * rng.normal(size=(len(shares), 10))[labels] + rng.normal(size=(len(labels), 10))
    logits = sharpness * features @ rng.normal(size=(10, n_source)) / np.sqrt(10)
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return World(log_p=log_p, features=features, labels=labels)


@pytest.fixture(name="world", scope="session")
def world_factory() -> Callable[..., World]:
    return make_world


@pytest.fixture(name="estimates", scope="session")
def naive_estimates() -> ModuleType:
    """The naive loops of the estimation; what is fitted to one set of samples is ``estimates.naive``."""
    spec = importlib.util.spec_from_file_location("naive_estimates", Path(__file__).with_name("naive_estimates.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(name="naive", scope="session")
def naive_fits(estimates: ModuleType) -> ModuleType:
    """The naive loops of prior, mixing, discrepancies and label maps."""
    return estimates.naive
