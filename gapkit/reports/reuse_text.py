"""What is reused, as text and as rows of cells, with a plain-language reading."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gapkit.estimates import Estimate
from gapkit.reports.scores import ends, number
from gapkit.reports.tables import Table
from gapkit.reports.text import LINE_WIDTH, columns, paragraph, target_line
from gapkit.results import ReuseResult
from gapkit.results.reuse import LayerReuse

MODEL = "model"
UNDEFINED = "-"
SEEN = {
    "probe_before": "probe before",
    "probe_after": "after",
    "probe_random": "random",
    "retention": "retention",
    "cka": "CKA",
    "knowledge_reuse": "knowledge reuse",
    "drift": "drift",
}
USED = {"criticality": "criticality", "reuse": "causal reuse", "reuse_excess": "excess"}
COLUMNS = SEEN | USED
"""Of the two printed tables, of what is there and of what is used: measures and their titles."""
WITH_ENDS = ("retention", "knowledge_reuse", "criticality", "reuse", "reuse_excess")
GROUPS = {
    "What can be read off each layer": (
        "probe_before",
        "probe_after",
        "probe_random",
        "retention",
        "knn_before",
        "knn_after",
        "knn_random",
        "knn_retention",
    ),
    "The layer before and after": (
        "cka",
        "procrustes",
        "svcca",
        "pwcca",
        "rsa",
        "mutual_knn",
        "cknna",
        "subspace",
        "held",
        "kept",
        "knowledge_reuse",
    ),
    "Shape of each layer": tuple(
        f"{name}_{when}"
        for name in ("alignment", "uniformity", "davies_bouldin", "nc1", "effective_rank", "participation_rank")
        for when in ("before", "after")
    ),
    "Weights": ("drift", "drift_rank"),
    "On the target": (
        "accuracy_tuned",
        "accuracy_rewound",
        "accuracy_reset",
        "contribution",
        "criticality",
        "reuse",
        "control_reuse",
        "reuse_excess",
    ),
}
"""Titles of the report's tables and their measures."""
NOTE = (
    "Retention: the share of the probe's accuracy beyond random weights that is left. Knowledge reuse: of what the "
    "layer held and how it was arranged, both beyond random weights, the share that is left. Drift: |dW| / |W|. "
    "Criticality: the share of the tuned model's accuracy beyond the largest class that is lost where the layer is "
    "scrambled; causal reuse: the share of what the layer brings that its pretrained weights already give. In "
    "parentheses 95 % intervals."
)
LOST, KEPT = 0.5, 0.8
"""Retention whose whole interval lies below, or above, is called mostly lost, or kept."""
MOST_REASONS = 6


def reuse_table(result: ReuseResult) -> str:
    """The lines that ``gapkit probe`` prints: models, samples, one row per layer, reading and notes."""
    lines = [*paragraph("before", result.before.description), *paragraph("after", result.after.description)]
    lines += paragraph("surrogate", f"{target_line(result.surrogate)}; embedder: {result.surrogate.embedder}")
    if result.target is not None:
        lines += paragraph("target", f"{target_line(result.target)}; embedder: {result.target.embedder}")
    lines += _table_lines(SEEN, result.layers, result.model)
    if result.target is not None:
        title = f"  With the layer scrambled, or put back, on {result.target.name}:"
        lines += ["", title, *_table_lines(USED, result.layers, result.model)]
    if result.on_target:
        lines += [
            "",
            "  The first table on the target's samples and classes:",
            *_table_lines(SEEN, result.on_target, {}),
        ]
    lines += ["", *textwrap.wrap(NOTE, LINE_WIDTH)]
    for sentence in read_reuse(result):
        lines += paragraph("reading", sentence)
    for note in (*reasons(result.layers), *result.notes):
        lines += paragraph("note", note)
    return "\n".join(lines)


def _table_lines(titles: Mapping[str, str], layers: Sequence[LayerReuse], model: Mapping[str, Estimate]) -> list[str]:
    """An empty line and the layers in aligned columns, those alone that some layer has; the model where it has one."""
    names = [name for name in titles if any(name in row.measures for row in layers)]
    rows: list[tuple[str, Mapping[str, Estimate]]] = [(row.layer, row.measures) for row in layers]
    if any(name in model for name in names):
        rows.append((MODEL, model))
    table = [["layer", *(titles[name] for name in names)]]
    table += [[name, *(cell(measures.get(column), column) for column in names)] for name, measures in rows]
    return ["", *(f"  {line}" for line in columns(table).splitlines())]


def cell(found: Estimate | None, name: str) -> str:
    """A measure in the printed table; the interval stands beside the main ones."""
    if found is None:
        return ""
    if found.value is None:
        return UNDEFINED
    mark = "*" if found.status == "partial" else ""
    told = f" ({found.interval[0]:z.2f} - {found.interval[1]:z.2f})" if found.interval and name in WITH_ENDS else ""
    return f"{found.value:z.2f}{mark}{told}"


def reasons(layers: Sequence[LayerReuse]) -> list[str]:
    """Why measures of the printed table are undefined or partial, each reason once."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in layers:
        for name in COLUMNS:
            one = row.measures.get(name)
            if one is not None and one.status != "ok":
                found.setdefault((COLUMNS[name], f"{one.status}: {one.reason}"), []).append(row.layer)
    told = [f"{name} of {_several(names)} is {reason}" for (name, reason), names in found.items()]
    left = len(told) - MOST_REASONS
    more = f"{left} more {'reason is' if left == 1 else 'reasons are'} in the report and in the JSON"
    return [*told[:MOST_REASONS], *([more] if left > 0 else [])]


def _several(names: Sequence[str], total: int = 0) -> str:
    """Names in words; of a total all as such."""
    if 1 < len(names) == total:
        return "every layer"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def read_reuse(result: ReuseResult) -> list[str]:
    """What the numbers say, in sentences that claim no more than the ends of the intervals hold."""
    found = [_read_retention(result), _read_model(result), _read_causal(result)]
    return [sentence for sentence in found if sentence]


def _read_retention(result: ReuseResult) -> str:
    """Which layers keep and which lose what can be read off them."""
    known = {name: one.interval for name, one in result.curve("retention").items() if one.interval is not None}
    if not known:
        return "Retention is undefined for every layer: none tells the surrogate's classes better than random weights."
    kept = [name for name, (low, _) in known.items() if low > KEPT]
    lost = [name for name, (_, high) in known.items() if high < LOST]
    open_ = [name for name in known if name not in kept and name not in lost]
    said = {
        f"more than {KEPT:.0%} is left": kept,
        f"less than {LOST:.0%} is left": lost,
        "a part in between is left, or the interval is too wide to say,": open_,
    }
    told = [f"{words} in {_several(names, len(result.layers))}" for words, names in said.items() if names]
    subject = "Of what a linear probe reads off the source's layers beyond random weights, "
    return f"{subject}{'; '.join(told)}.".replace("80%", "80 %").replace("50%", "50 %")


def _read_model(result: ReuseResult) -> str:
    """The knowledge-reuse score of the model."""
    found = result.model["knowledge_reuse"]
    if found.value is None or found.interval is None:
        return ""
    low, high = found.interval
    return (
        f"Over its layers the tuned model keeps {found.value:z.2f} ({low:z.2f} - {high:z.2f}) of what the source held."
    )


def _read_causal(result: ReuseResult) -> str:
    """What pretrained weights alone bring on the target."""
    found = result.model.get("reuse")
    if found is None or result.target is None:
        return ""
    if found.value is None or found.interval is None:
        return f"How much of the pretrained weights {result.target.name} uses is undefined: {found.reason}."
    low, high = found.interval
    return (
        f"On {result.target.name}, pretrained layers under the tuned embedder and head bring {found.value:z.2f} "
        f"({low:z.2f} - {high:z.2f}) of what the tuned layers bring over scrambled ones."
    )


def layers_table(name: str, layers: Sequence[Mapping[str, Any]]) -> str:
    """The layers of a source, with a mark at its blocks.

    Args:
        name: of the source.
        layers: as ``gapkit.sources.blocks.list_layers`` gives them.
    """
    rows = [["layer", "class", "weights", "in all"]]
    rows += [
        [layer["name"], layer["class"], f"{layer['weights']:,}", "yes" if layer["block"] else ""] for layer in layers
    ]
    forms = "Names and globs: blocks.* (one part of a name), blocks.** (anything); all stands for those marked."
    return f"layers of {name}\n\n{columns(rows)}\n\n{forms}"


def reuse_tables(result: ReuseResult) -> list[Table]:
    """Tables of the report: measures of each layer by what they tell, with intervals and reasons."""
    tables = [_group(title, names, result.layers, result) for title, names in GROUPS.items()]
    tables += [
        _group(f"{title}, on the target's samples", names, result.on_target, None)
        for title, names in list(GROUPS.items())[:3]
        if result.on_target
    ]
    return [table for table in tables if table.rows]


def _group(title: str, names: Iterable[str], layers: Sequence[LayerReuse], whole: ReuseResult | None) -> Table:
    """Layers by the measures of one group."""
    own = [name for name in names if any(name in row.measures for row in layers)]
    rows = [(row.layer, *(_with_ends(row.measures.get(name)) for name in own)) for row in layers] if own else []
    if whole is not None and own and any(name in whole.model for name in own):
        rows.append((MODEL, *(_with_ends(whole.model.get(name)) for name in own)))
    return Table(title=title, head=("layer", *(name.replace("_", " ") for name in own)), rows=rows)


def _with_ends(found: Estimate | None) -> str:
    """A number with its interval, or its reason."""
    if found is None:
        return ""
    if found.value is None:
        return f"undefined: {found.reason}"
    return number(found.value) + (f" ({ends(found.interval)})" if found.interval is not None else "")
