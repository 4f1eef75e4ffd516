"""A small multilayer perceptron, its number of epochs chosen on an inner split."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from gapkit.arrays import Array, Features, Labels, Mask, PerSample, TargetProbabilities, generator
from gapkit.statistics.logistic import log_loss

HIDDEN = 64
LEARNING_RATE = 5e-3
WEIGHT_DECAY = 1.0
"""scikit-learn's alpha, which it divides by the batch size."""
MOST_EPOCHS, PATIENCE = 40, 5
LEAST_BATCH, MOST_BATCH, BATCHES = 16, 200, 16
"""About 16 batches an epoch, of 16 to 200 samples."""
NETWORK_STREAM = 6


@dataclass(frozen=True, kw_only=True)
class Perceptron:
    """scikit-learn's MLPClassifier: one hidden layer of 64 rectified units, Adam, a number of epochs fixed beforehand.

    Attributes:
        network: the fitted classifier; its classes are 0 .. K - 1.
        epochs: passes over the samples that it was fitted on.
    """

    network: object
    epochs: int

    def predict(self, regressors: Features) -> TargetProbabilities:
        """Probabilities (n, K) of regressors (n, d)."""
        network: Any = self.network
        if not len(regressors):
            return np.empty((0, len(network.classes_)))
        q = np.asarray(network.predict_proba(_single(regressors)), dtype=np.float64)
        return q / q.sum(axis=1, keepdims=True)


@dataclass(frozen=True, kw_only=True)
class ChosenPerceptron:
    """A perceptron whose number of epochs was chosen.

    Attributes:
        model: fitted without the validation samples.
        validation: (n_v, K) its probabilities of the validation samples.
    """

    model: Perceptron
    validation: TargetProbabilities


def choose_perceptron(
    regressors: Features,
    labels: Labels,
    validation: Mask,
    *,
    n_classes: int,
    seed: int,
    criterion: Callable[[PerSample], float] = log_loss,
) -> ChosenPerceptron:
    """Stop where the validation loss is least, and keep the network as it was there.

    Trained anew on all samples for as many epochs it is another network, of a loss that nothing has looked at: on one
    real target 0.36 nats on new samples, instead of the 0.32 that the stopped one keeps.

    Args:
        regressors: (n, d) of the fitting side, standardised by the caller.
        labels: (n,) class codes.
        validation: (n,) the samples that the number of epochs is chosen on.
        n_classes: K.
        seed: of weights and batches.
        criterion: loss from the probabilities (n_v,) that the validation samples' own classes get.
    """
    network = _make_network(int((~validation).sum()), seed)
    held_out, own_labels = regressors[validation], labels[validation]
    fitted, fitted_labels = _single(regressors[~validation]), labels[~validation]
    best_loss, best, waited = np.inf, Perceptron(network=network, epochs=1), 0
    probabilities = np.empty((len(held_out), n_classes))
    for epoch in range(1, MOST_EPOCHS + 1):
        _train(network, fitted, fitted_labels, n_classes)
        current = Perceptron(network=network, epochs=epoch)
        q = current.predict(held_out)
        loss = criterion(q[np.arange(len(q)), own_labels])
        waited += 1
        if loss < best_loss:
            best_loss, probabilities, waited = loss, q, 0
            best = Perceptron(network=deepcopy(network), epochs=epoch)
        if waited >= PATIENCE:
            break
    return ChosenPerceptron(model=best, validation=probabilities)


def fit_perceptron(regressors: Features, labels: Labels, *, n_classes: int, epochs: int, seed: int) -> Perceptron:
    """Train for a fixed number of epochs.

    Args:
        regressors: (n, d), standardised by the caller.
        labels: (n,) class codes.
        n_classes: K.
        epochs: passes over the samples.
        seed: of weights and batches.

    Example:
        >>> x = np.repeat([[-1.0], [1.0]], 20, axis=0)
        >>> model = fit_perceptron(x, np.repeat([0, 1], 20), n_classes=2, epochs=30, seed=0)
        >>> model.predict(np.array([[-1.0], [1.0]])).argmax(axis=1).tolist()
        [0, 1]
    """
    network = _make_network(len(regressors), seed)
    fitted = _single(regressors)
    for _ in range(epochs):
        _train(network, fitted, labels, n_classes)
    return Perceptron(network=network, epochs=epochs)


def _make_network(size: int, seed: int) -> object:
    """An untrained network for ``size`` samples."""
    from sklearn.neural_network import MLPClassifier  # pyright: ignore[reportMissingTypeStubs]

    state = np.random.RandomState(generator(seed, NETWORK_STREAM).integers(1 << 31))
    # scikit-learn's own annotation allows only "auto".
    batch: Any = min(size, int(np.clip(size // BATCHES, LEAST_BATCH, MOST_BATCH)))
    return MLPClassifier(
        hidden_layer_sizes=(HIDDEN,),
        alpha=WEIGHT_DECAY,
        learning_rate_init=LEARNING_RATE,
        batch_size=batch,
        random_state=state,
    )


def _train(network: object, regressors: Array, labels: Labels, n_classes: int) -> None:
    """One epoch; ``partial_fit`` looks neither for convergence nor at samples of its own choice."""
    cast(Any, network).partial_fit(regressors, labels, classes=np.arange(n_classes))


def _single(regressors: Features) -> Array:
    """Float32, which halves the time; scikit-learn wants at least one column."""
    return regressors.astype(np.float32) if regressors.shape[1] else np.zeros((len(regressors), 1), dtype=np.float32)
