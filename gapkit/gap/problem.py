"""What families are fitted on: samples sorted by class, with the fitting side of every fold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Features, Floats, Indices, Labels, TargetProbabilities
from gapkit.gap.inputs import ConditionalInputs
from gapkit.gap.label_maps.parts import Part, fold_parts
from gapkit.gap.label_maps.tempering import Samples, sort_samples
from gapkit.statistics.folds import Folds


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One source on one target, on given folds; every array has its samples sorted by class.

    Attributes:
        samples: log p and labels.
        features: (n, d) source features.
        parts: one for each fold and, last, all samples.
        folds: (n,) the fold that a sample is scored in, -1 where it never is.
        groups: (n,) codes of samples that belong together, or None.
        values: (n,) the regression target that labels are bins of, or None.
        tuned: (n, K_t) predictions of a tuned model, or None.
        seed: of random starts, networks and resamples.
        order: (n,) sample j is sample ``order[j]`` of the inputs.
    """

    samples: Samples
    features: Features
    parts: list[Part]
    folds: Labels
    groups: Labels | None
    values: Floats | None
    tuned: TargetProbabilities | None
    seed: int
    order: Indices

    @property
    def n_source(self) -> int:
        """K_s."""
        return self.samples.log_p.shape[1]

    @property
    def n_target(self) -> int:
        """K_t, of classes that are present."""
        return self.samples.n_classes

    def prior_held_out(self) -> TargetProbabilities:
        """The cross-fitted class prior (n, K_t): pi of the fold that scores a sample, else of all samples."""
        q = np.tile(self.parts[-1].prior, (len(self.folds), 1))
        for part in self.parts:
            q[part.scored] = part.prior
        return q


def prepare(inputs: ConditionalInputs, folds: Folds, *, seed: int) -> Problem:
    """Sort samples by class and make the parts; every class of the inputs has a sample."""
    samples, order = sort_samples(inputs.log_probabilities, inputs.labels, inputs.n_classes)
    made = fold_parts(inputs.labels, folds, groups=inputs.groups, n_classes=inputs.n_classes, seed=seed)
    return Problem(
        samples=samples,
        features=np.ascontiguousarray(inputs.features[order]),
        parts=[part.take(order) for part in made],
        folds=folds.ids[order],
        groups=None if inputs.groups is None else inputs.groups[order],
        values=None if inputs.values is None else inputs.values[order],
        tuned=None if inputs.tuned is None else inputs.tuned[order],
        seed=seed,
        order=order,
    )
