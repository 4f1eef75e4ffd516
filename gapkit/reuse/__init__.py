"""How much of a source's knowledge a tuned model still holds, layer by layer, as functions on arrays.

Of two layers (x, y) on the same samples: ``cka``, ``procrustes``, ``svcca``, ``pwcca``, ``rsa``, ``mutual_knn``,
``cknna``, ``subspace_overlap``, and ``cka_matrix`` for all pairs of layers; of one layer: ``alignment``,
``davies_bouldin``, ``nc1`` (features, labels), ``uniformity``, ``effective_rank`` (features).
"""

from gapkit.reuse.cca import pwcca, svcca
from gapkit.reuse.cka import cka, cka_matrix
from gapkit.reuse.neighbour_overlap import cknna, mutual_knn
from gapkit.reuse.procrustes import procrustes
from gapkit.reuse.rsa import rsa
from gapkit.reuse.subspace import subspace_overlap
from gapkit.statistics.effective_rank import effective_rank
from gapkit.statistics.geometry import alignment, davies_bouldin, nc1, uniformity

__all__ = [
    "alignment",
    "cka",
    "cka_matrix",
    "cknna",
    "davies_bouldin",
    "effective_rank",
    "mutual_knn",
    "nc1",
    "procrustes",
    "pwcca",
    "rsa",
    "subspace_overlap",
    "svcca",
    "uniformity",
]
