"""The misalignment, gapkit's own: label maps, discrepancies and their cross-fitted measurement; arrays only.

``fit_injection`` and ``fit_channel`` fit one label map on probabilities and labels; ``measure_misalignment`` fits and
scores every family on different folds.
"""

from gapkit.gap.conditional import measure_misalignment
from gapkit.gap.inputs import ConditionalInputs, GapOptions, MisalignmentResult
from gapkit.gap.label_maps.channel import Channel, fit_channel
from gapkit.gap.label_maps.injection import Injection, fit_injection

__all__ = [
    "Channel",
    "ConditionalInputs",
    "GapOptions",
    "Injection",
    "MisalignmentResult",
    "fit_channel",
    "fit_injection",
    "measure_misalignment",
]
