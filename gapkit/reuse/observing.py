"""Features of a model that somebody trains: a forward pass that leaves nothing behind in it."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gapkit.arrays import Array, StoredFeatures, seeded_torch
from gapkit.errors import DataError
from gapkit.sources.batching import batches
from gapkit.sources.early_exit import ending_early
from gapkit.sources.forward import PROBE
from gapkit.sources.hooks import Pooling, capturing
from gapkit.tensors import flagged_evaluating

WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)
COMPILED = "_orig_mod"
"""Where ``torch.compile`` keeps the module that it was given."""


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """What is shown to a model, and how.

    Attributes:
        x: (n, ...) floats, which become float32, or integers, which become int64.
        forward: what is called with the model and a batch; what it returns is not looked at.
        pooling: how tokens become one row.
        batch_size: samples per pass; halved where memory runs out.
        seed: of the global generators during the passes.
    """

    x: Array
    forward: Callable[[nn.Module, Tensor], object]
    pooling: Pooling = "mean"
    batch_size: int = 64
    seed: int = 0

    def batch(self, start: int, stop: int, device: torch.device) -> Tensor:
        """Some samples, in memory of their own, on a device."""
        dtype = np.float32 if self.x.dtype.kind == "f" else np.int64
        return torch.from_numpy(np.array(self.x[start:stop], dtype)).to(device)


def check_inputs(x: Array) -> None:
    """Refuse inputs that no tensor can hold.

    Raises:
        DataError: strings.
    """
    if x.dtype.kind == "U":
        raise DataError(
            "the surrogate has strings",
            expected="numbers, as the model takes them",
            remedy="tokenise them: gk.Target(token_ids, labels)",
        )


def unwrapped(model: nn.Module) -> nn.Module:
    """The module inside of DataParallel, DistributedDataParallel and ``torch.compile``.

    A pass through it alone waits for no other process, and the names of its layers are those that it was made with.

    Example:
        >>> inner = nn.Linear(1, 1)
        >>> unwrapped(nn.DataParallel(inner)) is inner
        True
    """
    while True:
        inner = getattr(model, "module", None) if isinstance(model, WRAPPERS) else getattr(model, COMPILED, None)
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def device_of(model: nn.Module) -> torch.device:
    """Where its first parameter, or buffer, is; the CPU where it has none."""
    tensors = (*model.parameters(), *model.buffers())
    return tensors[0].device if tensors else torch.device("cpu")


def observe(model: nn.Module, layers: Sequence[str], view: View) -> dict[str, StoredFeatures]:
    """Features of some layers on all samples, in float32, with the model in eval mode and without autocast.

    Afterwards the model and everything global are as before: see ``untouched``.

    Args:
        model: anything that ``view.forward`` runs.
        layers: names of submodules.
        view: the samples.

    Returns:
        (n, d) of every layer that has run with one row for each sample and one width; the others are left out.
    """
    model_names = dict(model.named_modules(remove_duplicate=False))
    modules = {name: model_names[name] for name in layers if name in model_names}
    capture = capturing(modules, pooling=view.pooling, grid=False)
    device, n = device_of(model), len(view.x)
    with untouched(model, view.seed), capture as captured, ending_early(modules) as run:

        def forward(start: int, stop: int) -> dict[str, Array]:
            captured.clear()
            run(lambda: view.forward(model, view.batch(start, stop, device)))
            return {name: rows.cpu().numpy() for name, rows in captured.items()}

        few = min(PROBE, n)
        next(batches(forward, 0, few, few, name=type(model).__name__))  # the whole pass, which is counted
        parts = [part.rows for part in batches(forward, 0, n, view.batch_size, name=type(model).__name__)]
    found = {name: [part[name] for part in parts if name in part] for name in modules}
    return {name: np.concatenate(rows) for name, rows in found.items() if _whole(rows, n)}


def _whole(rows: list[Array], n: int) -> bool:
    """Whether these are all rows, of one width."""
    return len({part.shape[1] for part in rows}) == 1 and sum(map(len, rows)) == n


@contextmanager
def untouched(model: nn.Module, seed: int) -> Generator[None]:
    """A block in which a model can be run in the midst of its training, without any consequence for it.

    In the block: eval mode, no gradients, no autocast, global generators at ``seed``. After it, whatever happens: each
    submodule's own mode, grad mode, autocast with what it has cached, and the generators of torch (CPU and CUDA), numpy
    and Python as before. Nothing is written to parameters, gradients or buffers, but what the model itself writes in
    eval mode.

    Args:
        model: the model.
        seed: so that a model which draws numbers in eval mode draws the same every time.
    """
    with ExitStack() as stack:
        stack.enter_context(flagged_evaluating(model))
        stack.enter_context(_host_generators(seed))
        stack.enter_context(seeded_torch(seed))
        # Not inference mode: a model may keep tensors that it makes on the way, and train with them later.
        stack.enter_context(torch.no_grad())
        for kind in sorted({"cpu", device_of(model).type}):
            # What an autocast of the model's own casts here has no gradient; not every torch keeps it from training.
            stack.enter_context(torch.autocast(kind, enabled=False, cache_enabled=False))
        yield


@contextmanager
def _host_generators(seed: int) -> Generator[None]:
    """The global generators of Python and numpy, which a model may draw from, at a seed, and as before after it."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the user's, to be given back
    try:
        random.setstate(random.Random(seed).getstate())  # noqa: S311 - no secrets
        np.random.set_state(np.random.RandomState(seed % 2**32).get_state())  # noqa: NPY002
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
