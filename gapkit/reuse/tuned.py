"""A tuned model beside the source that it was tuned from: the same cut, and the same tokens."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn
from torch.nn.utils import skip_init

from gapkit.reuse.initialising import copied
from gapkit.sources.checkpoint import check_file, other_architecture, read_checkpoint
from gapkit.sources.cut import Cut, generic_names
from gapkit.sources.load import load_source
from gapkit.sources.source import Source
from gapkit.tensors import evaluating
from gapkit.types import Adapter

PREFIXES = ("timm", "hf", "vit")
"""What names of sources begin with, where they are no paths."""


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """A tuned model in the cut of its source.

    Attributes:
        source: with the tuned weights; its head, where it has one, is the tuned one.
        notes: what was not taken from the weights.
    """

    source: Source
    notes: tuple[str, ...] = ()


def tuned_source(source: Source, state: Mapping[str, Tensor], *, name: str) -> Tuned:
    """The source's architecture with other weights; its last linear map may have another number of outputs.

    Weights under one common prefix more than the source's, as models with a head of their own have them (``bert.``),
    are found. The source stays as it is.

    Args:
        source: what the model was tuned from.
        state: names and tensors of the tuned model.
        name: of the tuned model.

    Raises:
        SourceError: tensors are missing or of another shape, or, where the source has a head, left over.
    """
    module = copied(source.module)
    state = _without_prefix(state, list(module.state_dict()))
    adapter = with_module(source.adapter, module, name=name)
    head = getattr(adapter, "classifier", None)
    count = _fit_head(module, head, state) if isinstance(head, nn.Linear) else None
    own = module.state_dict()
    extra = [key for key in state if key not in own]
    headless = source.class_names is None
    problems = {
        "missing": [key for key in own if key not in state],
        "not in the architecture": [] if headless else extra,
        "of another shape": [key for key in own if key in state and state[key].shape != own[key].shape],
    }
    if any(problems.values()):
        raise other_architecture(
            name, source.name, problems, total=len(own), remedy="give the source that the model was tuned from"
        )
    module.load_state_dict({key: state[key] for key in own})
    if count is not None and count != source.n_classes:
        adapter.class_names = generic_names(count)
    notes = (f"{name}: {len(extra)} tensors beside the source's are not used ({extra[0]}, ...)",) if extra else ()
    return Tuned(source=Source(adapter, device=str(source.device), precision=source.precision), notes=notes)


def with_module(adapter: Adapter, module: nn.Module, *, name: str) -> Adapter:
    """The same cut of another module of the same architecture."""
    found = copy.copy(adapter)
    found.module, found.name = module, name
    return found


@dataclass(kw_only=True)
class Behind(Cut):
    """The encoder of one model behind the embedder of another, so that both see the same tokens.

    Attributes:
        own: the model whose encoder is run.
        first: the model whose embedder is run.
        embedder: hash of its weights, which the feature cache asks for.
    """

    own: Adapter
    first: Adapter
    embedder: str

    def embed(self, x: Tensor) -> Tensor:
        """By the other model, in eval mode."""
        with evaluating(self.first.module):
            return self.first.embed(x)

    def encode(self, tokens: Tensor) -> Tensor:
        """By the model itself."""
        return self.own.encode(tokens)

    def pool(self, hidden: Tensor) -> Tensor:
        """By the model itself."""
        return self.own.pool(hidden)

    def head(self, features: Tensor) -> Tensor:
        """By the model itself."""
        return self.own.head(features)


def behind(source: Source, own: Adapter, *, weights_hash: str) -> Source:
    """A model behind the embedder of ``source``, whose hash is given, as it takes a pass over all weights."""
    adapter = Behind(
        name=own.name,
        module=own.module,
        input=source.input,
        class_names=own.class_names,
        token=source.token,
        own=own,
        first=source.adapter,
        embedder=weights_hash,
    )
    return Source(adapter, device=str(source.device), precision=source.precision)


def _without_prefix(state: Mapping[str, Tensor], names: list[str]) -> dict[str, Tensor]:
    """Names without a prefix that stands before all of the source's own names, if there is one."""
    first = names[0] if names else ""
    prefixes = [key.removesuffix(first) for key in state if first and key.endswith(f".{first}")]
    for prefix in prefixes:
        if all(f"{prefix}{name}" in state for name in names) and not all(name in state for name in names):
            return {key.removeprefix(prefix): value for key, value in state.items()}
    return dict(state)


def _fit_head(module: nn.Module, head: nn.Linear, state: Mapping[str, Tensor]) -> int | None:
    """Give the last linear map the number of outputs that the weights have; None where they have no such map."""
    name = next(key for key, part in module.named_modules() if part is head)
    weight, bias = state.get(f"{name}.weight"), state.get(f"{name}.bias")
    if weight is None or weight.ndim != 2 or weight.shape[1] != head.in_features:
        return None
    if len(weight) != head.out_features or (bias is None) != (head.bias is None):
        parent, _, own = name.rpartition(".")
        place = {"device": head.weight.device, "dtype": head.weight.dtype}
        # Without initial values: drawing them would move torch's global generator.
        fresh = skip_init(nn.Linear, head.in_features, len(weight), bias=bias is not None, **place)
        setattr(module.get_submodule(parent), own, fresh)
    return len(weight)


def as_tuned(source: Source, given: Source | nn.Module | str | Path) -> Tuned:
    """A tuned model in the cut of its source.

    Args:
        source: what it was tuned from.
        given: a source, a module of the same architecture, the path of a checkpoint or of a folder as timm and
            transformers write them, or a name that ``load_source`` takes.

    Raises:
        SourceError: it cannot be read, or is of another architecture.
    """
    if isinstance(given, nn.Module):
        return tuned_source(source, given.state_dict(), name=f"tuned {type(given).__name__}")
    if isinstance(given, Source):
        tuned = tuned_source(source, given.module.state_dict(), name=given.name)
        if given.class_names is not None and given.n_classes == tuned.source.n_classes:
            tuned.source.adapter.class_names = given.class_names
        return tuned
    text = str(given)
    path = Path(text.removeprefix("file:")).expanduser()
    if not path.is_dir() and (isinstance(given, Path) or path.is_file() or text.partition(":")[0] not in PREFIXES):
        check_file(path, name=text)
        return tuned_source(source, read_checkpoint(path), name=path.name)
    return as_tuned(source, load_source(f"file:{path}" if path.is_dir() else text))
