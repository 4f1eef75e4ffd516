"""How far weights have moved, layer by layer, and in how many directions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gapkit.arrays import Floats
from gapkit.errors import UndefinedError
from gapkit.estimates import Estimate, undefined
from gapkit.reuse.layer_tensors import check_alike, layer_names, layer_parameters
from gapkit.sources.hooks import unknown_layer
from gapkit.statistics.effective_rank import effective_rank


@dataclass(frozen=True, kw_only=True)
class TensorChange:
    """What tuning did to one parameter.

    Attributes:
        name: relative to the layer; of a shared parameter the first of its names.
        shape: of the parameter.
        norm: |W_before|_F.
        change: |dW|_F, ``dW = W_after - W_before``.
        effective_rank: of dW as a matrix; None where that is undefined.
        reason: why it is undefined.
    """

    name: str
    shape: tuple[int, ...]
    norm: float
    change: float
    effective_rank: float | None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class LayerChange:
    """What tuning did to one layer: facts about two sets of weights, so without intervals.

    Attributes:
        layer: its name.
        drift: ``|dW|_F / |W_before|_F`` over all its parameters; n is the number of weights.
        effective_rank: mean over its matrices of the effective rank of dW, weighted by ``|dW|_F^2``.
        tensors: each parameter for itself; empty where the layer is undefined.
    """

    layer: str
    drift: Estimate
    effective_rank: Estimate
    tensors: tuple[TensorChange, ...]


def weight_changes(before: nn.Module, after: nn.Module, layers: Iterable[str]) -> tuple[LayerChange, ...]:
    """Drift and effective rank of the change, for each layer: a submodule with its parameters and those below it.

    ``drift = |W_after - W_before|_F / |W_before|_F``, norms over all parameters of the layer at once, shared ones
    counted once; in [0, inf), without unit, exactly 0 for equal weights, invariant to one factor on both models.
    Differences are taken in float64, of which float32 weights use a part only.

    The effective rank, ``exp(H(s / sum s))`` of the singular values s of dW (Roy and Vetterli, EUSIPCO 2007), says in
    how many directions a matrix moved: 1 for a rank-one update, up to min(rows, columns). It is that of dW, not of W;
    of tensors with more axes, as of kernels, it is that of outputs by everything else. For a layer it is the mean of
    those of its matrices with weights ``|dW|_F^2``, so that matrices which did not move do not count.

    Args:
        before: the pretrained model.
        after: the tuned model.
        layers: names of submodules; "" is the whole model.

    Returns:
        One entry for each layer; where tensors do not pair up or cannot be compared, undefined with the reason.

    Raises:
        OptionError: a layer that neither model has.

    Example:
        >>> before, after = nn.Linear(2, 1), nn.Linear(2, 1)
        >>> after.load_state_dict({name: 1.5 * tensor for name, tensor in before.state_dict().items()})
        <All keys matched successfully>
        >>> (found,) = weight_changes(before, after, [""])
        >>> round(found.drift.value, 6), round(found.effective_rank.value, 6), found.drift.n
        (0.5, 1.0, 3)
    """
    return tuple(_layer_change(before, after, layer) for layer in layers)


def weight_drift(before: Mapping[str, Tensor], after: Mapping[str, Tensor], layer: str) -> Estimate:
    """The drift of ``weight_changes`` alone, without the singular values of dW.

    Args:
        before: the pretrained parameters of a layer, by names relative to it, a shared one under each of its names.
        after: the tuned ones.
        layer: its name, for messages.

    Returns:
        Undefined, with the reason, where tensors do not pair up or cannot be compared.

    Example:
        >>> weight_drift({"weight": torch.ones(2, 2)}, {"weight": torch.full((2, 2), 1.5)}, "0").value
        0.5
    """
    try:
        tensors, n = _tensor_changes(dict(before), dict(after), layer, ranks=False)
    except UndefinedError as error:
        return undefined(str(error), 0)
    return _drift(tensors, n)


def _layer_change(before: nn.Module, after: nn.Module, layer: str) -> LayerChange:
    """One layer, undefined where it does not pair up."""
    names = [layer_names(module) for module in (before, after)]
    if not any(layer in known for known in names):
        raise unknown_layer(layer, names[0])
    try:
        for known, whose in zip(names, ("pretrained", "tuned"), strict=True):
            if layer not in known:
                raise UndefinedError(
                    f"the {whose} model has no layer {layer!r}",
                    expected="the layer in both models",
                    remedy="take a layer that tuning has not rebuilt",
                )
        tensors, n = _tensor_changes(layer_parameters(before, layer), layer_parameters(after, layer), layer)
    except UndefinedError as error:
        nothing = undefined(str(error), 0)
        return LayerChange(layer=layer, drift=nothing, effective_rank=nothing, tensors=())
    return LayerChange(layer=layer, drift=_drift(tensors, n), effective_rank=_mean_rank(tensors, n), tensors=tensors)


def _tensor_changes(
    before: dict[str, Tensor], after: dict[str, Tensor], layer: str, *, ranks: bool = True
) -> tuple[tuple[TensorChange, ...], int]:
    """Each pair of parameters once, and how many weights that is.

    Raises:
        UndefinedError: no parameters, or some that cannot be compared.
    """
    if not before and not after:
        raise UndefinedError(f"layer {layer!r} has no parameters", expected="weights to compare", remedy="leave it out")
    check_alike(after, before, layer)
    seen: set[tuple[int, int]] = set()
    found: list[TensorChange] = []
    for name, old in before.items():
        pair = (id(old), id(after[name]))
        if pair not in seen:
            seen.add(pair)
            values = _values(old, name, layer), _values(after[name], name, layer)
            found.append(_tensor_change(name, *values, ranked=ranks))
    return tuple(found), sum(int(np.prod(change.shape)) for change in found)


def _values(tensor: Tensor, name: str, layer: str) -> Floats:
    """A parameter in float64, in host memory.

    Raises:
        UndefinedError: packed integers, weights that are not in memory, NaN or infinite ones.
    """
    if tensor.is_meta or not tensor.is_floating_point():
        raise UndefinedError(
            f"{name!r} of layer {layer!r} has dtype {tensor.dtype} on device {tensor.device}",
            expected="weights that are real numbers in memory",
            remedy="load the model without quantisation or offloading",
        )
    values = tensor.detach().to("cpu", torch.float64).numpy()
    if not np.isfinite(values).all():
        raise UndefinedError(
            f"{name!r} of layer {layer!r} has NaN or infinite weights",
            expected="finite weights",
            remedy="take a checkpoint from before training diverged",
        )
    return values


def _tensor_change(name: str, before: Floats, after: Floats, *, ranked: bool) -> TensorChange:
    """Norms of one parameter, and its effective rank where that is asked for."""
    change = after - before
    size = _norm(change)
    rank, reason = None, "it has fewer than two axes" if ranked else "not asked for"
    if change.ndim >= 2 and ranked:
        rank, reason = (_rank(change), "") if size > 0 else (None, "dW is zero")
    return TensorChange(
        name=name, shape=before.shape, norm=_norm(before), change=size, effective_rank=rank, reason=reason
    )


def _rank(change: Floats) -> float:
    """Effective rank of dW, which is not zero; rows of zeros, such as of words never seen, only take time."""
    matrix = _matrix(change)
    return effective_rank(matrix[matrix.any(axis=1)], centred=False)


def _matrix(change: Floats) -> Floats:
    """Two axes: outputs by everything else; leading axes of length 1, as position embeddings have, are dropped."""
    while change.ndim > 2 and change.shape[0] == 1:
        change = change[0]
    return change.reshape(len(change), -1)


def _norm(values: Floats) -> float:
    """Frobenius norm, in units of the largest entry, whose square could overflow or vanish."""
    largest = float(np.abs(values).max(initial=0.0))
    return 0.0 if largest == 0 else largest * float(np.linalg.norm((values / largest).reshape(-1)))


def _drift(tensors: tuple[TensorChange, ...], n: int) -> Estimate:
    """|dW| / |W| of all together."""
    change = _norm(np.array([tensor.change for tensor in tensors]))
    norm = _norm(np.array([tensor.norm for tensor in tensors]))
    if change > 0 and norm == 0:
        reason = "the pretrained weights of this layer are all zero, so that no share of them has moved"
        return undefined(reason, n)
    return Estimate(value=change / norm if change > 0 else 0.0, interval=None, n=n)


def _mean_rank(tensors: tuple[TensorChange, ...], n: int) -> Estimate:
    """Mean of the effective ranks, by |dW|^2."""
    moved = [(tensor.change, tensor.effective_rank) for tensor in tensors if tensor.effective_rank is not None]
    if not moved:
        matrices = [tensor for tensor in tensors if len(tensor.shape) >= 2]
        reason = "dW is zero in every matrix" if matrices else "no parameter has two axes"
        return undefined(reason, n)
    changes: Floats = np.array([change for change, _ in moved])
    weights = np.square(changes / changes.max())
    ranks = np.array([rank for _, rank in moved])
    return Estimate(value=float(weights @ ranks / weights.sum()), interval=None, n=n)
