"""Stage 1 on a problem whose optimum is known: the learner's own loop, objective and optimiser come to it."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from scipy.optimize import check_grad, minimize, root
from torch import Tensor, nn

from gapkit.arrays import Floats, generator
from gapkit.mona.alignment import KnowledgeObjective
from gapkit.mona.heads import task_loss
from gapkit.mona.model import Parts, TargetModel
from gapkit.mona.options import HypergradientOptions
from gapkit.mona.problem import SourceEncoder
from gapkit.mona.samples import TrainingSamples, training_samples
from gapkit.mona.stages import Objective, Stage, TargetObjective
from gapkit.mona.surrogates import SurrogateTokens
from gapkit.mona.team import Team
from gapkit.mona.training import Setting, Training
from gapkit.mona.training_options import AlignmentOptions, Rates, Steps, TrainingOptions
from gapkit.types import Adapter, Target

INPUTS, TOKENS, LABELS, N = 3, 2, 4, 40
CLASSES, PER_CLASS = 3, 4
ALPHA, WEIGHT = 0.4, 0.8
STEPS = 400
CLOSE, APART = 1e-6, 0.1
"""Largest difference of a weight from the optimum that is meant, and least one between the two optima (it is 0.19)."""


class Shift(nn.Module):
    """The head: outputs = features + b."""

    def __init__(self) -> None:
        super().__init__()
        self.b = nn.Parameter(torch.zeros(LABELS))

    def forward(self, features: Tensor) -> Tensor:
        return features + self.b


@dataclass(frozen=True, kw_only=True)
class Toy:
    """Phi, Theta and b: outputs ``Theta Phi x + b``, squared errors on the target and on the surrogate.

    ``L_target = |R|^2 / (n K)``, ``R = Theta Phi X + b 1' - Y``; ``L_src(T) = |T Z - A|^2 / (m K)``. The objective
    ``F = L_target + lambda L_src(Theta - alpha G)``, ``G = 2 R X' Phi' / (n K)``, is a polynomial of (Phi, b).

    Attributes:
        samples: x and y; those that are fitted on count.
        tokens: Z', (m, d).
        wanted: A', (m, K).
        classes: of the surrogate's samples.
        theta: Theta, (K, d).
        head_second_order: whether b is followed into theta'.
    """

    samples: TrainingSamples
    tokens: Floats
    wanted: Floats
    classes: np.ndarray
    theta: Floats
    head_second_order: bool = False

    @property
    def arrays(self) -> tuple[Floats, Floats, float]:
        """X and Y of the samples that are fitted on, columns, and 2 / (n K)."""
        rows = self.samples.fit
        x, y = self.samples.target.x[rows].T.astype(float), self.samples.target.y[rows].T.astype(float)
        return x, y, 2 / y.size

    def parts(self, point: Floats) -> tuple[Floats, Floats, Floats, Floats, float]:
        """Phi, R, G, and of the surrogate V and L_src at Theta - alpha G."""
        x, y, c = self.arrays
        phi, b = point[: TOKENS * INPUTS].reshape(TOKENS, INPUTS), point[TOKENS * INPUTS :]
        residual = self.theta @ phi @ x + b[:, None] - y
        gradient = c * residual @ x.T @ phi.T
        error = (self.theta - ALPHA * gradient) @ self.tokens.T - self.wanted.T
        return phi, residual, gradient, 2 / error.size * error @ self.tokens, float(np.square(error).mean())

    def objective(self, point: Floats) -> float:
        """F."""
        _, residual, _, _, source = self.parts(point)
        return float(np.square(residual).mean()) + WEIGHT * source

    def slope(self, point: Floats, *, weight: float = WEIGHT, second_order: bool = True) -> Floats:
        """The derivatives of F by Phi and b, by hand; b is held constant inside theta' without ``second_order``."""
        x, _, c = self.arrays
        phi, residual, _, v, _ = self.parts(point)
        of_phi = self.theta.T @ residual @ x.T
        of_phi -= weight * ALPHA * (self.theta.T @ v @ phi @ x @ x.T + v.T @ residual @ x.T)
        of_b = residual.sum(axis=1) - second_order * weight * ALPHA * (v @ phi @ x).sum(axis=1)
        return c * np.concatenate([of_phi.ravel(), of_b])

    def optimum(self, start: Floats) -> Floats:
        """Where stage 1 has to end: the minimum of F, or where neither part wants to move if b is held constant."""
        second_order = self.head_second_order
        found = start
        if second_order:
            found = minimize(self.objective, start, jac=self.slope, method="BFGS", options={"gtol": 1e-9}).x
        found = root(lambda point: self.slope(point, second_order=second_order), found, tol=1e-14).x
        assert np.abs(self.slope(found, second_order=second_order)).max() < 1e-12
        return found

    def least_squares(self) -> Floats:
        """The minimum of L_target alone, in closed form: Theta^+ times the regression of Y on X."""
        x, y, _ = self.arrays
        centred_x, mean_y = x - x.mean(axis=1, keepdims=True), y.mean(axis=1)
        phi = np.linalg.pinv(self.theta) @ (y - mean_y[:, None]) @ np.linalg.pinv(centred_x)
        return np.concatenate([phi.ravel(), mean_y - self.theta @ phi @ x.mean(axis=1)])


def toy(*, head_second_order: bool = False) -> Toy:
    """Random numbers; the target has several labels for each sample."""
    rng = generator(3)
    x = rng.normal(size=(N, INPUTS))
    y = (x @ rng.normal(size=(INPUTS, LABELS)) + 0.3 * rng.normal(size=(N, LABELS)) > 0).astype(np.int64)
    classes = np.repeat(np.arange(CLASSES), PER_CLASS)
    return Toy(
        samples=training_samples(Target(x, y, name="toy"), torch.from_numpy),
        tokens=rng.normal(size=(len(classes), TOKENS)),
        wanted=rng.normal(size=(CLASSES, LABELS))[classes],
        classes=classes,
        theta=rng.normal(size=(LABELS, TOKENS)),
        head_second_order=head_second_order,
    )


def learned(given: Toy, start: Floats, *, term: bool = True) -> Floats:
    """Where the learner's stage ends from a start; without the term its objective is L_target alone."""
    training = TrainingOptions(
        steps=Steps(warm=0, align=STEPS, tune=0), rates=Rates(embedder=0.05, head=0.05, decay=0.0), batch_size=N
    )
    encoder = SourceEncoder(cast(Adapter, SimpleNamespace(module=linear(given.theta), encode=None, pool=None)))
    encoder.adapter.encode, encoder.adapter.pool = encoder.module, nn.Identity()
    model = TargetModel(linear(start[: TOKENS * INPUTS].reshape(TOKENS, INPUTS)), encoder, Shift()).double()
    model.head.b.data = torch.from_numpy(start[TOKENS * INPUTS :].copy())
    weights: Any = {name: dict(getattr(model, name).named_parameters()) for name in ("embedder", "encoder", "head")}
    setting = Setting(samples=given.samples, options=training, identity={}, device=torch.device("cpu"))
    stage = Stage(
        name="alignment",
        trains=("embedder", "head"),
        steps=STEPS,
        objective=objective(given, training) if term else TargetObjective(task_loss("regression"), Team()),
        stream=1,
        passes=1.0,
        differentiates=("encoder",),
    )
    record = Training(model, Parts(**weights), setting).run([stage])
    assert len([entry for entry in record.history if "loss" in entry]) == STEPS
    assert (model.encoder.module.weight.detach().numpy() == given.theta).all()
    return np.concatenate([model.embedder.weight.detach().numpy().ravel(), model.head.b.detach().numpy()])


def linear(weight: Floats) -> nn.Linear:
    """A linear map with these weights, in float64."""
    rows, columns = weight.shape
    found = nn.utils.skip_init(nn.Linear, columns, rows, bias=False, dtype=torch.float64)
    found.weight.data = torch.from_numpy(weight.copy())
    return found


def objective(given: Toy, training: TrainingOptions) -> Objective:
    """MoNA's own, whose batches hold the whole surrogate."""
    options = HypergradientOptions(alpha=ALPHA, weight=WEIGHT, head_second_order=given.head_second_order)
    alignment = AlignmentOptions(hypergradient=options, surrogate_batch=len(given.classes), per_class=PER_CLASS)
    samples = Target(given.tokens, given.classes, name="surrogate")
    surrogate = SurrogateTokens(samples=samples, embed=torch.from_numpy, kept=torch.from_numpy(given.tokens))
    return KnowledgeObjective(task_loss("regression"), surrogate, alignment, training, Team())


@pytest.fixture(autouse=True)
def _quadratic_source_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """L_src of the toy in the place of alignment and uniformity."""
    wanted = torch.from_numpy(toy().wanted[::PER_CLASS].copy())
    monkeypatch.setattr(
        "gapkit.mona.alignment.knowledge_loss", lambda features, labels: (features - wanted[labels]).square().mean()
    )


STARTS = [0.3 * generator(seed).normal(size=TOKENS * INPUTS + LABELS) for seed in (1, 2, 3)]


def test_the_derivatives_by_hand_are_those_of_the_objective() -> None:
    given = toy()
    for start in STARTS:
        assert check_grad(given.objective, given.slope, start) < 1e-5


@pytest.mark.parametrize("head_second_order", [False, True])
def test_stage_one_comes_to_the_known_optimum(head_second_order: bool) -> None:
    given = toy(head_second_order=head_second_order)
    best, plain = given.optimum(STARTS[0]), given.least_squares()
    for start in STARTS[1:]:  # there is one, wherever one begins
        np.testing.assert_allclose(given.optimum(start), best, atol=1e-8)
    found = learned(given, STARTS[0])
    assert np.abs(found - best).max() < CLOSE
    assert np.abs(found - plain).max() > APART
    assert given.objective(found) < given.objective(plain) - 0.01


def test_without_the_second_order_term_it_comes_to_least_squares() -> None:
    given = toy()
    found = learned(given, STARTS[0], term=False)
    assert np.abs(found - given.least_squares()).max() < CLOSE
    assert np.abs(found - given.optimum(STARTS[0])).max() > APART
