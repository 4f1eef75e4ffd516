"""LogME: how probable the targets are under a Bayesian linear model on the features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gapkit.arrays import Array, Floats
from gapkit.coercion import as_array, check_present
from gapkit.errors import DataError, UndefinedError
from gapkit.labels import Task
from gapkit.options import check_choice
from gapkit.scores.checks import check_features, encode, present_classes
from gapkit.scores.evidence import Evidence, Regression, Targets
from gapkit.scores.inputs import ScoreInputs
from gapkit.statistics.class_sums import class_counts
from gapkit.statistics.scaling import power_of_two
from gapkit.statistics.spectrum import Spectrum
from gapkit.types import Traits


def logme(features: Array, labels: Array, *, task: Task = "classification") -> float:
    """Maximum evidence per sample, averaged over classes, labels or targets (You et al., ICML 2021 and JMLR 2022).

    ``t ~ N(F w, I / beta)``, ``w ~ N(0, I / alpha)``, without an intercept, at the alpha and beta of largest evidence,

    ``1/n [d/2 log alpha + n/2 log beta - 1/2 log |alpha I + beta F'F| - beta/2 |F m - t|^2 - alpha/2 |m|^2
    - n/2 log 2 pi]``.

    t is 1 for the samples of a class and 0 elsewhere, and the score is the mean over the classes that have a sample. In
    nats per sample, of a density: any real number, higher is better, comparable between sources of one target only.
    Invariant to rotation and scale of the features, not to a shift (there is no intercept), nor, for regression, to the
    scale of the target.

    Deviations from the original code: it drops ``(d - k) / 2 log alpha`` wherever the features have rank k < d, as with
    fewer samples than features; adds 1e-5 to denominators, which makes the score depend on scales; and stops where its
    fixed-point iteration does, which can be a lesser maximum. Here the evidence is exact for every n, d and rank, and
    its maximum is found by a grid and Newton's method (``gapkit.scores.evidence``). Where it lies in a limit, the score
    is the limit: weights of 0 for features that tell nothing, no noise where n samples have n independent features.

    Args:
        features: (n, d).
        labels: (n,) integers or strings; (n,) or (n, k) numbers for regression; (n, k) zeros and ones for multilabel.
        task: "classification", "regression" or "multilabel". Labels of a multilabel target that no sample or every
            sample has are left out.

    Raises:
        DataError: arrays that cannot be used.
        OptionError: an unknown task.
        UndefinedError: a single class, a target that is constant, or one that is an exact linear function of fewer than
            n independent features, so that the evidence has no bound.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels = np.arange(60) % 3
        >>> good = np.eye(3)[labels] + 0.1 * rng.normal(size=(60, 3))
        >>> logme(good, labels) > logme(rng.normal(size=(60, 3)), labels)
        True
    """
    x = check_features(features)
    check_choice("task", task, LogME.traits.tasks)
    if task == "classification":
        given: Array = encode(labels, len(x))
    else:
        given = _check_targets(labels, len(x), task)
    return LogME().on(ScoreInputs(features=x, labels=given))(given)


@dataclass(frozen=True, kw_only=True)
class LogME:
    """Estimator of ``logme``.

    The labels say the task: (n,) integers are classes, floats are real targets, (n, k) are several of either.
    """

    traits: ClassVar[Traits] = Traits(
        name="logme",
        title="LogME",
        formula="mean_c max_(a,b) 1/n log N(t_c | 0, F F' / a + I / b), t_c = 1[y = c]",
        paper="You et al., LogME: Practical Assessment of Pre-trained Models for Transfer Learning, ICML 2021; Ranking "
        "and Tuning Pre-trained Models, JMLR 2022",
        needs=("features", "labels"),
        lowest=None,
        highest=None,
        better="higher",
        unit="nats per sample",
        conditional=True,
        invariant=("sample_order", "class_names", "orthogonal", "scale"),
        tasks=("classification", "regression", "multilabel"),
        cost="O(n d^2 + d^3) once, O(n d + C d^2) for each labelling",
        avoids="the missing (d - k) log alpha where the rank k is below d; epsilons of 1e-5; absent classes that count",
    )

    def on(self, inputs: ScoreInputs) -> Callable[[Array], float]:
        """Find the axes of the features once.

        Raises:
            UndefinedError: by the function that is returned, as ``logme`` does.
        """
        regression = Regression(spectrum=inputs.spectrum)
        return lambda labels: float(evidence(regression, labels).values.mean())


def evidence(regression: Regression, labels: Array) -> Evidence:
    """Largest evidence of every class, label or target, with its alpha and beta.

    Raises:
        UndefinedError: as ``logme`` does.
    """
    spectrum = regression.spectrum
    if labels.dtype.kind == "f" or labels.ndim == 2:
        return _of_real(regression, labels)
    codes, n_classes = present_classes(labels)
    means = class_counts(codes, n_classes) / spectrum.n
    squares = spectrum.n * means * (1 - means)
    return regression.maximise(Targets(products=spectrum.class_sums(codes, n_classes), means=means, squares=squares))


def _of_real(regression: Regression, labels: Array) -> Evidence:
    """Largest evidence of every real target, each computed in a unit of its own where it is very large or small."""
    columns = labels.reshape(len(labels), -1).astype(np.float64)
    units = np.array([power_of_two(column) for column in columns.T])
    columns = columns / units
    varying = (columns != columns[0]).any(axis=0)
    found, own = regression.maximise(_real(regression.spectrum, columns[:, varying])), units[varying]
    with np.errstate(over="ignore", under="ignore"):  # precisions alone: evidence is their logarithm
        return Evidence(values=found.values - np.log(own), alpha=found.alpha / own / own, beta=found.beta / own / own)


def _real(spectrum: Spectrum, columns: Floats) -> Targets:
    """Real targets that are not constant.

    Raises:
        UndefinedError: none is left.
    """
    if columns.shape[1] == 0:
        raise UndefinedError(
            "a target that is the same for all samples",
            expected="targets that differ",
            remedy="take other samples in",
        )
    # Without the first sample first, a large mean would leave its rounding.
    apart = columns - columns[0]
    shift = apart.mean(axis=0)
    apart -= shift
    return Targets(products=spectrum.products(apart), means=columns[0] + shift, squares=np.square(apart).sum(axis=0))


def _check_targets(labels: Array, n: int, task: Task) -> Floats:
    """Real targets (n,) or (n, k) as float64.

    Raises:
        DataError: another shape, no numbers, NaN or infinite values, or other values than 0 and 1 for multilabel.
    """
    found = as_array(labels, "labels")
    shapes = f"({n}, k)" if task == "multilabel" else f"({n},) or ({n}, k)"
    if found.ndim not in ((2,) if task == "multilabel" else (1, 2)) or len(found) != n or found.size == 0:
        raise DataError(
            f"labels has shape {found.shape} beside {n} samples",
            expected=f"shape {shapes} for {task}",
            remedy="give one row for each sample, or another task",
        )
    check_present(found, "labels")
    if found.dtype.kind not in "biuf":
        raise DataError(
            f"labels has dtype {found.dtype}",
            expected=f"numbers for {task}",
            remedy="encode them as numbers, or give task='classification'",
        )
    values = found.astype(np.float64)
    if task == "multilabel" and not np.isin(values, (0.0, 1.0)).all():
        raise DataError(
            "labels has other values than 0 and 1",
            expected="1 where a sample has a label and 0 elsewhere",
            remedy="encode each label as a column of its own, or give task='regression'",
        )
    return values
