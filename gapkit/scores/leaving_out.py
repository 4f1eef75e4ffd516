"""Scores without each block of the samples: computed anew, or from what the blocks have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Protocol, cast, runtime_checkable

from gapkit.arrays import Array, Indices
from gapkit.errors import UndefinedError
from gapkit.scores.inputs import Score, ScoreInputs
from gapkit.statistics.jackknife import Blocks, kept
from gapkit.statistics.leave_out import LeaveOut, leave_out
from gapkit.statistics.totals import Totals, absorb_totals

Compute = Callable[[Array], float]
"""A score, from labels."""
WithoutBlock = Callable[[int, ScoreInputs], float]
"""A score without a block, from the block's number and the samples that are left."""


@runtime_checkable
class HoldsFit(Protocol):
    """A score, as a function of labels, whose fit has many optima: without some samples it keeps to the one found."""

    def among(self, index: Indices) -> Compute:
        """The score of the samples at ``index``, by the fit to all."""
        ...


@runtime_checkable
class LeavesOut(Protocol):
    """A score, as a function of labels, that takes less work for all blocks together than anew without each.

    It does not read the probabilities of the samples that are left, which are not copied for it.
    """

    def without(self, blocks: Blocks) -> WithoutBlock:
        """What the score, computed anew, would be without each block, to rounding."""
        ...


def leave_blocks_out(
    begun: Mapping[str, tuple[Score, Compute]], inputs: ScoreInputs, blocks: Blocks
) -> dict[str, list[float] | str]:
    """Each score, by name, without each block; or why it is undefined without one.

    Block by block, so that one part of the samples is held at a time.

    Args:
        begun: scores, and themselves as functions of the labels of all samples.
        inputs: all samples.
        blocks: which are left out together.
    """
    found: dict[str, list[float] | str] = {name: [] for name in begun}
    scorers = {name: _scorer(score, compute, blocks) for name, (score, compute) in begun.items()}
    if not any("probabilities" in score.traits.needs for score, compute in begun.values() if _anew(compute)):
        inputs = replace(inputs, log_probabilities=None)
    totals = leave_out(blocks.ids, len(blocks.layers), None, partial(absorb_totals, inputs.features))
    for block in range(len(blocks.layers)):
        part = inputs.take(kept(blocks.ids, block), partial(_measured, totals, block))
        for name, scorer in scorers.items():
            values = found[name]
            if isinstance(values, str):
                continue
            try:
                values.append(scorer(block, part))
            except UndefinedError as error:
                left = int((blocks.ids == block).sum())
                found[name] = f"no interval: without {left} of the samples, {error.got}"
    return found


def _anew(compute: Compute) -> bool:
    """Whether a score is computed from the samples that are left alone."""
    return not isinstance(compute, LeavesOut)


def _scorer(score: Score, compute: Compute, blocks: Blocks) -> WithoutBlock:
    """How a score is computed without a block."""
    if isinstance(compute, LeavesOut):
        return compute.without(blocks)
    if isinstance(compute, HoldsFit):
        return lambda block, part: compute.among(kept(blocks.ids, block))(part.labels)
    return lambda _, part: score.on(part)(part.labels)


def _measured(totals: LeaveOut[Totals | None], block: int) -> Totals:
    """The totals without a block, outside of which there are samples."""
    return cast("Totals", totals[block])
