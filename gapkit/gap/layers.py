"""What can be read off each layer of the source: the families that read features, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from gapkit.arrays import Array
from gapkit.errors import DataError, OptionError
from gapkit.estimates import Misalignment
from gapkit.gap.families import fit_readers
from gapkit.gap.inputs import GapOptions
from gapkit.gap.label_maps.channel import ChannelFit
from gapkit.gap.problem import Problem
from gapkit.gap.scoring import Scoring, score_families
from gapkit.types import Progress, no_progress

READERS = ("linear", "ceiling")
TASK = "layers"


def check_layers(layers: Mapping[str, Array], n: int, options: GapOptions) -> None:
    """Refuse features that are no row for each sample.

    Raises:
        DataError: another shape, or numbers that are not finite.
        OptionError: the channel, which the families that read features start from, is not asked for.
    """
    if layers and "channel" not in options.families:
        raise OptionError(
            f"layers with the families {', '.join(options.families)}",
            expected="the family channel, which linear and ceiling start from",
            remedy="add channel to the families",
        )
    for name, features in layers.items():
        if np.ndim(features) != 2 or len(features) != n or not np.isfinite(features).all():
            raise DataError(
                f"features of layer {name} have shape {np.shape(features)}",
                expected=f"finite numbers ({n}, d), one row for each row of log_probabilities",
                remedy="pool tokens or maps first",
            )


def layer_rows(
    problem: Problem,
    channels: Sequence[ChannelFit],
    layers: Mapping[str, Array],
    scoring: Scoring,
    options: GapOptions,
    progress: Progress = no_progress,
) -> dict[str, tuple[Misalignment, ...]]:
    """Rows of "linear" and "ceiling" on each layer's features: same folds, same channel, same resamples.

    There is no permutation test layer by layer.

    Args:
        problem: samples and folds; its order leads from the layers' order of samples to its own.
        channels: of each fold.
        layers: layer -> features (n, d); one layer at a time is in float64.
        scoring: what is scored.
        options: which families, members of the ceiling and discrepancies.
        progress: told about each layer.
    """
    wanted = replace(options, families=tuple(name for name in READERS if name in options.families) or READERS)
    found: dict[str, tuple[Misalignment, ...]] = {}
    for done, (name, features) in enumerate(layers.items()):
        here = replace(problem, features=np.ascontiguousarray(np.asarray(features, dtype=np.float64)[problem.order]))
        fits = fit_readers(here, channels, wanted, no_progress)
        found[name] = score_families(scoring, fits, options.discrepancies).rows
        progress(TASK, done + 1, len(layers))
    return found
