"""How much of a source's knowledge a tuned model still holds and uses, layer by layer."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar

from gapkit.arrays import Array
from gapkit.estimates import Estimate, read_estimate
from gapkit.results.base import Result
from gapkit.results.provenance import SourceSummary, TargetSummary, read_target

LAYER = "layer"


@dataclass(frozen=True, kw_only=True)
class LayerReuse:
    """One layer.

    Attributes:
        layer: its name; "features" is what the head sees.
        measures: name -> what was measured, such as ``retention``, ``cka``, ``drift``, ``reuse``.
    """

    layer: str
    measures: dict[str, Estimate]

    def to_dict(self) -> dict[str, Any]:
        """The JSON object: the layer's name, then its measures."""
        return {LAYER: self.layer, **{name: asdict(found) for name, found in self.measures.items()}}


@dataclass(frozen=True, kw_only=True)
class Projection:
    """Two-dimensional maps (t-SNE) of what the head sees, of the same samples.

    Attributes:
        before: (n, 2) of the pretrained model.
        after: (n, 2) of the tuned model, begun at the map before.
        classes: name of each sample's class.
    """

    before: Array
    after: Array
    classes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ReuseResult(Result):
    """A source before and after tuning, seen on a surrogate of its own modality and, where given, on the target.

    Attributes:
        before: the pretrained source.
        after: the tuned model; its head's classes are the target's.
        surrogate: the samples that both were shown.
        target: those that rewound and reset layers were tried on; None where none were given.
        layers: measures on the surrogate, of the weights, and of causal reuse, in the order of the model.
        on_target: the measures of representations on the target's samples, where they were asked for.
        model: "knowledge_reuse", the mean over layers; with a target "criticality" and "reuse" of all layers together.
        matrices: name of a similarity -> its values, layers before (rows) by layers after (columns); None where
            undefined.
        notes: what the readers, the models and the estimators said, in words.
        projection: maps to look at, for the report; they are no part of the JSON.
    """

    kind: ClassVar[str] = "reuse"
    noun: ClassVar[str] = "a reuse result"
    command: ClassVar[str] = "probe"

    before: SourceSummary
    after: SourceSummary
    surrogate: TargetSummary
    target: TargetSummary | None
    layers: tuple[LayerReuse, ...]
    on_target: tuple[LayerReuse, ...] = ()
    model: dict[str, Estimate]
    matrices: dict[str, list[list[float | None]]] = field(default_factory=dict[str, list[list[float | None]]])
    notes: tuple[str, ...] = ()
    projection: Projection | None = field(default=None, repr=False, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the layers."""
        return tuple(layer.layer for layer in self.layers)

    def find(self, layer: str, measure: str) -> Estimate:
        """One measure of one layer.

        Raises:
            KeyError: it was not measured.
        """
        for row in self.layers:
            if row.layer == layer:
                return row.measures[measure]
        raise KeyError(layer)

    def curve(self, measure: str) -> dict[str, Estimate]:
        """Layer -> one measure, of the layers that have it."""
        return {row.layer: row.measures[measure] for row in self.layers if measure in row.measures}

    def to_dict(self) -> dict[str, Any]:
        """The JSON object: ``schema``, ``kind``, then the fields."""
        content = super(ReuseResult, replace(self, projection=None)).to_dict()
        del content["projection"]
        for key in ("layers", "on_target"):
            content[key] = [row.to_dict() for row in getattr(self, key)]
        return content

    @classmethod
    def _read(cls, content: dict[str, Any]) -> dict[str, Any]:
        """The fields but the provenance, from the JSON object."""
        return {
            "before": SourceSummary(**content["before"]),
            "after": SourceSummary(**content["after"]),
            "surrogate": read_target(content["surrogate"]),
            "target": None if content["target"] is None else read_target(content["target"]),
            "layers": tuple(_read_layer(row) for row in content["layers"]),
            "on_target": tuple(_read_layer(row) for row in content["on_target"]),
            "model": {name: read_estimate(item) for name, item in content["model"].items()},
            "matrices": content["matrices"],
            "notes": tuple(content["notes"]),
        }

    def table(self) -> str:
        """The table that ``gapkit probe`` prints, as plain text."""
        from gapkit.reports.reuse_text import reuse_table

        return reuse_table(self)

    def plot(self, figure: str = "reuse") -> Any:
        """A matplotlib figure: "reuse", "retention", "measures", "matrices" or "projection".

        Raises:
            OptionError: there is no such figure, or the result has nothing for it.
        """
        from gapkit.reports.reuse_charts import draw_reuse_chart

        return draw_reuse_chart(self, figure)


def _read_layer(row: dict[str, Any]) -> LayerReuse:
    """A layer from JSON."""
    measures = {name: read_estimate(item) for name, item in row.items() if name != LAYER}
    return LayerReuse(layer=row[LAYER], measures=measures)
