"""Every score and distance that ``measure`` and ``rank`` know, in the order of their tables."""

from __future__ import annotations

from collections.abc import Sequence

from gapkit.errors import OptionError, did_you_mean
from gapkit.scores.c2st import C2st
from gapkit.scores.energy import Energy
from gapkit.scores.frechet import Frechet
from gapkit.scores.gbc import GBC
from gapkit.scores.h_score import HScore, ShrunkHScore
from gapkit.scores.inputs import Distance, Score
from gapkit.scores.leep import LEEP
from gapkit.scores.lfc import LFC
from gapkit.scores.logme import LogME
from gapkit.scores.mmd import Mmd
from gapkit.scores.n_leep import NLEEP
from gapkit.scores.nce import NCE
from gapkit.scores.otdd import OTDD
from gapkit.scores.otdd_options import OTDDOptions
from gapkit.scores.parc import PARC
from gapkit.scores.probes import N_FOLDS, KnnAccuracy, LinearProbeAccuracy
from gapkit.scores.sfda import SFDA
from gapkit.scores.sinkhorn import Sinkhorn
from gapkit.scores.sliced import SlicedWasserstein
from gapkit.scores.transrate import TransRate

ALL, FAST, NONE = "all", "fast", "none"
PIPELINE_LIMIT = 2000
"""Samples of either side for OTDD, which is solved a dozen times for interval and floor."""


def scores(folds: int = N_FOLDS) -> tuple[Score, ...]:
    """Transferability scores; those that are cross-fitted on so many folds."""
    return (
        LEEP(),
        NCE(),
        NLEEP(),
        LogME(),
        HScore(),
        ShrunkHScore(),
        TransRate(),
        GBC(),
        LFC(),
        SFDA(),
        PARC(),
        KnnAccuracy(n_folds=folds),
        LinearProbeAccuracy(n_folds=folds),
    )


def distances(folds: int = N_FOLDS) -> tuple[Distance, ...]:
    """Distances between the target and the surrogate; a classifier is cross-fitted on so many folds."""
    return (
        Mmd(),
        Energy(),
        Sinkhorn(),
        SlicedWasserstein(),
        Frechet(),
        C2st(folds=folds),
        OTDD(options=OTDDOptions(limit=PIPELINE_LIMIT)),
    )


def chosen_measures(names: Sequence[str], *, folds: int = N_FOLDS) -> tuple[tuple[Score, ...], tuple[Distance, ...]]:
    """The scores and distances that names stand for: "all", "fast" (the cheap scores), "none", or single ones.

    Raises:
        OptionError: an unknown name, or "none" beside others.
    """
    known_scores = {score.traits.name: score for score in scores(folds)}
    known_distances = {distance.traits.name: distance for distance in distances(folds)}
    known = [*known_scores, *known_distances, ALL, FAST, NONE]
    for name in names:
        if name not in known:
            raise OptionError(
                f"score {name!r}", expected="one of " + ", ".join(known), remedy=did_you_mean(name, known)
            )
    if not names or (NONE in names and len(names) > 1):
        raise OptionError(
            f"scores {', '.join(names) or '(nothing)'}",
            expected="none alone, or names",
            remedy="use none, fast, all, or names with commas between",
        )
    wanted = set(names)
    if ALL in wanted:
        wanted |= set(known)
    if FAST in wanted:
        wanted |= {name for name, score in known_scores.items() if score.traits.fast}
    return (
        tuple(score for name, score in known_scores.items() if name in wanted),
        tuple(distance for name, distance in known_distances.items() if name in wanted),
    )
