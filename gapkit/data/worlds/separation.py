"""How far apart the classes of a world have to be for a wanted gap."""

from __future__ import annotations

import math

from scipy.optimize import root_scalar

from gapkit.data.worlds.discrepancies import Discrepancy
from gapkit.data.worlds.options import WorldOptions
from gapkit.data.worlds.world import make_world
from gapkit.errors import OptionError

LARGEST = 1e4
"""In standard deviations: there nothing is left of the noise of x."""


def separation_for(
    options: WorldOptions, normalised: float, *, discrepancy: Discrepancy = "kl", n: int = 20_000, seed: int = 0
) -> float:
    """The separation at which the world's normalised gap is ``normalised``.

    The gap falls from 1 at separation 0 to what label noise and channel leave at infinity: x of closer classes is x of
    farther ones with noise added. The root of the Monte Carlo truth is found with the same samples at every separation,
    so the gap there has that truth's standard error and hardly any other.

    Args:
        options: of the world; its own separation is not used.
        normalised: wanted, between 0 and 1.
        discrepancy: that is wanted to have it.
        n: samples of the Monte Carlo truth.
        seed: of these samples.

    Raises:
        OptionError: nothing depends on the label, or label noise alone makes the gap larger than this.
    """

    def excess(separation: float) -> float:
        world = make_world(options, separation=separation)
        return world.truth(discrepancy, n=n, seed=seed, given="all").normalised - normalised

    if options.signal == "neither" or not (math.isfinite(normalised) and 0 < normalised < 1):
        raise OptionError(
            f"a normalised gap of {normalised} with signal={options.signal!r}",
            expected="a number between 0 and 1 and a world that knows something",
            remedy="pass 0.5, say, and signal='both'",
        )
    high = 1.0
    while excess(high) > 0:
        if high > LARGEST:
            raise OptionError(
                f"a normalised gap of {normalised}",
                expected=f"more than {excess(high) + normalised:.4g}, which is there at any separation",
                remedy="lower label_noise or concentration, or ask for a larger gap",
            )
        high *= 2
    return float(root_scalar(excess, bracket=(0.0 if high == 1.0 else high / 2, high), rtol=1e-6).root)
