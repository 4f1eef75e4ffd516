"""The misalignment, gapkit's own: label maps, discrepancies and their cross-fitted measurement; arrays only.

``fit_injection``, ``fit_partition`` and ``fit_channel`` fit one label map on probabilities and labels;
``measure_misalignment`` fits and scores every family on different folds, ``measure_multilabel`` each of several labels
against the rest.
"""

from gapkit.gap.conditional import measure_misalignment
from gapkit.gap.inputs import ConditionalInputs, GapOptions, MisalignmentResult
from gapkit.gap.label_maps.channel import Channel, fit_channel
from gapkit.gap.label_maps.injection import Injection, fit_injection
from gapkit.gap.label_maps.partition import Partition, fit_partition
from gapkit.gap.multilabel import MultilabelResult, measure_multilabel

__all__ = [
    "Channel",
    "ConditionalInputs",
    "GapOptions",
    "Injection",
    "MisalignmentResult",
    "MultilabelResult",
    "Partition",
    "fit_channel",
    "fit_injection",
    "fit_partition",
    "measure_misalignment",
    "measure_multilabel",
]
