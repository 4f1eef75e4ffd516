"""The processes that train one model together: what they average, gather and deal out."""

from __future__ import annotations

import atexit
import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as distributed
from torch import Tensor

from gapkit.arrays import Rows
from gapkit.errors import OptionError, TrainingError

SPOKEN = "gapkit/spoken"
STORE_SECONDS = 5


class Team:
    """One process alone, or several (``torchrun``, ``accelerate launch``) that see a share of each batch.

    Every process computes with the same weights on its share; gradients are averaged, so that equal shares give the
    gradient of the mean over the whole batch.

    Attributes:
        size: number of processes.
        rank: of this one.
    """

    def __init__(self) -> None:
        """Join the group that ``accelerate`` sets up where the environment asks for one."""
        # Made anew it finds the group that is there already.
        from accelerate import PartialState

        there = _has_group()
        state: Any = PartialState(cpu=not torch.cuda.is_available())
        self.size, self.rank = int(state.num_processes), int(state.process_index)
        self._device: torch.device = state.device
        if self.size > 1 and not there:
            atexit.register(_leave)

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def share(self, rows: Rows) -> Rows:
        """This process's part of a batch; the parts are equal.

        Raises:
            OptionError: the batch cannot be dealt out equally.
        """
        if len(rows) % self.size:
            raise OptionError(
                f"a batch of {len(rows)} for {self.size} processes",
                expected="a multiple of the number of processes",
                remedy=f"use a batch size such as {-(-len(rows) // self.size) * self.size}",
            )
        return rows[self.rank :: self.size]

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by their mean over the processes, in one message."""
        given = list(tensors)
        if self.size == 1 or not given:
            return
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in given])
        with _together():
            distributed.all_reduce(flat)
        flat /= self.size
        start = 0
        for tensor in given:
            tensor.detach().copy_(flat[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()

    def gather(self, rows: Tensor) -> Tensor:
        """Rows of all processes, one share after the other, with gradient to one's own.

        A loss of gathered rows that every process computes has, averaged over the processes, the gradient that it has
        in a single one.
        """
        if self.size == 1:
            return rows
        with _together():
            return _Gathered.apply(rows, self.rank, self.size)  # type: ignore[no-any-return]

    def agree(self, value: float) -> float:
        """The first process's value, where all have to decide alike."""
        if self.size == 1:
            return value
        told = torch.tensor([value], dtype=torch.float64, device=self._device)
        with _together():
            distributed.broadcast(told, src=0)
        return float(told)

    def most(self, value: float) -> float:
        """The largest value of all processes, where one that asks for something is enough."""
        if self.size == 1:
            return value
        told = torch.tensor([value], dtype=torch.float64, device=self._device)
        with _together():
            distributed.all_reduce(told, op=distributed.ReduceOp.MAX)
        return float(told)

    def same(self, text: str) -> str:
        """The first process's text."""
        told = [text]
        if self.size > 1:
            with _together():
                distributed.broadcast_object_list(told, src=0, device=self._device)
        return told[0]

    def wait(self) -> None:
        """Come back when all processes are here."""
        if self.size > 1:
            with _together():
                distributed.barrier()


def _has_group() -> bool:
    """Whether this process is in a group."""
    return bool(distributed.is_available() and distributed.is_initialized())


def _leave() -> None:
    """Leave the group before the interpreter ends: threads of its own that still run would abort the process."""
    if _has_group():
        distributed.destroy_process_group()


class _Gathered(torch.autograd.Function):
    """Rows of all processes; backward times their number, since gradients are averaged afterwards."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, rank: int, size: int) -> Tensor:
        """All rows."""
        ctx.place, ctx.size = slice(rank * len(rows), (rank + 1) * len(rows)), size
        parts = [torch.empty_like(rows) for _ in range(size)]
        distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """The gradient of one's own rows."""
        return gradients[0][ctx.place] * ctx.size, None, None


@contextmanager
def _together() -> Generator[None]:
    """What all processes do at the same time; where one is gone, the others end in words.

    Raises:
        TrainingError: another process has ended.
    """
    try:
        yield
    except RuntimeError as error:
        what = str(error).partition(". ")[0]
        raise TrainingError(
            f"another process of this run has ended ({what})",
            expected="all processes until the end",
            remedy="see what it said or why it was killed, and repeat the command: it goes on where it was",
        ) from error


def first_to_speak() -> bool:
    """Whether no other process of this run has had something to say: of several messages one is enough.

    Asked of the store by which the processes found each other; where there is none, everyone speaks.
    """
    found: Any = distributed
    address, port = os.environ.get("MASTER_ADDR"), os.environ.get("MASTER_PORT", "")
    if address is None or not port.isdecimal():
        return True
    try:
        patience = timedelta(seconds=STORE_SECONDS)
        store = found.TCPStore(address, int(port), is_master=False, timeout=patience, wait_for_workers=False)
        return bool(store.add(SPOKEN, 1) == 1)
    except RuntimeError:
        return True
