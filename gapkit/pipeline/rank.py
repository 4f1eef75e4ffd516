"""``rank``: one target -> several sources, and their layers -> scores -> their order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from gapkit.arrays import Floats, digest
from gapkit.errors import OptionError
from gapkit.options import given_or_default
from gapkit.pipeline.activations import choose_embedder, run_source
from gapkit.pipeline.arguments import check_options, check_source, check_surrogate, check_target
from gapkit.pipeline.options import RankOptions
from gapkit.pipeline.scores import FEATURES, measure_scores, score_request
from gapkit.pipeline.selection import select
from gapkit.pipeline.summary import conditions, overlap, provenance, summarise_source, summarise_target
from gapkit.results import RankResult, SourceSummary, TargetSummary
from gapkit.results.rank import Agreement, Rank, RankRow
from gapkit.scores.estimating import Estimated
from gapkit.scores.ranking import Candidates, agreement, draw_all, rank_interval, ranks
from gapkit.types import Progress, Target, no_progress

if TYPE_CHECKING:
    from gapkit.sources.source import Source

TASK = "sources"


@dataclass(frozen=True, kw_only=True)
class Examined:
    """One source on the target.

    Attributes:
        source: as it was used.
        target: as it was used, with this source's embedder.
        weights_hash: of the source.
        layers: layer -> its scores.
        notes: what was said on the way.
    """

    source: SourceSummary
    target: TargetSummary
    weights_hash: str
    layers: dict[str, dict[str, Estimated]]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Watched:
    """How a source is examined, and who is told.

    Attributes:
        name: what the source is called in the result.
        surrogate: that gives it its head, where it has none; None takes its own.
        options: what is computed.
        progress: who is told.
    """

    name: str
    surrogate: Target | None
    options: RankOptions
    progress: Progress


def rank(
    sources: Source | str | Iterable[Source | str] | Mapping[str, Source | str],
    target: Target,
    *,
    surrogate: Target | None = None,
    options: RankOptions | None = None,
    load: Callable[[str], Source] | None = None,
    progress: Progress = no_progress,
) -> RankResult:
    """Order sources, and with ``options.layers`` their layers, by transferability scores on one target.

    All sources see the same samples, and the same blocks of them are left out for the intervals, so that differences
    between sources are paired.

    Args:
        sources: loaded sources, or names as ``load_source`` takes them, which are loaded one after the other, or one of
            them alone; or a mapping from what they are called in the result to either.
        target: the labelled dataset.
        surrogate: labelled set that gives a headless source its head; by default the source's own.
        options: what is computed and how.
        load: loads a source by its name; by default ``load_source``.
        progress: told about sources and scores.

    Raises:
        GapkitError: a source cannot be loaded, or does not go with the target.
    """
    check_options(options, RankOptions)
    options = given_or_default(options, RankOptions)
    started = time.monotonic()
    named = _by_name(sources)
    check_target(target)
    check_surrogate(surrogate)
    used, notes = select(target, options)
    examined: list[Examined] = []
    for name, source in _loaded(named, load):
        how = Watched(name=name, surrogate=surrogate, options=options, progress=progress)
        examined.append(examine(source, target, used, how))
        progress(TASK, len(examined), len(named))
    rows, pairs = order(examined, options)
    precisions = [one.source.precision for one in examined]
    told = conditions(options, used, surrogate, sources=list(named), precision=precisions)
    hashes = digest(*(one.weights_hash for one in examined))
    own = [f"{one.source.name}: {note}" for one in examined for note in one.notes]
    return RankResult(
        target=examined[0].target,
        sources=tuple(one.source for one in examined),
        embedders={one.source.name: one.target.embedder for one in examined},
        rows=rows,
        agreement=pairs,
        notes=(*target.notes, *notes, *own),
        provenance=provenance(used, told, hashes, seconds=time.monotonic() - started),
    )


def examine(source: Source, target: Target, used: Target, how: Watched) -> Examined:
    """The scores of one source on the chosen samples, layer by layer; what reads the head stands with the last."""
    options = how.options
    choice, embedder = choose_embedder(source, target, name=options.embedder)
    activations = run_source(source, used, embedder, how.surrogate or source.surrogate, options, how.progress)
    found: dict[str, dict[str, Estimated]] = {}
    for layer in activations.features:
        names = options.score_names(head=layer == FEATURES)
        if not names:
            continue
        request = score_request(options, names, layer)
        scored = measure_scores(activations, lambda: None, request, how.progress)
        found[layer] = {one.row.name: one for one in scored.scores}
    return Examined(
        source=summarise_source(source, activations, how.name),
        target=summarise_target(activations, choice, options),
        weights_hash=source.weights_hash,
        layers=found,
        notes=(*overlap(source, used), *activations.notes),
    )


def order(examined: Sequence[Examined], options: RankOptions) -> tuple[tuple[RankRow, ...], tuple[Agreement, ...]]:
    """Rows by the mean of their places, and the agreement of the scores."""
    entries = [(one.source.name, layer, scores) for one in examined for layer, scores in one.layers.items()]
    names = [name for name in options.score_names(head=True) if any(name in scores for _, _, scores in entries)]
    columns = {name: _column([scores.get(name) for _, _, scores in entries]) for name in names}
    drawn = draw_all(columns, options.draws, seed=options.seed)
    places = {name: ranks(column.goodness) for name, column in columns.items()}
    spans = {name: rank_interval(columns[name], drawn[name]) for name in names}
    rows = [
        RankRow(
            source=source,
            layer=layer,
            scores={name: one.row for name, one in scores.items()},
            rank={
                name: Rank(value=float(places[name][k]), interval=spans[name][k])
                for name in names
                if not np.isnan(places[name][k])
            },
        )
        for k, (source, layer, scores) in enumerate(entries)
    ]
    pairs = [_agreement(a, b, columns, drawn) for a, b in combinations(names, 2)]
    counts = {name: sum(name in row.rank for row in rows) for name in names}
    return tuple(sorted(rows, key=lambda row: _mean_place(row, counts))), tuple(pairs)


def _column(found: Sequence[Estimated | None]) -> Candidates:
    """One score of all rows."""
    values = [np.nan if one is None or one.row.value is None else one.row.value for one in found]
    direction = next(one.row.direction for one in found if one is not None)
    return Candidates(
        values=np.array(values),
        jackknifes=[None if one is None else one.jackknife for one in found],
        higher=direction == "higher",
    )


def _agreement(a: str, b: str, columns: Mapping[str, Candidates], drawn: Mapping[str, Floats]) -> Agreement:
    """Kendall's tau of two scores."""
    tau = agreement(columns[a], columns[b], (drawn[a], drawn[b]))
    return Agreement(a=a, b=b, tau=tau.value, interval=tau.interval, n=tau.n)


def _mean_place(row: RankRow, counts: Mapping[str, int]) -> float:
    """From 0, the best by every score, to 1, over the scores that several rows have; a row without any is last."""
    places = [(place.value - 1) / (counts[name] - 1) for name, place in row.rank.items() if counts[name] > 1]
    return float(np.mean(places)) if places else 1.0


def _loaded(sources: Mapping[str, Source | str], load: Callable[[str], Source] | None) -> Iterator[tuple[str, Source]]:
    """Each source, loaded when its turn comes: one model at a time is in memory."""
    from gapkit.sources.load import load_source

    for name, source in sources.items():
        yield name, (load or load_source)(source) if isinstance(source, str) else source


def _by_name(sources: Source | str | Iterable[Source | str] | Mapping[str, Source | str]) -> dict[str, Source | str]:
    """Sources by what they are called in the result; without a mapping by their own names.

    Raises:
        OptionError: none, two of one name, or something that is neither a source nor a name.
    """
    pairs: list[tuple[str, Source | str]]
    if isinstance(sources, Mapping):
        pairs = [(str(name), source) for name, source in sources.items()]
    else:
        several = [sources] if isinstance(sources, str) or not isinstance(sources, Iterable) else sources
        pairs = [(one if isinstance(one, str) else getattr(one, "name", ""), one) for one in several]
    for _, source in pairs:
        if not isinstance(source, str):
            check_source(source)
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise OptionError(
            f"{twice} twice among the sources",
            expected="each once",
            remedy="leave one out, or name them in Python: rank({'first': source, 'second': other}, target)",
        )
    if not pairs:
        raise OptionError("no sources", expected="at least one", remedy="name sources with commas between")
    return dict(pairs)
