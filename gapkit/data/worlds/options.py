"""What a world is made from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal, get_args

import numpy as np

from gapkit.errors import OptionError, did_you_mean

Relation = Literal["injection", "partition", "channel"]
Signal = Literal["both", "source", "features", "neither"]
Noise = Literal["uniform", "prior"]
SHARES_TOLERANCE = 1e-6


@dataclass(frozen=True, kw_only=True)
class WorldOptions:
    """Parameters of a world; the formulas are in ``gapkit.data.worlds``.

    Attributes:
        relation: how target labels follow from source classes.
        n_source: K_s.
        n_target: K_t; at most K_s unless the relation is a channel.
        n_ignored: source classes that the target's samples never come from; of an injection it is always K_s - K_t.
        dimension: d of x.
        noise_dimensions: further columns of the features, standard normal and independent of everything.
        separation: class means are ``separation * m``, ``m ~ N(0, I / d)``, in units of the classes' standard
            deviation: two means are ``sqrt(2) * separation`` apart, about.
        shares: P(y) before label noise. None: equal shares of the source classes shown.
        label_shift: False: the source's class prior w has the shares of the target's samples, ``w_z = c t_z`` on the
            classes shown, so p holds the shares already. True: w is uniform whatever the shares. Without meaning for
            a channel, which always shows its source classes equally and has the shares in its columns.
        concentration: of the Dirichlet rows of a channel; small: nearly a partition, large: hardly informative.
        label_noise: rho, the probability that a label is replaced by a draw from ``noise``.
        noise: nu: "uniform", "prior" (the shares before noise), or K_t probabilities.
        overconfidence: tau.
        signal: what depends on the label: "both", the "source" conditional alone (features come from another,
            independent x), the "features" alone (the source conditional does), or "neither".
        group_size: samples per group, in the order drawn; 1: no groups.
        group_shift: share of the within-class variance that the samples of a group have in common (a shift of x by
            ``N(0, group_shift I)`` for each group); the variance of x given its class stays 1.
        group_label: whether all samples of a group have the same label.
        seed: of the world; its draws have seeds of their own.
    """

    relation: Relation = "injection"
    n_source: int = 20
    n_target: int = 4
    n_ignored: int = 0
    dimension: int = 8
    noise_dimensions: int = 0
    separation: float = 3.0
    shares: Sequence[float] | None = None
    label_shift: bool = False
    concentration: float = 0.2
    label_noise: float = 0.0
    noise: Noise | Sequence[float] = "uniform"
    overconfidence: float = 1.0
    signal: Signal = "both"
    group_size: int = 1
    group_shift: float = 0.0
    group_label: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every option by itself, then together.

        Raises:
            OptionError: names the option, its value and what it may be.
        """
        check_choice("relation", self.relation, get_args(Relation))
        check_choice("signal", self.signal, get_args(Signal))
        leasts = {"n_source": 2, "n_target": 2, "n_ignored": 0, "dimension": 1, "noise_dimensions": 0, "group_size": 1}
        for name, least in (leasts | {"seed": 0}).items():
            check_whole(name, getattr(self, name), least)
        for name, above in (("separation", True), ("concentration", False), ("overconfidence", False)):
            check_number(name, getattr(self, name), zero=above)
        for name in ("label_noise", "group_shift"):
            check_number(name, getattr(self, name), most=1.0)
        if self.shares is not None:
            check_shares("shares", self.shares, self.n_target)
            object.__setattr__(self, "shares", tuple(self.shares))
        if isinstance(self.noise, str):
            check_choice("noise", self.noise, get_args(Noise))
        else:
            check_shares("noise", self.noise, self.n_target, zero=True)
            object.__setattr__(self, "noise", tuple(self.noise))
        _check_classes(self)
        _check_together(self)


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Refuse a word that is none of the choices."""
    if value not in choices:
        raise OptionError(f"{name} {value!r}", expected=", ".join(choices), remedy=did_you_mean(str(value), choices))


def check_whole(name: str, value: Any, least: int) -> None:
    """Refuse what is no integer of at least ``least``."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise OptionError(
            f"{name} {value!r}", expected=f"an integer of at least {least}", remedy=f"pass {name}={least}"
        )


def check_number(name: str, value: Any, *, zero: bool = True, most: float = math.inf) -> None:
    """Refuse what is no finite number between 0 (itself allowed if ``zero``) and ``most``."""
    number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    if not 0 <= number <= most or math.isinf(number) or (number == 0 and not zero):
        least = "at least" if zero else "above"
        limit = f" and at most {most:g}" if math.isfinite(most) else ""
        example = min(most, 1.0) if not zero else 0.0
        raise OptionError(
            f"{name} {value!r}", expected=f"a number {least} 0{limit}", remedy=f"pass {name}={example:g}, say"
        )


def check_shares(name: str, shares: Any, size: int, *, zero: bool = False) -> None:
    """Refuse what is no distribution over ``size`` classes; without ``zero``, every class needs a share."""
    is_list = isinstance(shares, Sequence | np.ndarray) and len(shares) == size
    numbers = [float(share) if isinstance(share, Real) else math.nan for share in shares] if is_list else [math.nan]
    is_distribution = min(numbers) >= 0 and abs(sum(numbers) - 1) <= SHARES_TOLERANCE
    if not is_distribution or (min(numbers) == 0 and not zero):
        kind = "non-negative" if zero else "positive"
        raise OptionError(
            f"{name} {shares!r}",
            expected=f"{size} {kind} numbers that sum to 1, one for each target class",
            remedy=f"divide them by their sum, or leave {name} out",
        )


def _check_classes(options: WorldOptions) -> None:
    """Refuse more target classes than there are source classes to read them off."""
    injection, shown = options.relation == "injection", options.n_source - options.n_ignored
    if injection and options.n_ignored:
        raise OptionError(
            f"n_ignored {options.n_ignored} with an injection",
            expected="0: an injection ignores K_s - K_t source classes",
            remedy="leave n_ignored out",
        )
    least = 2 if options.relation == "channel" else options.n_target
    if shown < least:
        raise OptionError(
            f"n_target {options.n_target} with n_source {options.n_source} and n_ignored {options.n_ignored}",
            expected=f"at least {least} source classes that are not ignored",
            remedy="raise n_source, or use relation='channel' for more target than source classes",
        )


def _check_together(options: WorldOptions) -> None:
    """Refuse options that would do nothing."""
    if options.label_shift and (options.shares is None or options.relation == "channel"):
        raise OptionError(
            "label_shift" + (" with a channel" if options.relation == "channel" else " without shares"),
            expected="shares of an injection or a partition that the source's class prior does not have",
            remedy="give shares" if options.relation != "channel" else "leave label_shift out",
        )
    if options.group_size == 1 and (options.group_shift > 0 or options.group_label):
        raise OptionError(
            "group_shift or group_label with group_size 1",
            expected="groups of at least 2 samples",
            remedy="pass group_size=5, say",
        )
