"""How a target model is trained: steps, rates, batches, and what chooses between models."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from gapkit.errors import OptionError
from gapkit.mona.options import HypergradientOptions
from gapkit.options import as_names, check_choice, check_least

PRECISIONS = ("fp32", "bf16", "fp64")
INNER_RATE = 3.0
"""alpha. On inertial sensors the second-order term is then a quarter of the rest of the embedder's gradient, and theta
moves by 0.6 %; with 0.1 it is under 1 %, with 30 ten times the rest. The validation accuracy was the same with all."""
ENCODER_RATE, REFERENCE_WIDTH = 1e-3, 128
"""Of encoders that give features of this width, as the bundled source does; of others in inverse proportion to it, as
Adam wants it (Yang et al., Tensor Programs V, NeurIPS 2021). After 160 steps of fine-tuning the validation accuracy of
DNA, speech, inertial sensors and a satellite table was 0.93, 0.85, 0.94, 0.88; with a third of all rates 0.79, 0.70,
0.91, 0.86."""
WARM_SHARE, ALIGN_SHARE = 0.1, 0.2
"""Of a budget in steps: stage 0 and stage 1; stage 2 has the rest."""


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Steps of the three stages.

    Attributes:
        warm: of stage 0, head and embedder behind a frozen encoder.
        align: of stage 1, the alignment.
        tune: of stage 2, everything.
    """

    warm: int = 50
    align: int = 100
    tune: int = 350

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            OptionError: a negative number of steps.
        """
        for name, value in asdict(self).items():
            check_least(f"{name} steps", value, 0)

    @classmethod
    def of(cls, total: int) -> Steps:
        """A budget dealt out: a tenth to stage 0, a fifth to stage 1, the rest to stage 2.

        Raises:
            OptionError: fewer than 10 steps.

        Example:
            >>> Steps.of(500)
            Steps(warm=50, align=100, tune=350)
        """
        check_least("budget in steps", total, 10)
        warm, align = round(WARM_SHARE * total), round(ALIGN_SHARE * total)
        return cls(warm=warm, align=align, tune=total - warm - align)


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Learning rates of AdamW, the largest of a schedule with linear warm-up and cosine decay in every stage.

    Attributes:
        embedder: of phi.
        encoder: of theta, in stage 2 alone; None for 1e-3 at a width of 128, and less for wider encoders.
        head: of h.
        decay: weight decay, of tensors of two or more dimensions.
        warmup: share of a stage's steps in which the rate rises.
        clip: largest norm of all gradients of a step together; each of the three parts is clipped by itself.
    """

    embedder: float = 3e-3
    encoder: float | None = None
    head: float = 3e-3
    decay: float = 0.05
    warmup: float = 0.1
    clip: float = 1.0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            OptionError: a negative number, a share beyond 1, or nothing left by clipping.
        """
        for name, value in asdict(self).items():
            if value is None:
                continue
            highest = 1.0 if name == "warmup" else float("inf")
            if not 0 <= value <= highest or (name == "clip" and value == 0):
                raise OptionError(
                    f"{name} {value:g}", expected="a number that is not negative", remedy=f"leave {name} out"
                )

    def of_width(self, width: int) -> Rates:
        """The same with the encoder's rate for features of this width, where none is given.

        Example:
            >>> Rates().of_width(768).encoder == ENCODER_RATE / 6
            True
        """
        return self if self.encoder is not None else replace(self, encoder=ENCODER_RATE * REFERENCE_WIDTH / width)


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How a target model is trained; all methods share it.

    Attributes:
        steps: of the three stages.
        rates: learning rates, weight decay, clipping.
        batch_size: target samples of a step, of all processes together.
        microbatches: pieces in which each batch of every stage goes through, one after the other, for the sake of
            memory; each process cuts its own share. Weights are the same to rounding, unless the encoder has dropout,
            which every piece draws anew in stage 2. Losses that are no means over samples (on the surrogate, orca's,
            mmd's) are of the whole batch all the same: their features go through once more.
        recompute: activations inside of the encoder's blocks are computed again in the backward pass in place of being
            kept: the same weights, with less memory and one more forward pass. The hypergradient's methods "exact" and
            "naive" keep them where they differentiate twice.
        validation: share of the training samples that is cut off to choose models by; groups stay together.
        evaluate_every: steps of the last stage between two looks at the validation samples.
        patience: looks without a gain before a stage is stopped early; None goes to the end.
        freeze: names and globs of encoder weights that stay as they are in stage 2.
        lora: rank of low-rank adapters that stage 2 trains, at the encoder's rate, in place of the encoder's weights;
            they are merged into these at the end. Stages 0 and 1 know nothing of them. None trains the weights. With
            the method "scratch" the adapters stand on random weights, which stay as they are; "frozen" refuses them.
            They take about ten times the rate of the weights.
        lora_layers: names and globs of the linear layers that get adapters, or of modules that they are in; by default
            all in the encoder's blocks. None of them is in what ``freeze`` means.
        precision: "fp32"; "bf16" for autocast in the forward pass; "fp64" to train in float64, for checks.
        save_every: seconds between two checkpoints.
        seed: of initial weights, data order, dropout.
    """

    steps: Steps = field(default_factory=Steps)
    rates: Rates = field(default_factory=Rates)
    batch_size: int = 32
    microbatches: int = 1
    recompute: bool = False
    validation: float = 0.2
    evaluate_every: int = 50
    patience: int | None = 5
    freeze: tuple[str, ...] = ()
    lora: int | None = None
    lora_layers: tuple[str, ...] = ()
    precision: Literal["fp32", "bf16", "fp64"] = "fp32"
    save_every: float = 60.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            OptionError: an option is out of range.
        """
        for name in ("freeze", "lora_layers"):
            object.__setattr__(self, name, as_names(getattr(self, name), option=name))
        check_choice("precision", self.precision, PRECISIONS)
        for name, least in (("batch_size", 2), ("microbatches", 1), ("evaluate_every", 1), ("seed", 0)):
            check_least(name, getattr(self, name), least)
        for name in ("patience", "lora"):
            if getattr(self, name) is not None:
                check_least(name, getattr(self, name), 1)
        if self.lora_layers and self.lora is None:
            raise OptionError(
                f"lora_layers {', '.join(self.lora_layers)} without lora",
                expected="the rank of the adapters too",
                remedy="give lora=8, or leave lora_layers out",
            )
        if not 0 < self.validation < 1:
            raise OptionError(
                f"validation {self.validation:g}",
                expected="a share of the training samples between 0 and 1",
                remedy="use validation=0.2: models are never chosen on test samples",
            )

    def numbers(self) -> dict[str, Any]:
        """The options that change a number, as JSON gives them back."""
        told = {key: value for key, value in asdict(self).items() if key != "save_every"}
        return {**told, "freeze": list(self.freeze), "lora_layers": list(self.lora_layers)}


@dataclass(frozen=True, kw_only=True)
class AlignmentOptions:
    """How MoNA's stage 1 aligns.

    Attributes:
        hypergradient: alpha, lambda, and how the second-order term is computed; in a ``Lesson`` its microbatches are
            those of the training.
        loss: L_src: "contrastive" (alignment and uniformity of same-class pairs) or "cross_entropy" (of a linear head
            that is fitted to the pretrained encoder's features of the surrogate and then held constant).
        surrogate_batch: surrogate samples of a step; None takes as many as target samples.
        per_class: samples of a class among them.
    """

    hypergradient: HypergradientOptions = field(default_factory=lambda: HypergradientOptions(alpha=INNER_RATE))
    loss: Literal["contrastive", "cross_entropy"] = "contrastive"
    surrogate_batch: int | None = None
    per_class: int = 4

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            OptionError: an option is out of range.
        """
        check_choice("loss", self.loss, ("contrastive", "cross_entropy"))
        check_least("per_class", self.per_class, 2)
        if self.surrogate_batch is not None:
            check_least("surrogate_batch", self.surrogate_batch, 4)
