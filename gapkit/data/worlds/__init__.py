r"""Synthetic worlds whose modality gap is known.

A world has K_s source classes, Gaussian in d dimensions, and K_t target classes that are read off them::

    z ~ t,     x | z ~ N(mu_z, I),     y | z ~ A_z

* ``t`` (K_s,): how often the target's samples come from each source class; zero for classes it never shows.
* ``A`` (K_s, K_t): one 1 per row (*injection*: a source class for every target class; *partition*: several source
  classes per target class, some ignored) or any row-stochastic matrix (*channel*). Label noise replaces a label, with
  probability rho, by a draw from ``nu``: ``A <- (1 - rho) A + rho 1 nu'``.

Both conditionals are then in closed form, with the source's own class prior ``w``::

    P(z | x) = w_z exp(-|x - mu_z|^2 / 2) / sum_k w_k exp(-|x - mu_k|^2 / 2)                      source conditional
    P(y | x) = sum_z A_zy t_z exp(-|x - mu_z|^2 / 2) / sum_k t_k exp(-|x - mu_k|^2 / 2)           target conditional

The source shows ``softmax(tau log P(z | x))``: calibrated for tau = 1, overconfident for tau > 1.

**The known gap.** No function of x is better, under a proper discrepancy, than ``P(y | x)``; its expected discrepancy
from the labels is ``World.truth``: ``H(Y | X)`` in nats (KL), the Bayes error (zero-one) or ``1 - E sum_y P(y | x)^2``
(Brier), normalised by the same of the class prior ``P(y)``. A family of label maps

    q_A(y | x) = (p A')_y / (p A' 1),  A' >= 0,     q = (1 - eps) q_A' + eps P(y),     p tempered: softmax(log p / T)

has exactly this gap D where it contains ``P(y | x)``, which takes two things:

* T = tau is among the temperatures (T = 1 for a calibrated source);
* the family is ``World.family`` or a freer one (injection < partition < channel). Always in the channel family:
  ``A'_zy = (t_z / w_z) A_zy``. It is in a stricter one only if ``t_z / w_z`` is the same for all classes shown (no
  label shift) and ``A = (1 - eps) A_01 + eps 1 P(y)'`` with one 1 per row of ``A_01``. So label noise drawn from the
  class prior leaves an injection an injection with eps = rho (``World.epsilon``), and any other label noise makes it a
  channel. Where eps > 0, families without eps (the paper's definition to the letter) do not contain it.

For an injection, ``P(y | x)`` before label noise is also softmax linear in x, because all classes have the same
covariance: logistic regression on the features holds it, whatever the shares, and label noise from the class prior with
eps = rho. That is where the signal is if it is in the features alone (``signal="features"``); label maps, which see the
source conditional only, then have a gap of exactly 1, and ``World.truth(given="all")`` is what the features leave.

In a stricter family D is larger; under the zero-one loss it may be the same, as only the largest class counts. The gap
of a map that was fitted to a sample is larger too, and ``World.expected_loss`` gives it. Groups leave all of this as it
is: each sample by itself is distributed as if there were none.

Example:
    >>> from gapkit.data.worlds import WorldOptions, make_world, separation_for
    >>> options = WorldOptions(relation="injection", n_source=12, n_target=3, shares=(0.6, 0.3, 0.1), seed=1)
    >>> half = separation_for(options, 0.5)  # half of the label entropy is known
    >>> world = make_world(options, separation=half)
    >>> world.family, round(world.truth("kl").normalised, 1)
    ('injection', 0.5)
    >>> draw = world.draw(1000, seed=7)
    >>> draw.log_probabilities.shape, draw.features.shape, draw.labels.shape, draw.posterior.shape
    ((1000, 12), (1000, 8), (1000,), (1000, 3))

    The mean entropy of the exact conditional estimates H(Y | X); a map is never better than that:

    >>> import numpy as np
    >>> losses = -(draw.posterior * np.log(draw.posterior)).sum(axis=1)
    >>> bool(abs(losses.mean() - world.truth("kl").value) < 0.05)
    True
    >>> chosen = world.relation.argmax(axis=0)  # the source class of each target class
    >>> p = np.exp(draw.log_probabilities[:, chosen])
    >>> bool(np.allclose(p / p.sum(axis=1, keepdims=True), draw.posterior))
    True
"""

from gapkit.data.worlds.discrepancies import Discrepancy
from gapkit.data.worlds.options import WorldOptions
from gapkit.data.worlds.separation import separation_for
from gapkit.data.worlds.strictest import Family
from gapkit.data.worlds.truth import Truth
from gapkit.data.worlds.world import Draw, World, make_world

__all__ = ["Discrepancy", "Draw", "Family", "Truth", "World", "WorldOptions", "make_world", "separation_for"]
