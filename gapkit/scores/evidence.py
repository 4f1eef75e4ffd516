"""The evidence of Bayesian linear regression and its maximum over both precisions, for many targets at once.

The model is LogME's: ``t ~ N(F w, I / beta)``, ``w ~ N(0, I / alpha)``, without an intercept. The best beta is known
for every g = alpha / beta, so that the log evidence is a function of g alone:

    L(g) = -1/2 log |I + F F' / g| - n/2 log (E(g) / n) - n/2 (1 + log 2 pi),  E(g) = min_w |t - F w|^2 + g |w|^2

F = Z + 1 m' has the centred features Z and their mean m. On the axes of Z, with z, m and ``c = Z't`` in their
coordinates, the samples' mean is one more observation, of variance ``1/n + q``:

    log |I + F F' / g| = sum_j log (1 + s_j^2 / g) + log (1 + n q)
    E(g) = |t_out|^2 + sum_j g / (g + s_j^2) c_j^2 / s_j^2 + n (mean t - p)^2 / (1 + n q)
    q = sum_j m_j^2 / (g + s_j^2) + |m_out|^2 / g,  p = sum_j m_j c_j / (g + s_j^2)

Every term is positive, so that nothing cancels, however large the mean. The d - k directions without a singular value
have ``log (g / g)`` and drop out, which is the term that the original code lacks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gapkit.arrays import Array, Floats
from gapkit.errors import UndefinedError
from gapkit.statistics.spectrum import Spectrum, tolerance

STEP = 0.5
"""Of the grid, in log g: every term of L changes over one unit or more, so that no maximum falls between its points."""
FAR = 1e8
"""How far beyond the largest eigenvalue the grid ends; L differs from its limit by no more than 1 / FAR there."""
CONVERGED = 1e-15
"""What a Newton step would still gain, in nats per sample: rounding."""
FLAT = 1e-13
"""Two values of L, in nats per sample, that rounding alone may have set apart."""
BETWEEN = 0.02
"""By how much a maximum may exceed the next point of the grid: |L''| is below 0.6 everywhere."""
NARROW = 1e-7
"""Width of a bracket in log g across which L, flat at its maximum, differs by its square."""
CONSTANT = 1 + float(np.log(2 * np.pi))


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """The maximum of the log evidence, for each of m targets.

    Attributes:
        values: (m,) in nats per sample.
        alpha: (m,) precision of the weights; infinite where the best weights are 0.
        beta: (m,) precision of the noise; infinite where n directions fit n samples exactly.
    """

    values: Floats
    alpha: Floats
    beta: Floats

    def improve(self, which: Array, other: Evidence) -> None:
        """Put in what is better for the targets ``which``, of which one may have several entries in ``other``."""
        better = np.flatnonzero(other.values > self.values[which] + FLAT)
        for entry in better[np.argsort(other.values[better], kind="stable")]:
            target = which[entry]
            self.values[target], self.alpha[target], self.beta[target] = (
                other.values[entry],
                other.alpha[entry],
                other.beta[entry],
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Targets:
    """m centred targets on the axes of the features.

    Attributes:
        products: (m, k) c.
        means: (m,).
        squares: (m,) ``|t - mean|^2``, positive.
    """

    products: Floats
    means: Floats
    squares: Floats

    def take(self, chosen: Array) -> Targets:
        """The targets that are chosen."""
        return Targets(products=self.products[chosen], means=self.means[chosen], squares=self.squares[chosen])


@dataclass(frozen=True, kw_only=True, eq=False)
class Regression:
    """The side of the evidence that no target changes."""

    spectrum: Spectrum

    @property
    def rank(self) -> int:
        """Of the features with their mean."""
        return len(self.spectrum.values) + (self.spectrum.mean_outside > 0)

    @cached_property
    def grid(self) -> Floats:
        """(G,) log g, from where a perfect fit would still show to where the weights are 0; rank > 0."""
        spectrum = self.spectrum
        lift = spectrum.n * np.square(spectrum.mean_inside)
        scales = list(spectrum.values[-1:])
        if spectrum.mean_outside > 0:
            scales.append(spectrum.n * spectrum.mean_outside**2 / (1 + float((lift / spectrum.values).sum())))
        top = float(spectrum.values[:1].sum() + lift.sum()) + spectrum.n * spectrum.mean_outside**2
        low = np.log(min(scales)) + np.log(tolerance(spectrum.n, spectrum.d) / spectrum.n)
        # From the top down, so that the grid scales with the features.
        high = np.log(top) + np.log(FAR)
        return high - STEP * np.arange(int((high - low) / STEP) + 2)[::-1]

    @cached_property
    def grid_shares(self) -> Floats:
        """(G, k) ``g / (g + s^2)``."""
        return 1 / (1 + np.exp(-self.grid)[:, None] * self.spectrum.values)

    @cached_property
    def grid_spread(self) -> Floats:
        """(G,) ``n q``."""
        spectrum = self.spectrum
        outside = self.grid_shares @ np.square(spectrum.mean_inside) + spectrum.mean_outside**2
        return spectrum.n * outside / np.exp(self.grid)

    @cached_property
    def grid_volume(self) -> Floats:
        """(G,) ``log |I + F F' / g|``."""
        return -np.log(self.grid_shares).sum(axis=1) + np.log1p(self.grid_spread)

    def maximise(self, targets: Targets) -> Evidence:
        """The largest log evidence of each target.

        The grid finds the neighbourhoods of all maxima that may be the largest, a safeguarded Newton iteration the
        maxima themselves. The limits g -> infinity (weights of 0) and g -> 0 (a perfect fit of n samples by n
        directions) take part.

        Raises:
            UndefinedError: fewer than n directions fit a target exactly, so that its evidence has no bound.
        """
        n = self.spectrum.n
        noise = (targets.squares + n * np.square(targets.means)) / n
        found = Evidence(values=-0.5 * (np.log(noise) + CONSTANT), alpha=np.full(len(noise), np.inf), beta=1 / noise)
        if self.rank == 0:
            return found
        outside, perfect = self._fit(targets)
        if perfect.any():
            which = np.flatnonzero(perfect)
            found.improve(which, self._saturated(targets.take(which)))
        curve = self._on_grid(targets, outside)
        which, start = _peaks(curve, np.maximum(curve.max(axis=1), found.values))
        found.improve(which, self._climb(targets.take(which), outside[which], self.grid[start]))
        return found

    def _fit(self, targets: Targets) -> tuple[Floats, Array]:
        """What no weights reach, ``|t_out|^2`` (m,), and which targets (m,) are fitted without a residual.

        Raises:
            UndefinedError: one is, by fewer than n directions.
        """
        spectrum = self.spectrum
        rounding = tolerance(spectrum.n, spectrum.d)
        outside = targets.squares - (np.square(targets.products) / spectrum.values).sum(axis=1)
        outside = np.where(outside <= rounding * targets.squares, 0.0, outside)
        residual = outside.copy()
        if spectrum.mean_outside == 0:
            apart = targets.means - (targets.products * (spectrum.mean_inside / spectrum.values)).sum(axis=1)
            variance = 1 + spectrum.n * float((np.square(spectrum.mean_inside) / spectrum.values).sum())
            residual += spectrum.n * np.square(apart) / variance
        perfect = residual <= rounding * (targets.squares + spectrum.n * np.square(targets.means))
        if self.rank < spectrum.n and perfect.any():
            raise UndefinedError(
                f"{int(perfect.sum())} of {len(perfect)} targets are exact linear functions of the features",
                expected=f"noise, as {self.rank} directions fit {spectrum.n} samples: else the evidence has no bound",
                remedy="drop repeated samples, and check that the features do not contain the labels",
            )
        return outside, perfect

    def _on_grid(self, targets: Targets, outside: Floats) -> Floats:
        """L per sample at every point of the grid (m, G)."""
        spectrum, shares = self.spectrum, self.grid_shares
        n, g = spectrum.n, np.exp(self.grid)
        predicted = (targets.products * spectrum.mean_inside) @ shares.T / g
        error = outside[:, None] + (np.square(targets.products) / spectrum.values) @ shares.T
        error += n * np.square(targets.means[:, None] - predicted) / (1 + self.grid_spread)
        return -0.5 * (self.grid_volume / n + np.log(error / n) + CONSTANT)

    def _climb(self, targets: Targets, outside: Floats, start: Floats) -> Evidence:
        """Newton's method in log g for all targets at once, each within one step of the grid from its start (m,).

        A step that leaves the bracket, and every eighth one, halves it, so that the iteration ends even where L is
        not concave.
        """
        x, low, high, steps = start, start - STEP, start + STEP, 0
        while True:
            here = self._slopes(targets, outside, x)
            newton = -here.first / np.where(here.second < 0, here.second, -np.inf)
            gain = np.where(here.second < 0, here.first * newton, np.abs(here.first) * (high - low))
            done = (gain <= CONVERGED) | (high - low <= NARROW)
            if done.all():
                break
            steps += 1
            low, high = np.where(here.first > 0, x, low), np.where(here.first > 0, high, x)
            trusted = (here.second < 0) & (x + newton > low) & (x + newton < high) & (steps % 8 > 0)
            x = np.where(done, x, np.where(trusted, x + newton, (low + high) / 2))
        return Evidence(values=here.value, alpha=np.exp(x) / here.noise, beta=1 / here.noise)

    def _slopes(self, targets: Targets, outside: Floats, x: Floats) -> _Slopes:
        """L per sample and its derivatives in x = log g, at one x (m,) for each target."""
        spectrum, n, g = self.spectrum, self.spectrum.n, np.exp(x)
        ratio = spectrum.values / g[:, None]
        share = 1 / (1 + ratio)
        rest = ratio * share  # 1 - share, to the last digit
        # share, and its first and second derivative over g: each term in 1 / (g + s^2) turns into these.
        square = share * share
        curved = square * (2 * share - 1)
        lift, out = np.square(spectrum.mean_inside), spectrum.mean_outside**2
        spread = n / g * np.stack([share @ lift + out, -(square @ lift) - out, curved @ lift + out])
        mixed = targets.products * spectrum.mean_inside
        apart = np.stack([(mixed * part).sum(axis=1) for part in (-share, square, -curved)]) / g
        apart[0] += targets.means
        fitted = np.square(targets.products) / spectrum.values
        slope = share * rest
        error = _ratio_of_square(apart, spread) * n
        error[0] += outside + (fitted * share).sum(axis=1)
        error[1] += (fitted * slope).sum(axis=1)
        error[2] += (fitted * slope * (rest - share)).sum(axis=1)
        volume = np.stack([np.log1p(ratio).sum(axis=1), -rest.sum(axis=1), slope.sum(axis=1)])
        volume += _logarithm(np.stack([1 + spread[0], spread[1], spread[2]]))
        value, first, second = -0.5 * (volume / n + _logarithm(error / n))
        return _Slopes(value=value - 0.5 * CONSTANT, first=first, second=second, noise=error[0] / n)

    def _saturated(self, targets: Targets) -> Evidence:
        """The limit g -> 0 where n directions fit n samples: n / 2 log g of the fit and of the volume cancel."""
        spectrum, n = self.spectrum, self.spectrum.n
        fitted = targets.products / spectrum.values
        apart = targets.means - fitted @ spectrum.mean_inside
        length = np.square(fitted).sum(axis=1) + np.square(apart / spectrum.mean_outside)
        volume = float(np.log(spectrum.values).sum() + np.log(n * spectrum.mean_outside**2))
        values = -0.5 * (volume / n + np.log(length / n) + CONSTANT)
        return Evidence(values=values, alpha=n / length, beta=np.full(len(values), np.inf))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Slopes:
    """L (m,) with its derivatives in log g, and the noise variance that belongs to it."""

    value: Floats
    first: Floats
    second: Floats
    noise: Floats


def _logarithm(f: Floats) -> Floats:
    """Value, first and second derivative (3, m) of log f, from those of f."""
    slope = f[1] / f[0]
    return np.stack([np.log(f[0]), slope, f[2] / f[0] - slope * slope])


def _ratio_of_square(r: Floats, spread: Floats) -> Floats:
    """Value and derivatives (3, m) of ``r^2 / (1 + spread)``."""
    below = 1 + spread[0]
    first, second = spread[1] / below, spread[2] / below
    value = r[0] * r[0]
    slope = 2 * r[0] * r[1] - value * first
    curve = 2 * (r[1] * r[1] + r[0] * r[2]) - 4 * r[0] * r[1] * first + value * (2 * first * first - second)
    return np.stack([value, slope, curve]) / below


def _peaks(curve: Floats, level: Floats) -> tuple[Array, Array]:
    """Targets and grid points of the maxima on the grid that may belong to the largest, by ``level`` (m,).

    The highest point takes part even where rounding alone made it highest, other points of a flat stretch do not. The
    ends of the grid are those of the limits.
    """
    below, middle, above = curve[:, :-2], curve[:, 1:-1], curve[:, 2:]
    peaks = (middle >= below) & (middle >= above) & (middle - np.minimum(below, above) > FLAT)
    highest = curve.argmax(axis=1) - 1
    inner = (highest >= 0) & (highest < middle.shape[1])
    peaks[inner, highest[inner]] = True
    which, start = np.nonzero(peaks & (middle >= level[:, None] - BETWEEN))
    return which, start + 1
