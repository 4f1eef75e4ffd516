"""Refitted label maps as lines, each with the share of folds that agree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gapkit.arrays import Floats, Indices
from gapkit.gap.inputs import MapEntry, RefittedMap
from gapkit.gap.label_maps.channel import Channel
from gapkit.gap.label_maps.injection import Injection
from gapkit.gap.label_maps.partition import IGNORED, Partition
from gapkit.gap.label_maps.tempering import Samples

LEAST_MASS = 0.01
"""Joint mass from which a channel's line is shown."""


def read_injection(whole: Injection, folds: Sequence[Injection]) -> RefittedMap:
    """Sigma as lines, one for each target class."""
    agreement = np.mean([fold.sigma == whole.sigma for fold in folds], axis=0)
    return RefittedMap(
        family="injection",
        temperature=whole.temperature,
        eps=whole.eps,
        optimal=whole.optimal,
        entries=tuple(
            MapEntry(target=y, source=int(z), agreement=float(agreement[y])) for y, z in enumerate(whole.sigma)
        ),
    )


def read_partition(whole: Partition, folds: Sequence[Partition]) -> RefittedMap:
    """The reading as lines, one for each source class; ignored ones have no target."""
    agreement = np.mean([fold.reading == whole.reading for fold in folds], axis=0)
    return RefittedMap(
        family="partition",
        temperature=whole.temperature,
        eps=whole.eps,
        optimal=whole.optimal,
        entries=tuple(
            MapEntry(target=None if y == IGNORED else int(y), source=z, agreement=float(agreement[z]))
            for z, y in enumerate(whole.reading)
        ),
    )


def read_channel(samples: Samples, whole: Channel, folds: Sequence[Channel]) -> RefittedMap:
    """Lines of enough mass, heaviest first, each with the share of folds that show it too."""
    mass = joint_mass(samples, whole)
    shown = np.mean([joint_mass(samples, fold) >= LEAST_MASS for fold in folds], axis=0)
    lines: Indices = np.argwhere(mass >= LEAST_MASS)
    lines = lines[np.argsort(-mass[lines[:, 0], lines[:, 1]], kind="stable")]
    return RefittedMap(
        family="channel",
        temperature=whole.temperature,
        eps=whole.eps,
        pseudo_count=whole.pseudo_count,
        gap=whole.gap if np.isfinite(whole.gap) else None,
        iterations=whole.iterations if np.isfinite(whole.gap) else None,
        entries=tuple(
            MapEntry(target=int(y), source=int(z), agreement=float(shown[z, y]), mass=float(mass[z, y]))
            for z, y in lines
        ),
    )


def joint_mass(samples: Samples, fitted: Channel) -> Floats:
    """``(1/n) sum_i p_iz A_zy / (p_i A 1)`` (K_s, K_t): how much of the answers each line gives; sums to 1."""
    columns = samples.temper(fitted.temperature).columns
    answers = fitted.matrix.sum(axis=1) @ columns
    return (columns @ (1 / answers) / len(answers))[:, None] * fitted.matrix
