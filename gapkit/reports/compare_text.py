"""Runs beside each other, as text and as rows of cells, with a reading of the paired tests."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from gapkit.estimates import Estimate
from gapkit.reports.align_reading import COMPARED_TITLES, METRIC_DIGITS
from gapkit.reports.cells import ABSENT, partial_note, reasons_of, told, value_of
from gapkit.reports.footnotes import LONG
from gapkit.reports.reading import SMALL_P, span
from gapkit.reports.scores import table_lines
from gapkit.reports.tables import Table
from gapkit.reports.text import LINE_WIDTH, bound_paragraph, paragraph
from gapkit.results import ComparedRun, Comparison, PairedTest

LINEAR = "linear"
BESIDE = 3
"""Misalignments that stand beside each other in one table."""
LETTERS, LETTERS_TRAINED = 28, 16
"""Of a run's name in tables; where one is longer, runs are numbered and cut, and the full names stand above."""
ELLIPSIS = "..."
REUSE = "knowledge_reuse"
RETENTION = "retention "


def compare_table(comparison: Comparison) -> str:
    """The lines that ``gapkit compare`` prints: one row per run, the gaps, the paired tests and notes."""
    lines: list[str] = []
    for title, text in run_lines(comparison).items():
        lines += paragraph(title, text)
    for content, reasons, most in _tables_with_reasons(comparison):
        noted = textwrap.wrap(content.note, LINE_WIDTH - 2) if content.note else []
        lines += ["", *table_lines(content.head, content.rows, reasons, most=most), *(f"  {line}" for line in noted)]
    lines += [""]
    for sentence in read_comparison(comparison):
        lines += bound_paragraph("reading", sentence)
    for note in comparison.notes:
        lines += paragraph("note", note)
    return "\n".join(lines).rstrip("\n")


def run_lines(comparison: Comparison) -> dict[str, str]:
    """Title -> line, of the target and of the folders that runs were read from."""
    labels = run_labels(comparison.runs)
    cut = [place for place, run in enumerate(comparison.runs, start=1) if labels[run.name] != run.name]
    found = [
        (f"{place} {run.name}" if cut else run.name) + (f": {run.folder}" if run.folder else "")
        for place, run in enumerate(comparison.runs, start=1)
        if cut or run.folder
    ]
    return {"target": comparison.target, **({"runs": "; ".join(found)} if found else {})}


def run_labels(runs: Sequence[ComparedRun]) -> dict[str, str]:
    """Name -> what stands in tables: itself, or where a name is too long, number and beginning of each."""
    most = LETTERS if all(run.metric is None for run in runs) else LETTERS_TRAINED
    if all(len(run.name) <= most for run in runs):
        return {run.name: run.name for run in runs}
    numbered = {run.name: f"{place} {run.name}" for place, run in enumerate(runs, start=1)}
    return {
        name: text if len(text) <= most else text[: most - len(ELLIPSIS)] + ELLIPSIS for name, text in numbered.items()
    }


def compare_tables(comparison: Comparison) -> list[Table]:
    """Tables of the report."""
    return [content for content, _, _ in _tables_with_reasons(comparison)]


def _tables_with_reasons(comparison: Comparison) -> list[tuple[Table, list[str], int]]:
    """Each table that has rows, the reasons that may stand in it, and how long a reason stays in its cell."""
    labels = run_labels(comparison.runs)
    runs = [replace(run, name=labels[run.name]) for run in comparison.runs]
    paired = [replace(one, a=labels.get(one.a, one.a), b=labels.get(one.b, one.b)) for one in comparison.paired]
    every = [one for run in runs for moment in run.gaps.values() for one in moment.values()]
    if not is_trained(comparison):
        return [(table, reasons_of(every), 0) for table in ladder_tables(runs)]
    tests = [one.reason for one in paired]
    metrics = reasons_of(
        [*(run.metric and run.metric.estimate for run in runs), *(run.reuse.get(REUSE) for run in runs)]
    )
    tables = [
        (run_table(runs), metrics, 0),
        (linear_table(runs), reasons_of(every), 0),
        (pair_table(paired), tests, LONG),
    ]
    return [entry for entry in tables if entry[0].rows]


def is_trained(comparison: Comparison) -> bool:
    """Whether runs are alignments, which have a metric, and not misalignments."""
    return any(run.metric is not None for run in comparison.runs)


def run_table(runs: Sequence[ComparedRun]) -> Table:
    """One row per run: how well, how far apart, how much is left, at what cost."""
    names = dict.fromkeys(run.metric.name for run in runs if run.metric is not None)
    head = ("run", " / ".join(names), "validation", "linear gap", "knowledge reuse", "seconds", "passes")
    note = "Linear gap: normalised KL of a linear head, before -> after training. Passes: forward passes of target "
    note += "batches. Trials: validation trials that the options were chosen by."
    estimates = [found for run in runs for found in (run.metric and run.metric.estimate, run.reuse.get(REUSE))]
    notes = filter(None, (note, partial_note(estimates)))
    rows = [_run(run) for run in runs]
    return Table(title="Runs", head=(*head, "seeds", "trials"), rows=rows, note=" ".join(notes))


def _run(run: ComparedRun) -> tuple[str, ...]:
    """The cells of one run."""
    before, after = (run.gaps.get(moment, {}).get(LINEAR) for moment in ("before", "after"))
    cost = run.cost
    return (
        run.name,
        told(None if run.metric is None else run.metric.estimate, METRIC_DIGITS),
        value_of(run.validation, METRIC_DIGITS),
        ABSENT if before is None and after is None else f"{value_of(before)} -> {value_of(after)}",
        told(run.reuse.get(REUSE)),
        ABSENT if cost is None else f"{cost.seconds:,.1f}",
        ABSENT if cost is None else f"{cost.passes:,.0f}",
        str(run.seeds),
        str(run.trials),
    )


def linear_table(runs: Sequence[ComparedRun]) -> Table:
    """The linear gap of every run at every moment, with its interval."""
    moments = [moment for moment in COMPARED_TITLES if any(LINEAR in run.gaps.get(moment, {}) for run in runs)]
    rows = [(run.name, *(told(run.gaps.get(moment, {}).get(LINEAR)) for moment in moments)) for run in runs]
    head = ("linear gap (95 % interval)", *(COMPARED_TITLES[moment] for moment in moments))
    found = [gaps[LINEAR] for run in runs for gaps in run.gaps.values() if LINEAR in gaps]
    return Table(title="Linear gap", head=head, rows=rows if moments else [], note=partial_note(found))


def ladder_tables(runs: Sequence[ComparedRun]) -> list[Table]:
    """Misalignments side by side: label maps by runs, a few runs in each table; then the parts in the same way."""
    tables: list[Table] = []
    kinds: dict[str, Callable[[ComparedRun], dict[str, dict[str, Estimate]]]] = {
        "label map": lambda run: run.gaps,
        "part of the injection": lambda run: run.parts,
    }
    for title, of in kinds.items():
        for start in range(0, len(runs), BESIDE):
            shown = runs[start : start + BESIDE]
            ladders = [of(run).get("before", {}) for run in shown]
            names = dict.fromkeys(name for ladder in ladders for name in ladder)
            rows = [(name, *(told(ladder.get(name)) for ladder in ladders)) for name in names]
            note = partial_note(_every(ladders))
            head = (f"{title} (KL)", *(run.name for run in shown))
            tables.append(Table(title=f"Normalised KL by {title}", head=head, rows=rows, note=note))
    return [table for table in tables if table.rows]


def _every(ladders: Iterable[dict[str, Estimate]]) -> list[Estimate]:
    """All entries of some ladders."""
    return [found for ladder in ladders for found in ladder.values()]


def retention_table(comparison: Comparison) -> Table:
    """For the report: retention of every layer of every run that has been probed."""
    probed = [run for run in comparison.runs if any(name.startswith(RETENTION) for name in run.reuse)]
    layers = dict.fromkeys(name for run in probed for name in run.reuse if name.startswith(RETENTION))
    rows = [(name.removeprefix(RETENTION), *(told(run.reuse.get(name)) for run in probed)) for name in layers]
    return Table(title="Retention by layer", head=("layer", *(run.name for run in probed)), rows=rows)


def pair_table(paired: Sequence[PairedTest]) -> Table:
    """The paired tests."""
    rows = [(f"{one.a} - {one.b}", *_pair(one)) for one in paired]
    note = f"Same test samples and seeds. p are of single pairs, not corrected for their number ({len(paired)})."
    head = ("pair", "metric", "difference", "95 % interval", "p", "test")
    return Table(title="Paired tests", head=head, rows=rows, note=note if paired else "")


def _pair(one: PairedTest) -> tuple[str, ...]:
    """The cells of one test."""
    if one.difference is None:
        return (one.metric, f"{one.status}: {one.reason}")
    p = ABSENT if one.p is None else f"{one.p:.4f}"
    interval = span(one.interval, METRIC_DIGITS) or ABSENT
    return (one.metric, f"{one.difference:z.{METRIC_DIGITS}f}", interval, p, one.test)


def read_comparison(comparison: Comparison) -> list[str]:
    """Which runs differ, by interval and p together; p is compared with what the number of tests makes of 5 %."""
    known = [one for one in comparison.paired if one.difference is not None and one.interval and one.p is not None]
    said: list[str] = []
    weak: list[str] = []
    none: list[str] = []
    for one in known:
        low, high = one.interval or (0.0, 0.0)
        pair = f"{one.a} and {one.b}"
        if low <= 0 <= high or (one.p or 0.0) > SMALL_P:
            none.append(pair)
        elif (one.p or 0.0) * len(known) > SMALL_P:
            weak.append(f"{pair} (p = {one.p:.4f} of {len(known)} tests)")
        else:
            more, less = (one.a, one.b) if low > 0 else (one.b, one.a)
            numbers = f"{one.a} less {one.b}: {one.difference:z.3f}, 95 % interval {span(one.interval, 3)}"
            said.append(f"{more} has a higher {one.metric} than {less} ({numbers}, p = {one.p:.4f}).")
    said += [f"There is weak evidence of a difference between {'; '.join(weak)}."] if weak else []
    said += (
        [f"No difference shows between {'; '.join(none)}, which is not evidence that there is none."] if none else []
    )
    return said
