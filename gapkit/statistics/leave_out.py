"""What samples come to without each of some groups, without taking anything away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from gapkit.arrays import Array, Indices, Labels

S = TypeVar("S")


@dataclass(frozen=True, kw_only=True, eq=False)
class LeaveOut(Generic[S]):
    """For each of g groups of samples, a state that has absorbed all other samples.

    Groups are halved again and again: the state of one half has absorbed the other. So a sample is absorbed
    ``1 + log2 g`` times instead of g - 1 times, and as many states are held. Nothing is subtracted, so that a group of
    very large values that is left out takes no digits from the rest.

    Attributes:
        groups: positions of the samples of each group, ascending.
        always: positions of the samples that are in no group, ascending.
        start: the state that has absorbed nothing.
        absorb: a state and positions, ascending and at least one, to the state that has absorbed them as well; the
            given one stays as it is.
    """

    groups: tuple[Array, ...]
    always: Indices
    start: S
    absorb: Callable[[S, Indices], S]
    _path: list[tuple[int, int, S]] = field(default_factory=list[tuple[int, int, S]], init=False, repr=False)

    def __getitem__(self, group: int) -> S:
        """The state without one group; cheapest where groups are asked for in their order.

        Example:
            >>> values = np.array([1.0, 2.0, 4.0])
            >>> sums = leave_out(np.array([0, 1, 0]), 2, 0.0, lambda found, index: found + float(values[index].sum()))
            >>> sums[0], sums[1]
            (2.0, 5.0)
        """
        while self._path and not self._path[-1][0] <= group < self._path[-1][1]:
            self._path.pop()
        if not self._path:
            self._path.append((0, len(self.groups), self._absorbed(self.start, (self.always,))))
        low, high, state = self._path[-1]
        while high - low > 1:
            middle = (low + high) // 2
            if group < middle:
                state, high = self._absorbed(state, self.groups[middle:high]), middle
            else:
                state, low = self._absorbed(state, self.groups[low:middle]), middle
            self._path.append((low, high, state))
        return state

    def _absorbed(self, state: S, groups: tuple[Array, ...]) -> S:
        """The state with several groups more."""
        index = np.sort(np.concatenate(groups))
        return self.absorb(state, index) if len(index) else state


def leave_out(ids: Labels, count: int, start: S, absorb: Callable[[S, Indices], S]) -> LeaveOut[S]:
    """Groups by their number for each sample.

    Args:
        ids: (n,) the group of each sample, 0 .. count - 1, or -1.
        count: groups.
        start: the state that has absorbed nothing.
        absorb: as ``LeaveOut`` has it.
    """
    groups = tuple(np.flatnonzero(ids == group) for group in range(count))
    return LeaveOut(groups=groups, always=np.flatnonzero(ids < 0), start=start, absorb=absorb)
