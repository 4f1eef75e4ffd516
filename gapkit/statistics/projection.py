"""Maps of high-dimensional features on a plane, for people to look at."""

from __future__ import annotations

from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits  # pyright: ignore[reportMissingTypeStubs]

from gapkit.arrays import Features, Floats
from gapkit.statistics.scaling import fit_scaling

PERPLEXITY = 30.0
START_SPREAD = 1e-4
"""Standard deviation of the map that the search starts from, as in scikit-learn."""


def tsne(features: Features, *, start: Floats | None = None, seed: int = 0) -> Floats:
    """t-SNE (van der Maaten and Hinton, JMLR 2008) of standardised features, (n, 2); scikit-learn's.

    Neighbourhoods are shown, distances between clusters and their sizes are not. The perplexity is 30, or a third of
    the samples where that is less. One thread: the same seed gives the same bits.

    Args:
        features: (n, d), n >= 4.
        start: (n, 2) another map of the same samples, for maps to be compared; the principal axes by default.
        seed: of the optimiser.
    """
    from sklearn.manifold import TSNE  # pyright: ignore[reportMissingTypeStubs]

    scaled = fit_scaling(features).apply(features).astype(np.float32)
    begin: Any = "pca" if start is None else (start / start[:, 0].std() * START_SPREAD).astype(np.float32)
    search: Any = TSNE(perplexity=min(PERPLEXITY, (len(features) - 1) / 3), init=begin, random_state=seed, n_jobs=1)
    with threadpool_limits(1):
        return np.asarray(search.fit_transform(scaled), dtype=np.float64)
