"""Low-rank adapters: trained in place of the encoder's weights, and merged into these at the end."""

from __future__ import annotations

import importlib
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gapkit.arrays import generator, seeded_torch
from gapkit.errors import OptionError, did_you_mean
from gapkit.mona.model import fits, not_frozen
from gapkit.mona.problem import SourceEncoder
from gapkit.mona.training_options import TrainingOptions
from gapkit.sources.blocks import block_names

ADAPTER_STREAM = 105
LARGEST_SEED = 2**31
SCALE = 2
"""Of ``B A``, whatever the rank: ``lora_alpha`` is twice the rank, as is usual."""
NAME = "target"


@dataclass(frozen=True, kw_only=True)
class LowRankAdapters:
    """``(W + 2 B A) x`` in place of ``W x`` in linear layers, by ``peft`` (Hu et al., *LoRA*, ICLR 2022).

    A (rank, in) begins at random, B (out, rank) at zero, so that the encoder's first outputs are those without.

    Attributes:
        layers: names of the linear layers in the source's module.
        rank: of A and B.
        seed: of the run, which A is drawn by.
    """

    layers: tuple[str, ...]
    rank: int
    seed: int

    def insert(self, module: nn.Module) -> None:
        """Put adapters into the module, where there are none yet; the weights keep their values, not their names."""
        if self.inside(dict(module.named_parameters())):
            return
        peft = _library()
        config = peft.LoraConfig(
            r=self.rank, lora_alpha=SCALE * self.rank, target_modules="|".join(map(re.escape, self.layers))
        )
        with seeded_torch(int(generator(self.seed, ADAPTER_STREAM).integers(LARGEST_SEED))):
            peft.inject_adapter_in_model(config, module, adapter_name=NAME)

    @staticmethod
    def inside(state: Mapping[str, Tensor]) -> bool:
        """Whether weights of these names are of a module with adapters."""
        return any(_is_adapter(name) for name in state)

    @staticmethod
    def weights(module: nn.Module) -> dict[str, nn.Parameter]:
        """A and B of every adapter, by name."""
        return {name: weight for name, weight in module.named_parameters() if _is_adapter(name)}

    def merge(self, module: nn.Module) -> None:
        """Put ``W + 2 B A`` in the place of W and take the adapters out; all names are the source's again."""
        if not self.inside(dict(module.named_parameters())):
            return
        for name in self.layers:
            parent, _, own = name.rpartition(".")
            adapted: Any = module.get_submodule(name)
            adapted.merge()
            setattr(module.get_submodule(parent), own, adapted.get_base_layer())
        del module.peft_config  # what peft has left

    def told(self, module: nn.Module, weights: Mapping[str, Tensor]) -> str:
        """What there is to say in a result, of the module without adapters and the weights that they stand for."""
        shapes = [module.get_submodule(name).get_parameter("weight").shape for name in self.layers]
        count, total = self.rank * sum(map(sum, shapes)), sum(weight.numel() for weight in weights.values())
        return (
            f"fine-tuning of the encoder by adapters of rank {self.rank} in {len(shapes)} linear layers: "
            f"{count} weights in place of {total}, merged into them at the end"
        )


def low_rank_adapters(
    encoder: SourceEncoder, tokens: Tensor, weights: dict[str, nn.Parameter], options: TrainingOptions
) -> LowRankAdapters | None:
    """The adapters that the options ask for; None without any.

    Layers that ``freeze`` means get none, so that the merged weights stay as they are there too.

    Args:
        encoder: of the target model.
        tokens: a small batch.
        weights: of the encoder that tokens go through, by name.
        options: of the training.

    Raises:
        OptionError: ``peft`` is not installed, or no layer is left.
    """
    if options.lora is None:
        return None
    _library()
    kept = {name.removeprefix("module.") for name in not_frozen(weights, options.freeze)}
    linear = [name for name in _linear_layers(encoder, tokens) if f"{name}.weight" in kept]
    if not linear:
        raise OptionError(
            f"lora {options.lora} for {encoder.adapter.name}, whose blocks have no linear layer to be adapted",
            expected="linear layers (torch.nn.Linear) that freeze leaves to train",
            remedy="freeze less, or leave lora out",
        )
    for pattern in options.lora_layers:
        if not any(fits(name, pattern) for name in linear):
            raise OptionError(
                f"lora_layers {pattern!r} fits no linear layer of the encoder's blocks",
                expected="names or globs of these layers or of modules that they are in",
                remedy=did_you_mean(pattern, linear),
            )
    asked = options.lora_layers or ("*",)
    layers = tuple(name for name in linear if any(fits(name, pattern) for pattern in asked))
    return LowRankAdapters(layers=layers, rank=options.lora, seed=options.seed)


def _linear_layers(encoder: SourceEncoder, tokens: Tensor) -> list[str]:
    """Linear layers inside of the encoder's blocks that are called; what only lends its weights cannot be adapted."""
    blocks = block_names(encoder.module)
    linear = {
        name: layer
        for name, layer in encoder.module.named_modules()
        if isinstance(layer, nn.Linear) and any(name.startswith(f"{block}.") for block in blocks)
    }
    with _calls(linear) as called, torch.no_grad():
        encoder(tokens)
    return [name for name in linear if name in called]


@contextmanager
def _calls(layers: dict[str, nn.Linear]) -> Generator[set[str]]:
    """The names of the layers that are called inside the block."""
    called: set[str] = set()
    handles = [layer.register_forward_hook(lambda *_, name=name: called.add(name)) for name, layer in layers.items()]
    try:
        yield called
    finally:
        for handle in handles:
            handle.remove()


def _is_adapter(name: str) -> bool:
    """Whether a weight is A or B of an adapter."""
    return name.endswith((f".lora_A.{NAME}.weight", f".lora_B.{NAME}.weight"))


def _library() -> Any:
    """``peft``, imported when it is needed.

    Raises:
        OptionError: it is not installed.
    """
    try:
        return importlib.import_module("peft")
    except ModuleNotFoundError as error:
        if error.name != "peft":
            raise
        raise OptionError(
            "lora without the package peft, which is not installed",
            expected="peft, which puts adapters into models",
            remedy="pip install 'gapkit[peft]', or leave lora out",
        ) from error
