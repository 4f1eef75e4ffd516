"""The channel family: ``q_A(y | x) = (pA)_y / (pA 1)`` for any A >= 0, mixed with the class prior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gapkit.arrays import Array
from gapkit.gap.inputs import check_probabilities
from gapkit.gap.label_maps import injection as injections
from gapkit.gap.label_maps import partition as partitions
from gapkit.gap.label_maps.channel_in_sample import fit_in_sample
from gapkit.gap.label_maps.channel_map import Channel, ChannelFit
from gapkit.gap.label_maps.channel_parts import fit_parts
from gapkit.gap.label_maps.parts import Part, canonical_part
from gapkit.gap.label_maps.tempering import Samples, log_of

__all__ = ["Channel", "ChannelFit", "fit_channel", "fit_in_sample", "fit_parts"]


def fit_channel(
    probs: Array,
    labels: Array,
    *,
    n_classes: int | None = None,
    temperature: float | None = None,
    pseudo_count: float | None = None,
    seed: int = 0,
) -> Channel:
    """Fit a channel under KL: the start of MM, T and c on an inner split, eps on inner folds.

    Four runs are compared on the inner split: the row-stochastic optimum (EM), MM from it, MM from the partition mixed
    with 1 % of it, and the partition as it stands; only the winner is fitted to all samples. The result's ``start``
    says which one it is; ``gap`` certifies how far the row-stochastic stage may be from its optimum, in nats, after
    ``iterations`` steps of EM; ``change`` is the relative gain of the last cycle of the ``relaxations`` steps of MM,
    which has no certificate, as its objective is not concave.

    Args:
        probs: (n, K_s) source conditional, rows sum to 1.
        labels: (n,) target class codes 0 .. K_t - 1.
        n_classes: K_t; by default the largest code + 1.
        temperature: T; by default chosen on the grid [0.25, 64].
        pseudo_count: c, in samples per source class; by default chosen from 0 to 3. With a given one the partition as
            it stands, which has none, is left out.
        seed: of the inner folds and of the partition's injection.

    Raises:
        DataError: arrays that do not fit together.

    Example:
        >>> import numpy as np
        >>> probs = np.tile([[0.1, 0.1, 0.8], [0.7, 0.2, 0.1]], (20, 1))
        >>> fit_channel(probs, np.tile([0, 1], 20)).matrix.argmax(axis=1).tolist()
        [1, 1, 0]
    """
    probs, labels, n_classes = check_probabilities(probs, labels, n_classes)
    samples, part, columns = canonical_part(log_of(probs), labels, n_classes=n_classes, seed=seed)
    parts = [part]
    found = None if probs.shape[1] < n_classes else _partitions(samples, parts, seed=seed)
    fits = fit_parts(samples, parts, partitions=found, temperature=temperature, pseudo_count=pseudo_count)
    return replace(fits[0].channel, matrix=fits[0].channel.matrix[np.argsort(columns)])


def _partitions(samples: Samples, parts: list[Part], *, seed: int) -> Sequence[partitions.PartitionFit]:
    """The partition of each part, from its injection."""
    starts = injections.fit_parts(samples, parts, injections.Search(seed=seed))
    return partitions.fit_parts(samples, parts, starts)
