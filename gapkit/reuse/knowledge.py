"""The knowledge-reuse score: one number in [0, 1] for a layer, and for a model.

**Definition.** Of the surrogate, for one layer before and after tuning and for s >= 3 random-weight copies:

* ``held = clip((a_after - a_rand) / (a_before - a_rand), 0, 1)``, a the accuracy of the cross-fitted linear probe: the
  clipped *retention*. What the source's labels could be read off by, and still can.
* ``kept = clip((S - S_rand) / (1 - S_rand), 0, 1)``, S the debiased CKA of the layer before and after, S_rand the mean
  of those of the layer before and in the random-weight copies. How much of the arrangement of the samples is left,
  beyond what the architecture arranges without any training.
* ``score = sqrt(held kept)`` for a layer; ``kept`` alone, with the status "partial", where retention is undefined
  because the pretrained layer tells the source's classes no better than random weights do.
* The score of a model is the mean over its layers.

**Why.** Either part alone is fooled. Accuracy is saturated: a probe on a new representation that is as good for the
surrogate holds as much, though nothing of the old one is left, so that later layers and heads that were made for it
find nothing of theirs. Similarity is dominated by the directions of largest variance: a layer whose class directions
have been rotated away under them still looks alike. A geometric mean is 1 only where both are, 0 where either is, and
equals both where they agree, without a weight to be chosen. The random-weight floor is subtracted from both, since
random features already reach half of either for many architectures: without it a network that was never trained would
reuse itself.

**Where it fails.** (1) It is about the surrogate: what the source knows of other data can go unseen. (2) Held and kept
are facts about representations, not uses: a layer may keep all and the tuned model ignore it; *causal reuse* on the
target stands beside for that. (3) Linear probes miss knowledge that is kept, but no longer linearly readable; CKA
misses a map that is linear and not orthogonal, such as rescaled channels, so that the score is then too low. (4) Where
random weights do nearly as well as the pretrained layer, as in first layers, both floors are high, and the interval is
wide. (5) A layer that tuning has made *better* for the surrogate scores 1 in held: the score has no word for gains.
(6) Equal weights for all layers: a model with many layers near its input, which always keep, scores higher than the
same model seen at its last layers alone. (7) A layer passes on what the layers before it keep, and the random weights
of the floor begin at the input: new random weights on top of two or three kept layers scored 0.62 to 0.96 in small
networks, where random weights all through scored at most 0.08. A layer's score is about what arrives there, not about
its own weights, and does not fall at once where weights are lost; *drift* and *causal reuse* stand beside for that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gapkit.arrays import Array, Features, Floats, Labels
from gapkit.errors import UndefinedError
from gapkit.estimates import Estimate, undefined
from gapkit.reuse.cka import cka
from gapkit.reuse.denominators import ERRORS
from gapkit.reuse.retention import LEAST_COPIES, ProbeHits, beyond_random
from gapkit.statistics.jackknife import Jackknife, deal, kept

BLOCKS = 20


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerFeatures:
    """One layer of all models, on the surrogate.

    Attributes:
        before: (n, d) of the pretrained model.
        after: (n, d') of the tuned model; d' is another one in a head that it was given.
        random: (n, d) of each random-weight copy.
        hits: of the linear probes.
        labels: (n,) class codes, which blocks of samples are dealt out by.
    """

    before: Features
    after: Array
    random: Sequence[Features]
    hits: ProbeHits
    labels: Labels


@dataclass(frozen=True, kw_only=True)
class KnowledgeReuse:
    """The score of one layer and its parts.

    Attributes:
        score: ``sqrt(held kept)``, or ``kept`` alone.
        held: the clipped retention.
        kept: similarity beyond random weights.
        replicates: of the score, for that of the model: without each block of samples, and without each random-weight
            copy, which are drawn independently; None where it is undefined.
    """

    score: Estimate
    held: Estimate
    kept: Estimate
    replicates: Jackknife | None


def knowledge_reuse(layer: LayerFeatures, *, seed: int = 0) -> KnowledgeReuse:
    """The score of one layer, as the module defines it, in [0, 1], without unit, higher for more reuse.

    The 95 % interval is for new samples (20 blocks left out in turn; probes are not fitted again) and new random
    weights (each copy left out in turn) of the given models. gapkit's own.

    Args:
        layer: its features and hits; s >= 3 copies.
        seed: of the blocks.

    Returns:
        "partial" where retention is undefined and kept stands alone; "undefined" where CKA is, or where fewer than
        three copies or four samples, or groups, were given.
    """
    n, hits = len(layer.before), layer.hits
    dealt = deal(n, BLOCKS, strata=layer.labels, groups=_codes(hits.groups), seed=seed)
    if dealt is None or len(layer.random) < LEAST_COPIES:
        got = f"{len(layer.random)} random-weight copies" if dealt is not None else "fewer samples than blocks take"
        nothing = undefined(got, n)
        return KnowledgeReuse(score=nothing, held=nothing, kept=nothing, replicates=None)
    held, no_held = _held(hits, dealt)
    kept_, no_kept = _kept(layer, dealt)
    estimates = {
        "held": undefined(no_held, n) if held is None else _estimate(held, n),
        "kept": undefined(no_kept, n) if kept_ is None else _estimate(kept_, n),
    }
    if kept_ is None:
        return KnowledgeReuse(score=undefined(no_kept, n), replicates=None, **estimates)
    if held is None:
        score = replace(
            _estimate(kept_, n), status="partial", reason=f"kept alone, since retention is undefined: {no_held}"
        )
        return KnowledgeReuse(score=score, replicates=kept_, **estimates)
    both = combined([held, kept_], lambda parts: np.sqrt(parts[0] * parts[1]))
    return KnowledgeReuse(score=_estimate(both, n), replicates=both, **estimates)


def model_reuse(layers: Sequence[KnowledgeReuse]) -> Estimate:
    """The mean score of the layers that have one, with its interval; layers share blocks of samples, and copies.

    Args:
        layers: of one model, on the same samples and copies.

    Returns:
        "partial" where some layers have no score, or no retention; "undefined" where none has a score.
    """
    n = max((layer.score.n for layer in layers), default=0)
    known = [layer.replicates for layer in layers if layer.replicates is not None]
    if not known:
        return undefined("no layer has a score", n)
    found = _estimate(combined(known, lambda parts: parts.mean(axis=0)), n)
    alone = sum(layer.score.status == "partial" for layer in layers)
    missing = len(layers) - len(known)
    if not alone and not missing:
        return found
    told = [f"{missing} of {len(layers)} layers have no score"] if missing else []
    told += [f"{alone} of {len(layers)} stand for kept alone"] if alone else []
    return replace(found, status="partial", reason="; ".join(told))


def combined(parts: Sequence[Jackknife], function: Callable[[Floats], Floats]) -> Jackknife:
    """A function of several numbers of the same blocks and copies, (m, ...) to (...)."""
    return replace(
        parts[0],
        value=float(function(np.array([[part.value] for part in parts]))[0]),
        replicates=function(np.stack([part.replicates for part in parts])),
    )


def _jackknife(value: float, blocks: Floats, copies: Floats) -> Jackknife:
    """A number, and what it is without each block of samples and, in a layer of their own, without each copy."""
    layers = np.repeat(np.arange(2), [len(blocks), len(copies)])
    return Jackknife(value=value, replicates=np.concatenate([blocks, copies]), layers=layers)


def _estimate(found: Jackknife, n: int) -> Estimate:
    """With its 95 % interval within [0, 1]."""
    return Estimate(value=found.value, interval=found.interval(within=(0.0, 1.0)), n=n)


def _held(hits: ProbeHits, dealt: Labels) -> tuple[Jackknife | None, str]:
    """The clipped retention, or why there is none."""
    if reason := beyond_random(hits.crossed):
        return None, reason
    of_block = np.stack([dealt != block for block in range(int(dealt.max()) + 1)]).astype(np.float64)
    before, after, random = (_means(of_block, np.atleast_2d(one)) for one in (hits.before, hits.after, hits.random))
    everything = np.ones((1, len(dealt)))
    whole = [_means(everything, np.atleast_2d(one)) for one in (hits.before, hits.after, hits.random)]
    return (
        _jackknife(
            value=float(_share(whole[1], whole[2].mean(axis=0), whole[0])[0, 0]),
            blocks=_share(after, random.mean(axis=0), before)[0],
            copies=_share(whole[1], _without_each(whole[2][:, 0]), whole[0])[0],
        ),
        "",
    )


def _kept(layer: LayerFeatures, dealt: Labels) -> tuple[Jackknife | None, str]:
    """CKA beyond that of random weights, clipped, or why there is none."""
    others = [layer.after, *layer.random]
    index = [np.arange(len(dealt)), *(kept(dealt, block) for block in range(int(dealt.max()) + 1))]
    try:
        table = np.array([[cka(layer.before[rows], other[rows]) for other in others] for rows in index])
    except UndefinedError as error:
        return None, str(error)
    after, random = table[:, 0], table[:, 1:]
    floor, each = random.mean(axis=1), _without_each(random[0])
    left = _jackknife(value=1 - floor[0], blocks=1 - floor[1:], copies=1 - each)
    if left.value < ERRORS * left.standard_error or left.value <= 0:
        return None, f"random weights have a CKA of {floor[0]:.4g}, which leaves nothing to be kept beyond them"
    return (
        _jackknife(
            value=float(_share(after[0], floor[0], 1.0)),
            blocks=_share(after[1:], floor[1:], 1.0),
            copies=_share(after[0], each, 1.0),
        ),
        "",
    )


def _share(value: Array | float, floor: Array | float, top: Array | float) -> Floats:
    """``clip((value - floor) / (top - floor), 0, 1)``; 0 where a replicate has nothing between floor and top."""
    room = np.asarray(top - floor, dtype=np.float64)
    share = np.divide(value - floor, room, out=np.zeros(np.broadcast(value, room).shape), where=room > 0)
    return np.asarray(np.clip(share, 0.0, 1.0))


def _means(weights: Floats, values: Floats) -> Floats:
    """Weighted means (m, g) of rows (m, n) under weights (g, n)."""
    return values @ weights.T / weights.sum(axis=1)


def _without_each(values: Floats) -> Floats:
    """Means (s,) of all but each."""
    return (values.sum() - values) / (len(values) - 1)


def _codes(groups: Array | None) -> Labels | None:
    """Group codes."""
    return None if groups is None else np.unique(groups, return_inverse=True)[1].reshape(-1).astype(np.int64)
