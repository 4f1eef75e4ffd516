"""How a hypergradient is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from gapkit.options import check_choice, check_least, check_number

Method = Literal["central", "one_sided", "exact", "naive"]
DEFAULT_STEP = 1e-3
STEPS = (3e-4, 1e-3, 3e-3)
"""What ``step="auto"`` chooses from."""


@dataclass(frozen=True, kw_only=True)
class HypergradientOptions:
    """Method and sizes.

    Attributes:
        alpha: learning rate of the inner step from theta to theta'.
        weight: lambda, of L_src.
        method: "central": differences of gradients at theta + eps v and theta - eps v; "one_sided": at theta + eps v
            and theta, whose gradient is there already; "exact": forward over reverse; "naive": reverse over reverse
            through the whole step, as a reference.
        step: c, the length of eps v, so that eps = c / |v|; "auto": of 3e-4, 1e-3 and 3e-3 the one whose term is
            nearest to that of ``exact`` on the batch at hand.
        head_second_order: h is part of theta' too, which gives dh a term of its own.
        source_autocast: L_src under the caller's torch.autocast too. By default it is in float32: L_src compares
            directions of features, and where these lie near to each other, v is little but rounding in bfloat16 (the
            term was then off by 5 % behind trained weights and by 25 to 700 % behind random ones).
        microbatches: pieces of each batch, one after the other, for the sake of memory; in a training
            ``TrainingOptions`` has the number for all stages.
        check_every: ``Hypergradients`` compares the term with that of ``exact`` at every so many steps; None: never.
        check_bar: relative error of the term above which a note is made.
    """

    alpha: float
    weight: float = 1.0
    method: Method = "central"
    step: float | Literal["auto"] = DEFAULT_STEP
    head_second_order: bool = False
    source_autocast: bool = False
    microbatches: int = 1
    check_every: int | None = None
    check_bar: float = 0.05

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            OptionError: names the field.
        """
        check_choice("method", self.method, get_args(Method))
        check_number("alpha", self.alpha)
        check_number("weight", self.weight, least=0)
        check_number("check_bar", self.check_bar)
        if isinstance(self.step, str):
            check_choice("step", self.step, ("auto",))
        else:
            check_number("step", self.step)
        check_least("microbatches", self.microbatches, 1)
        if self.check_every is not None:
            check_least("check_every", self.check_every, 1)

    @property
    def differences(self) -> bool:
        """Whether gradients at several points are compared."""
        return self.method in ("central", "one_sided")
