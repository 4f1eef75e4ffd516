"""What the field had before: transferability scores and dataset distances, as functions on arrays.

``leep(probs, labels)``, ``nce(source_labels, labels)``; of (features, labels): ``n_leep``, ``logme``, ``h_score``,
``shrunk_h_score``, ``transrate``, ``gbc``, ``lfc``, ``sfda``, ``parc``, ``knn_accuracy``, ``linear_probe_accuracy``; of
two samples (x, y): ``mmd2``, ``energy_distance``, ``sinkhorn_divergence``, ``sliced_wasserstein``,
``frechet_distance``, ``c2st_auc``; and ``otdd(x1, y1, x2, y2)``.
"""

from gapkit.scores.c2st import c2st_auc
from gapkit.scores.energy import energy_distance
from gapkit.scores.frechet import frechet_distance
from gapkit.scores.gbc import gbc
from gapkit.scores.h_score import h_score, shrunk_h_score
from gapkit.scores.leep import leep
from gapkit.scores.lfc import lfc
from gapkit.scores.logme import logme
from gapkit.scores.mmd import mmd2
from gapkit.scores.n_leep import n_leep
from gapkit.scores.nce import nce
from gapkit.scores.otdd import otdd
from gapkit.scores.otdd_options import OTDDOptions, OTDDResult
from gapkit.scores.parc import parc
from gapkit.scores.probes import knn_accuracy, linear_probe_accuracy
from gapkit.scores.sfda import sfda
from gapkit.scores.sinkhorn import SinkhornDivergence, sinkhorn_divergence
from gapkit.scores.sliced import sliced_wasserstein
from gapkit.scores.transrate import transrate

__all__ = [
    "OTDDOptions",
    "OTDDResult",
    "SinkhornDivergence",
    "c2st_auc",
    "energy_distance",
    "frechet_distance",
    "gbc",
    "h_score",
    "knn_accuracy",
    "leep",
    "lfc",
    "linear_probe_accuracy",
    "logme",
    "mmd2",
    "n_leep",
    "nce",
    "otdd",
    "parc",
    "sfda",
    "shrunk_h_score",
    "sinkhorn_divergence",
    "sliced_wasserstein",
    "transrate",
]
