"""Every measure of reuse that compares layers or looks at one, in the order of their tables."""

from __future__ import annotations

from gapkit.reuse.cca import PWCCA, SVCCA
from gapkit.reuse.cka import CKA
from gapkit.reuse.geometry import NC1, Alignment, DaviesBouldin, EffectiveRank, Geometry, Uniformity
from gapkit.reuse.neighbour_overlap import CKNNA, MutualKNN
from gapkit.reuse.paired import Similarity
from gapkit.reuse.procrustes import Procrustes
from gapkit.reuse.rsa import RSA
from gapkit.reuse.subspace import SubspaceOverlap


def similarities() -> tuple[Similarity, ...]:
    """Of two layers on the same samples."""
    return (CKA(), Procrustes(), SVCCA(), PWCCA(), RSA(), MutualKNN(), CKNNA(), SubspaceOverlap())


def geometries() -> tuple[Geometry, ...]:
    """Of one layer."""
    return (Alignment(), Uniformity(), DaviesBouldin(), NC1(), EffectiveRank())
