"""Batches that are halved where memory runs out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from gapkit.errors import SourceError
from gapkit.sources.batching import automatic_size, batches

ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("MPS backend out of memory (MPS allocated: 1.00 GB)"),
    MemoryError(),
]


def hungry(limit: int, error: BaseException, runs: list[tuple[int, int]]) -> Callable[[int, int], range]:
    """A forward pass that has memory for ``limit`` samples."""

    def forward(start: int, stop: int) -> range:
        runs.append((start, stop))
        if stop - start > limit:
            raise error
        return range(start, stop)

    return forward


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: str(error)[:20])
def test_size_is_halved_and_stays_so_without_a_sample_lost(error: BaseException) -> None:
    runs: list[tuple[int, int]] = []
    found = list(batches(hungry(5, error, runs), 0, 30, 16, name="s"))
    assert runs == [(0, 16), (0, 8), *((start, start + 4) for start in range(0, 28, 4)), (28, 30)]
    assert [sample for batch in found for sample in batch.rows] == list(range(30))
    assert {batch.size for batch in found} == {4}
    assert [batch.stop for batch in found] == [*range(4, 30, 4), 30]


def test_whoever_goes_on_where_a_batch_ended_makes_the_same_batches() -> None:
    whole = list(batches(hungry(5, ERRORS[0], []), 0, 41, 32, name="s"))
    for position, batch in enumerate(whole):
        rest = list(batches(hungry(5, ERRORS[0], []), batch.stop, 41, batch.size, name="s"))
        assert rest == whole[position + 1 :]


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_memory_that_does_not_hold_one_sample_is_an_error(n: int) -> None:
    runs: list[tuple[int, int]] = []
    with pytest.raises(SourceError, match="vit runs out of memory with a single sample; .* --device cpu"):
        list(batches(hungry(0, ERRORS[0], runs), 0, n, 64, name="vit"))
    assert runs[-1] == (0, 1)


def test_other_errors_pass_and_are_not_tried_again() -> None:
    runs: list[tuple[int, int]] = []
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        list(batches(hungry(0, RuntimeError("mat1 and mat2 shapes cannot be multiplied"), runs), 0, 8, 4, name="s"))
    assert runs == [(0, 4)]


@pytest.mark.parametrize("row_bytes", [0, 1, 10**4, 3 * 10**6, 10**7, 10**10])
def test_size_is_a_power_of_two_within_the_bound(row_bytes: int) -> None:
    for device, largest, budget in (("cpu", 64, 1 << 29), ("cuda", 256, 1 << 32)):
        size = automatic_size(row_bytes, torch.device(device))
        assert 1 <= size <= largest
        assert size & (size - 1) == 0
        assert size == 1 or size * row_bytes <= budget
        assert size == largest or 2 * size * row_bytes > budget
