"""A hypergradient of processes that hold parts of the batches, played by threads."""

from __future__ import annotations

import copy
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from gapkit.mona.hypergradient import hypergradient
from gapkit.mona.options import HypergradientOptions
from gapkit.mona.passes import Exchange
from gapkit.mona.problem import LabelledBatch


class Group:
    """Processes as threads that wait for each other."""

    def __init__(self, size):
        self.size, self.barrier, self.slots = size, threading.Barrier(size, timeout=60), [None] * size

    def share(self, rank, value):
        self.slots[rank] = value
        self.barrier.wait()
        everything = list(self.slots)
        self.barrier.wait()
        return everything

    def exchange(self, rank):
        group = self

        class Gather(torch.autograd.Function):
            @staticmethod
            def forward(ctx, features):
                return torch.cat(group.share(rank, features.detach()))

            @staticmethod
            def backward(ctx, gradient):
                total = sum(group.share(rank, gradient))
                return total.chunk(group.size)[rank]

        def reduce(tensors):
            everything = group.share(rank, [tensor.clone() for tensor in tensors])
            for tensor, parts in zip(tensors, zip(*everything, strict=True), strict=True):
                tensor.copy_(sum(parts) / group.size)

        return Exchange(reduce=reduce, gather=Gather.apply)


@pytest.mark.parametrize("microbatches", [1, 2])
def test_processes_with_parts_of_the_batches_find_the_gradient_of_the_whole(make_problem, relative_error, microbatches):
    whole = make_problem("bundled", seed=41, n=8, m=12)
    options = HypergradientOptions(alpha=0.3, microbatches=microbatches, head_second_order=True)
    group, size = Group(2), 2

    def work(rank):
        part = copy.deepcopy(whole)
        pieces = [getattr(whole, name).inputs.chunk(size)[rank] for name in ("target", "source")]
        part.target = LabelledBatch(inputs=pieces[0], labels=whole.target.labels.chunk(size)[rank])
        part.source = LabelledBatch(inputs=pieces[1], labels=whole.source.labels)
        return hypergradient(part, options, exchange=group.exchange(rank))

    with ThreadPoolExecutor(size) as pool:
        parts = list(pool.map(work, range(size)))
    expected = hypergradient(whole, options)
    for part in parts:
        assert relative_error(part.embedder_term, expected.embedder_term) < 1e-9
        assert relative_error(part.embedder, expected.embedder) < 1e-9
        assert relative_error(part.head, expected.head) < 1e-9
        assert part.source_loss == pytest.approx(expected.source_loss, abs=1e-12)
        assert part.inner_product == pytest.approx(expected.inner_product, rel=1e-10)
