"""An alignment as text and as rows of cells."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from gapkit.estimates import Estimate
from gapkit.reports.align_reading import (
    METRIC_DIGITS,
    ladder_of,
    moment_title,
    moments_of,
    read_alignment,
)
from gapkit.reports.cells import partial_note, reasons_of, told
from gapkit.reports.footnotes import LONG
from gapkit.reports.reading import main_rows, span
from gapkit.reports.scores import table_lines
from gapkit.reports.tables import Table
from gapkit.reports.text import (
    DISCREPANCY_TITLES,
    LINE_WIDTH,
    PART_MEANINGS,
    SCALE,
    bound_paragraph,
    paragraph,
    target_line,
)
from gapkit.results import GAPS, AlignmentResult
from gapkit.results.alignment import METHODS

STAGES = {"warm": "of warm-up", "align": "of alignment", "tune": "of fine-tuning"}
"""Key of the budget's steps -> how they are called."""
STAGES_OF = {"warmup": ("warm", "tune"), "mona": tuple(STAGES), "orca": ("align", "warm", "tune")}
STAGES_OF["mmd"] = STAGES_OF["orca"]
"""Method -> its stages in their order; the others fine-tune alone."""
MEBIBYTE = 2**20


def align_table(result: AlignmentResult) -> str:
    """The lines that ``gapkit align`` prints: what was trained how, metric, gaps, reuse, cost, reading and notes."""
    lines: list[str] = []
    for title, text in header_of(result).items():
        lines += paragraph(title, text)
    for content in (metric_table(result), seed_table(result)):
        lines += _lines(content, _metric_reasons(result), most=LONG)
    for content, found in ((gap_table_of(result), _ladders(result)), (parts_table(result), _parts(result))):
        lines += _lines(content, reasons_of(found), most=0)
    if result.gaps:
        lines += ["", *textwrap.wrap(f"{moment_note(result)} {SCALE}", LINE_WIDTH)]
    lines += ["", *([] if result.gaps else paragraph("gap", "not measured"))]
    lines += [*bound_paragraph("reuse", reuse_line(result)), *paragraph("cost", cost_line(result))]
    for sentence in read_alignment(result):
        lines += bound_paragraph("reading", sentence)
    for note in result.notes:
        lines += paragraph("note", note)
    return "\n".join(lines)


def _lines(content: Table, reasons: Sequence[str], *, most: int) -> list[str]:
    """An empty line and a table in aligned columns, its note below it; nothing where there is no row."""
    if not content.rows:
        return []
    noted = textwrap.wrap(content.note, LINE_WIDTH - 2) if content.note else []
    return ["", *table_lines(content.head, content.rows, reasons, most=most), *(f"  {line}" for line in noted)]


def header_of(result: AlignmentResult) -> dict[str, str]:
    """Title -> line, of what was trained, on what and for how long."""
    words = METHODS.get(result.method)
    told_of = {
        "source": result.source.description,
        "target": f"{target_line(result.target)}; embedder: {result.target.embedder}",
        "surrogate": result.surrogate or "",
        "method": f"{result.method}: {words}" if words else result.method,
        "budget": budget_line(result),
    }
    return {title: text for title, text in told_of.items() if text}


def budget_line(result: AlignmentResult) -> str:
    """Steps of the stages that the method has, batch size, and the samples; what is not known is left out."""
    budget = result.budget
    steps = budget.get("steps", {})
    stages = STAGES_OF.get(result.method, ("tune",) if result.method in METHODS else tuple(STAGES))
    dealt = ", ".join(f"{steps[name]} {STAGES[name]}" for name in stages if name in steps)
    asked = str(budget.get("asked", ""))
    said = [": ".join(filter(None, (asked, f"steps {dealt}" if dealt else "")))]
    forms = {
        "batch_size": "batches of {}",
        "n_fit": "trained on {} samples",
        "n_validation": "chosen by {} validation samples",
        "trials": "validation trials of options: {}",
    }
    said += [form.format(budget[name]) for name, form in forms.items() if name in budget]
    return "; ".join(filter(None, said))


def metric_table(result: AlignmentResult) -> Table:
    """The metric on the test samples with its interval, and on the validation samples."""
    metric, seeds = result.metric, len(result.seeds)
    over = "samples" if seeds == 1 else "samples and seeds"
    own = f"mean over {seeds} seeds" if seeds > 1 else "one seed"
    rows = [
        ("test", *_metric(metric.estimate, metric.estimate.reason or f"{own}, interval over {over}")),
        ("validation", *_metric(result.validation, result.validation.reason)),
    ]
    head = (metric.name, "value", "95 % interval", "samples", "what it is")
    return Table(title=f"{metric.name.capitalize()} of the tuned model", head=head, rows=rows)


def _metric(found: Estimate, words: str) -> tuple[str, ...]:
    """The cells of the metric on one set."""
    if found.value is None:
        return (f"{found.status}: {found.reason}",)
    return (f"{found.value:z.{METRIC_DIGITS}f}", span(found.interval, METRIC_DIGITS) or "-", str(found.n), words)


def _metric_reasons(result: AlignmentResult) -> list[str]:
    """Why the metric is undefined, for the footnotes."""
    return reasons_of((result.metric.estimate, result.validation))


def seed_table(result: AlignmentResult) -> Table:
    """Each seed's metric, where there are several."""
    rows = [
        (str(run.seed), f"{run.metric:z.{METRIC_DIGITS}f}", f"{run.validation:z.{METRIC_DIGITS}f}", str(run.best_step))
        for run in result.runs
    ]
    head = ("seed", "test", "validation", "kept at step")
    title = f"{result.metric.name.capitalize()} of each seed"
    return Table(title=title, head=head, rows=rows if len(rows) > 1 else [])


def gap_table_of(result: AlignmentResult) -> Table:
    """Label maps by moments: the normalised misalignment with its interval."""
    gaps = moments_of(result)
    ladders = {moment: ladder_of(gap) for moment, gap in gaps.items()}
    families = dict.fromkeys(family for ladder in ladders.values() for family in ladder)
    rows = [(family, *(told(ladder.get(family)) for ladder in ladders.values())) for family in families]
    names = {row.discrepancy for gap in gaps.values() for row in main_rows(gap).values()}
    name = "KL" if names <= {"kl"} else ", ".join(DISCREPANCY_TITLES[one] for one in sorted(names))
    head = (f"label map ({name})", *(moment_title(result, moment) for moment in gaps))
    title = f"Normalised misalignment ({name})"
    return Table(title=title, head=head, rows=rows, note=partial_note(_ladders(result)))


def parts_table(result: AlignmentResult) -> Table:
    """Parts of the decomposition by moments."""
    gaps = moments_of(result)
    names = [name for name in PART_MEANINGS if any(name in gap.decomposition for gap in gaps.values())]
    rows = [(name, *(told(gap.decomposition.get(name)) for gap in gaps.values())) for name in names]
    head = ("part of the injection", *(moment_title(result, moment) for moment in gaps))
    return Table(title="Decomposition", head=head, rows=rows, note=partial_note(_parts(result)))


def _ladders(result: AlignmentResult) -> list[Estimate]:
    """Every entry of the table of gaps."""
    return [found for gap in moments_of(result).values() for found in ladder_of(gap).values()]


def _parts(result: AlignmentResult) -> list[Estimate]:
    """Every part of every moment."""
    return [found for gap in moments_of(result).values() for found in gap.decomposition.values()]


def moment_note(result: AlignmentResult) -> str:
    """What was measured at each moment; where none was, that."""
    gaps = moments_of(result)
    if not gaps:
        return "The gap was not measured."
    said = [f"{moment_title(result, moment)}: {GAPS[f'gap_{moment}']}" for moment in gaps]
    return f"{'; '.join(said).capitalize()}."


def reuse_line(result: AlignmentResult) -> str:
    """Knowledge reuse of the model and retention by layer; those undefined are named once for each reason."""
    if result.reuse is None:
        return "not measured"
    curve = result.reuse.curve("retention")
    known = [f"{name} {told(found)}" for name, found in curve.items() if found.value is not None]
    without: dict[str, list[str]] = {}
    for name, found in curve.items():
        if found.value is None:
            without.setdefault(told(found), []).append(name)
    said = [f"knowledge reuse of the model {told(result.reuse.model.get('knowledge_reuse'))}"]
    said += [f"retention by layer: {'; '.join(known)}"] if known else []
    said += [f"retention of {', '.join(names)} is {reason}" for reason, names in without.items()]
    said += [note] if (note := partial_note(curve.values()).rstrip(".")) else []
    return "; ".join(said)


def reuse_tables_of(result: AlignmentResult) -> list[Table]:
    """For the report: what is left of the source, by layer and of the whole model."""
    if result.reuse is None:
        return []
    kinds = ("knowledge_reuse", "retention", "cka")
    names = [name for name in kinds if result.reuse.curve(name) or name in result.reuse.model]
    rows = [(row.layer, *(told(row.measures.get(name)) for name in names)) for row in result.reuse.layers]
    rows.append(("model", *(told(result.reuse.model.get(name)) for name in names)))
    titles = {"knowledge_reuse": "knowledge reuse", "retention": "retention", "cka": "CKA"}
    head = ("layer", *(titles[name] for name in names))
    return [Table(title="What tuning left of the source", head=head, rows=rows)]


def cost_line(result: AlignmentResult) -> str:
    """Time, steps, passes and memory of one seed."""
    cost = result.cost
    each = " (mean over seeds)" if len(result.seeds) > 1 else ""
    return (
        f"{cost.seconds:,.1f} s of training, {cost.steps:,.0f} steps, {cost.passes:,.0f} forward passes of target "
        f"batches{each}; peak memory {cost.peak_bytes / MEBIBYTE:,.0f} MiB"
    )


def cost_table(result: AlignmentResult) -> Table:
    """For the report: what one seed took."""
    cost = result.cost
    rows = [
        ("seconds of training", f"{cost.seconds:,.1f}"),
        ("steps", f"{cost.steps:,.0f}"),
        ("forward passes of target batches", f"{cost.passes:,.0f}"),
        ("peak memory", f"{cost.peak_bytes / MEBIBYTE:,.0f} MiB"),
    ]
    note = "A backward pass to all weights counts as two; looks at validation samples are not counted."
    return Table(title="Cost of one seed", head=("cost", "one seed"), rows=rows, note=note)
