"""The source: a pretrained model cut into embedder, encoder and head, on a device, in eval mode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, final

import torch
from torch import nn

from gapkit.arrays import digest
from gapkit.errors import OptionError
from gapkit.tensors import tensor_bytes
from gapkit.types import Adapter, InputSpec, Target, TokenSpec

Precision = Literal["fp32", "bf16", "fp16"]
PRECISIONS: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@final
class Source:
    """A pretrained source model ``h . f . e`` over an ``Adapter``.

    Use ``load_source`` or ``Source.from_module`` to make one. The module is put into eval mode and on the device; its
    parameters stay in their own dtype, ``precision`` is the autocast dtype of the forward pass.

    Attributes:
        adapter: the cut of the model.
        device: where it runs.
        precision: "fp32", "bf16" or "fp16".
    """

    def __init__(self, adapter: Adapter, *, device: str = "auto", precision: str = "fp32") -> None:
        """Place the module on the device in eval mode.

        Raises:
            OptionError: the device or the precision is not to be had.
        """
        self.adapter = adapter
        self.device = choose_device(device)
        if precision not in PRECISIONS:
            raise OptionError(f"precision {precision!r}", expected="fp32, bf16 or fp16", remedy="use --precision fp32")
        self.precision = precision
        adapter.module.to(self.device).eval()

    @property
    def name(self) -> str:
        """How the source was asked for."""
        return self.adapter.name

    @property
    def module(self) -> nn.Module:
        """The whole model."""
        return self.adapter.module

    @property
    def input(self) -> InputSpec:
        """What the source's own embedder takes."""
        return self.adapter.input

    @property
    def token(self) -> TokenSpec | None:
        """The token space, None for models without one."""
        return self.adapter.token

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the K_s source classes, None for a headless source."""
        return self.adapter.class_names

    @property
    def n_classes(self) -> int:
        """K_s; 0 for a headless source."""
        return len(self.adapter.class_names or ())

    @property
    def surrogate(self) -> Target | None:
        """Small labelled set of the source's own modality, held out from its training."""
        return self.adapter.surrogate

    @property
    def trained_on(self) -> frozenset[str]:
        """Fingerprints of samples that it was trained on (``gapkit.arrays.fingerprints``); empty where unknown."""
        return getattr(self.adapter, "trained_on", frozenset())

    def layers(self) -> tuple[str, ...]:
        """Names of the submodules whose outputs can be captured, in the order of the model.

        Lists and dicts of modules are left out: they are never called.
        """
        containers = (nn.ModuleList, nn.ModuleDict)
        named = self.module.named_modules()
        return tuple(name for name, module in named if name and not isinstance(module, containers))

    @staticmethod
    def from_module(
        module: nn.Module,
        *,
        input: InputSpec,
        head: str | None = None,
        class_names: Sequence[str] | None = None,
        surrogate: Target | None = None,
        device: str = "auto",
    ) -> Source:
        """A source from any module that maps a batch (B, *input.shape) to one tensor.

        Features are the input of its last linear map, the head; without one, its output, and the source is headless.

        Args:
            module: is not changed, but put into eval mode and on the device.
            input: one sample.
            head: name of the submodule that is the head; None finds the linear map whose output is the module's
                output; "" says that there is none.
            class_names: of the K_s outputs; generic where they are not given.
            surrogate: small labelled set of the source's own modality.
            device: where it runs, in fp32.

        Raises:
            SourceError: the module does not run on such inputs, or the head is not what it should be.
        """
        from gapkit.sources.from_module import adapt_module

        adapter = adapt_module(module, input=input, head=head, class_names=class_names, surrogate=surrogate)
        return Source(adapter, device=device)

    @property
    def weights_hash(self) -> str:
        """SHA-256 over names, dtypes and values of all parameters and buffers: it names the model in the cache.

        Computed anew every time, since a module from outside may be trained between two captures.
        """
        state = self.module.state_dict()
        parts = [part for key in sorted(state) for part in (key, tensor_bytes(state[key]))]
        return digest(type(self.module).__qualname__, *parts)


def choose_device(name: str) -> torch.device:
    """The device called ``name``; "auto" is CUDA, else Apple's MPS, else the CPU.

    Raises:
        OptionError: no such device on this machine.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise OptionError(
            f"device {name!r} cannot be used here ({str(error).splitlines()[0]})",
            expected="auto, cpu, or a CUDA or MPS device that this machine has",
            remedy="use --device auto",
        ) from error
    return device
