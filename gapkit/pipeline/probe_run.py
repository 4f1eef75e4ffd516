"""A probe and its run folder, and the layers that there are to probe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from gapkit.arrays import digest
from gapkit.pipeline.probe import ProbeTarget, load_control, load_tuned, probe, probe_conditions
from gapkit.pipeline.representations import choose_samples
from gapkit.pipeline.run import RunFolder, check_same
from gapkit.pipeline.summary import provenance
from gapkit.results import ReuseResult
from gapkit.results.alignment import TUNED, TUNED_EMBEDDER
from gapkit.types import Embedder, Progress, no_progress

if TYPE_CHECKING:
    from gapkit.pipeline.probe_options import ProbeOptions
    from gapkit.pipeline.request import ProbeRequest


def probe_run(
    request: ProbeRequest, options: ProbeOptions, folder: RunFolder, progress: Progress = no_progress
) -> ReuseResult:
    """Probe what was asked for by name and write the run folder; a run that is whole already is read instead.

    What an interrupted run has computed of features, also of rewound and reset layers, is in the feature cache.

    Raises:
        GapkitError: something does not go together, or the folder cannot be used.
    """
    folder.check(options)
    found = folder.whole(ReuseResult.from_json)
    source, data = request.load()
    weights, embedder = _tuned_files(request.after or "", options)
    after, asked = load_tuned(source, weights), None
    if data is not None:
        asked = ProbeTarget(data=data, embedder=embedder, control=request.control, control_start=request.control_start)
    asked = load_control(source, asked)
    if found is not None and source.surrogate is not None:
        told = probe_conditions(source, asked, source.surrogate, options)
        hashes = digest(source.weights_hash, after.source.weights_hash)
        used, _ = choose_samples(source.surrogate, options)
        check_same(found.provenance, provenance(used, told, hashes), folder.path)
        return found
    result = probe(source, after, target=asked, options=options, progress=progress)
    result.save(folder.path)
    return result


def _tuned_files(after: str, options: ProbeOptions) -> tuple[str, Embedder | None]:
    """The weights that are meant, and in the folder of an alignment the embedder that was tuned with them."""
    from gapkit.embedders import load_embedder

    folder = Path(after).expanduser()
    if not (folder / TUNED).is_file():
        return after, None
    own = folder / TUNED_EMBEDDER
    embedder = load_embedder(own) if options.embedder == "auto" and own.is_file() else None
    return str(folder / TUNED), embedder


def layer_listing(request: ProbeRequest, *, as_json: bool = False) -> str:
    """The layers of a source as a table, or as JSON: name, class, weights, and whether "all" means it.

    Raises:
        GapkitError: the source cannot be loaded.
    """
    from gapkit.reports.reuse_text import layers_table
    from gapkit.sources.blocks import list_layers

    source, _ = request.load()
    layers = list_layers(source)
    return json.dumps(layers, indent=2) if as_json else layers_table(source.name, layers)
