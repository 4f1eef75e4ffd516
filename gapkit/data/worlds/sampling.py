"""Source classes, labels and x, drawn from a world's parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Features, Floats, Labels


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """What the samples of a group have in common; see ``WorldOptions``."""

    size: int = 1
    shift: float = 0.0
    label: bool = False

    def codes(self, n: int) -> Labels:
        """The group of each of n samples: runs of ``size``, the last one possibly shorter."""
        return np.arange(n, dtype=np.int64) // self.size


def draw_classes(
    drawn: Floats, channel: Floats, n: int, grouping: Grouping, rng: np.random.Generator
) -> tuple[Labels, Labels]:
    """Source classes z and labels y of n samples, independent of each other but for labels common to a group.

    ``z ~ t, y ~ A_z``; with a label for each group the same joint distribution the other way round, ``y ~ t A`` for the
    group and ``z ~ t_z A_zy / (t A)_y`` for each of its samples.

    Args:
        drawn: t (K_s,).
        channel: A (K_s, K_t), rows of the classes that can be drawn sum to 1.
        n: samples.
        grouping: whether groups share labels.
        rng: moves on.

    Returns:
        z and y, (n,) each.
    """
    joint = drawn[:, None] * channel
    if grouping.label:
        codes = grouping.codes(n)
        y = categorical(joint.sum(axis=0)[None], np.zeros(int(codes[-1]) + 1, np.int64), rng)[codes]
        return categorical(np.ascontiguousarray(joint.T), y, rng), y
    z = categorical(drawn[None], np.zeros(n, np.int64), rng)
    return z, categorical(joint, z, rng)


def categorical(weights: Floats, rows: Labels, rng: np.random.Generator) -> Labels:
    """One draw for each entry of ``rows`` from that row of ``weights`` (k, m), by inversion.

    The sum of a row does not matter, as long as it is positive; what has weight 0 is never drawn.
    """
    cumulative = weights.cumsum(axis=1)
    present = np.unique(rows)
    uniform, found = rng.random(len(rows)), np.empty(len(rows), np.int64)
    order = np.argsort(rows, kind="stable")
    bounds = np.searchsorted(rows[order], present, side="left").tolist() + [len(rows)]
    for row, start, stop in zip(present.tolist(), bounds[:-1], bounds[1:], strict=True):
        index = order[start:stop]
        # Divided by its last entry, so that the last class with a weight, and every one after it, ends at exactly 1.
        found[index] = np.searchsorted(cumulative[row] / cumulative[row, -1], uniform[index], side="right")
    return found


def observe(means: Floats, z: Labels, grouping: Grouping, rng: np.random.Generator) -> Features:
    """``x = mu_z + sqrt(1 - s) e + sqrt(s) b_group`` with standard normal e and b (n, d): N(mu_z, I) for any s."""
    noise = rng.standard_normal((len(z), means.shape[1]))
    if grouping.shift > 0:
        codes = grouping.codes(len(z))
        shifts = rng.standard_normal((int(codes[-1]) + 1, means.shape[1]))
        noise = np.sqrt(1 - grouping.shift) * noise + np.sqrt(grouping.shift) * shifts[codes]
    return means[z] + noise
