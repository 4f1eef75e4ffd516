"""Other values in one layer of a module, for the time of a block: rewound, reset, and BatchNorm made to fit."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from gapkit.errors import OptionError, UndefinedError, did_you_mean
from gapkit.reuse.initialising import layer_initialised, name_stream, permuted, varies
from gapkit.reuse.layer_tensors import check_alike, find_layer, layer_buffers, layer_parameters

Reset = Literal["permute", "init"]
RESET_STREAM = 70
MOST_INPUTS = 512
"""Training inputs that BatchNorm's statistics are re-estimated on."""
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@contextmanager
def swapped(module: nn.Module, layer: str, tensors: Mapping[str, Tensor]) -> Generator[None]:
    """Put other values into one layer inside the block; every bit is back after it, whatever happens.

    Values are copied into the parameters and buffers that are there, so that shared ones, views, optimisers and graphs
    that wait for their backward pass stay intact; requires_grad, gradients, modes, hooks, devices and dtypes are not
    touched. A tensor that another layer shares has the other values there too.

    Args:
        module: the tuned model.
        layer: name of a submodule; "" is the whole model.
        tensors: names relative to the layer -> values, of any dtype and on any device; those left out stay.

    Raises:
        OptionError: there is no such layer, or no such tensor in it.
        UndefinedError: another shape, two values for a shared tensor, or tensors that cannot be written to.

    Example:
        >>> model = nn.Sequential(nn.Linear(1, 1, bias=False))
        >>> before = model(torch.ones(1, 1)).item()
        >>> with swapped(model, "0", {"weight": torch.tensor([[2.0]])}):
        ...     model(torch.ones(1, 1)).item()
        2.0
        >>> model(torch.ones(1, 1)).item() == before
        True
    """
    # Copies, made before anything is written: values may be views of this very module.
    pairs = _paired(find_layer(module, layer), layer, tensors)
    kept = [(tensor, tensor.detach().clone()) for tensor, _ in pairs]
    try:
        _write(pairs)
        yield
    finally:
        _write(kept)


def _paired(found: nn.Module, layer: str, tensors: Mapping[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Each tensor of the layer that gets a value, once, and the value, with its dtype and on its device."""
    own = dict(found.named_buffers(remove_duplicate=False)) | dict(found.named_parameters(remove_duplicate=False))
    pairs: dict[int, tuple[Tensor, Tensor]] = {}
    for name, value in tensors.items():
        if name not in own:
            raise OptionError(
                f"{name!r} for layer {layer!r}", expected="a parameter or buffer of it", remedy=did_you_mean(name, own)
            )
        tensor = own[name]
        _check_place(tensor, value, f"{name!r} of layer {layer!r}")
        value = value.detach().to(device=tensor.device, dtype=tensor.dtype, copy=True)
        if id(tensor) in pairs and not torch.equal(pairs[id(tensor)][1], value):
            raise UndefinedError(
                f"{name!r} of layer {layer!r} is shared and gets two values",
                expected="one value for a shared tensor",
                remedy="take values from a model that shares the same tensors",
            )
        pairs[id(tensor)] = (tensor, value)
    return list(pairs.values())


def _check_place(tensor: Tensor, value: Tensor, name: str) -> None:
    """Refuse what cannot be written to, before anything is."""
    if tensor.shape != value.shape:
        raise UndefinedError(
            f"{name} has shape {tuple(tensor.shape)}, its other value {tuple(value.shape)}",
            expected="equal shapes",
            remedy="take a layer that tuning has not rebuilt",
        )
    spread = any(stride == 0 and size > 1 for stride, size in zip(tensor.stride(), tensor.shape, strict=True))
    if tensor.is_meta or value.is_meta or spread:
        raise UndefinedError(
            f"{name} is {'an expanded view' if spread else 'on the meta device'}",
            expected="tensors with memory of their own",
            remedy="load the model without offloading, or leave this tensor out",
        )


def _write(pairs: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Copy values in.

    ``data`` has a version counter of its own: a graph that was built before the block can still be run backwards after
    it, where all bits are the same. Inference tensors can be written to in inference mode only.
    """
    with torch.inference_mode():
        for tensor, value in pairs:
            tensor.data.copy_(value)


def rewind_values(module: nn.Module, pretrained: nn.Module, layer: str) -> dict[str, Tensor]:
    """The pretrained parameters and stored buffers of a layer.

    Args:
        module: the tuned model.
        pretrained: the model that it was tuned from.
        layer: name of a submodule.

    Returns:
        Names relative to the layer -> the pretrained tensors themselves, detached.

    Raises:
        OptionError: there is no such layer.
        UndefinedError: the layer has no parameters, or the two models have other tensors there.
    """
    found, old = layer_parameters(module, layer), layer_parameters(pretrained, layer)
    if not found and not old:
        raise UndefinedError(f"layer {layer!r} has no parameters", expected="weights to rewind", remedy="leave it out")
    check_alike(found, old, layer)
    buffers, old_buffers = layer_buffers(module, layer), layer_buffers(pretrained, layer)
    check_alike(buffers, old_buffers, layer)
    return {name: tensor.detach() for name, tensor in (old | old_buffers).items()}


def reset_values(
    module: nn.Module, pretrained: nn.Module, layer: str, *, seed: int, how: Reset = "permute"
) -> dict[str, Tensor]:
    """Values of a layer that keep nothing of its structure.

    "permute": the entries of each pretrained tensor with two axes or more in random order, a permutation for each name;
    vectors and buffers at their pretrained values. So magnitudes stay, and what the layer computes goes. "init": what
    the ``reset_parameters`` of its submodules give; buffers at their pretrained values.

    Args:
        module: the tuned model.
        pretrained: the model that it was tuned from.
        layer: name of a submodule.
        seed: one for each reset.
        how: "permute" or "init".

    Raises:
        OptionError: there is no such layer, or another ``how``.
        UndefinedError: as ``rewind_values``; a layer of vectors or constants, which no permutation changes; with
            "init", a submodule with parameters and no ``reset_parameters``.
    """
    values = rewind_values(module, pretrained, layer)
    if how == "init":
        return values | layer_initialised(find_layer(pretrained, layer), seed, name=layer)
    if how != "permute":
        raise OptionError(f"reset {how!r}", expected="'permute' or 'init'", remedy="use 'permute'")
    old = layer_parameters(pretrained, layer)
    matrices = {name: tensor for name, tensor in old.items() if tensor.ndim >= 2}
    if not any(varies(tensor) for tensor in matrices.values()):
        raise UndefinedError(
            f"no parameter of layer {layer!r} has two axes and entries that differ",
            expected="a matrix to permute",
            remedy="take the layer around it, or the module's initialiser (how='init')",
        )
    # Keyed by identity, so that a shared tensor gets one value under all of its names.
    found: dict[int, Tensor] = {}
    for name, tensor in matrices.items():
        if id(tensor) not in found:
            found[id(tensor)] = permuted(tensor, seed, RESET_STREAM, name_stream(f"{layer}.{name}"))
        values[name] = found[id(tensor)]
    return values


@contextmanager
def reestimate_batchnorm(
    module: nn.Module, batches: Iterable[Tensor], forward: Callable[[Tensor], object] | None = None
) -> Generator[None]:
    """Statistics of all BatchNorm layers from at most 512 inputs inside the block; the old bits are back after it.

    Cumulative averages of batch means and variances, weighted by the sizes of the batches; the rest of the module is in
    eval mode meanwhile. Layers after the first see what the batch's own statistics give, as in training. Nothing is
    done where no BatchNorm keeps statistics. A batch of one sample is left out: it has no variance.

    The tuned model needs it as much as one with a layer swapped, if the two are compared.

    Args:
        module: the model, with its swap in place.
        batches: of training inputs, first axis the samples.
        forward: what is called with a batch; the module where it is None.

    Raises:
        UndefinedError: no batch of two samples or more.
    """
    layers = [part for part in module.modules() if isinstance(part, BATCH_NORMS) and part.running_mean is not None]
    if not layers:
        yield
        return
    kept = [(tensor, tensor.detach().clone()) for part in layers for tensor in _statistics(part)]
    momenta = [(part, part.momentum) for part in layers]
    try:
        with _in_mode(module, layers):
            _estimate(layers, batches, forward or module)
        yield
    finally:
        _write(kept)
        for part, momentum in momenta:
            part.momentum = momentum


def _statistics(part: nn.Module) -> list[Tensor]:
    """The buffers of one BatchNorm layer."""
    return [tensor for name in STATISTICS if isinstance(tensor := getattr(part, name, None), Tensor)]


@contextmanager
def _in_mode(module: nn.Module, layers: Iterable[nn.Module]) -> Generator[None]:
    """These layers in train mode and everything else in eval mode; afterwards as before."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        for part, _ in modes:
            part.training = False
        for part in layers:
            part.training = True
        yield
    finally:
        for part, training in modes:
            part.training = training


def _estimate(layers: list[BatchNorm], batches: Iterable[Tensor], forward: Callable[[Tensor], object]) -> None:
    """Run up to ``MOST_INPUTS`` inputs; the share of each batch in the averages is its share of the inputs so far."""
    seen = 0
    with torch.inference_mode():
        for part in layers:
            part.reset_running_stats()
        for batch in batches:
            batch = batch[: MOST_INPUTS - seen]
            if len(batch) > 1:
                seen += len(batch)
                for part in layers:
                    part.momentum = len(batch) / seen
                forward(batch)
            if seen >= MOST_INPUTS - 1:
                break
    if not seen:
        raise UndefinedError(
            "no batch of at least two training inputs",
            expected=f"up to {MOST_INPUTS} training inputs for BatchNorm's statistics",
            remedy="give larger batches",
        )
