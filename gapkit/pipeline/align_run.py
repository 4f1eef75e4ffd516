"""Alignments and comparisons in their run folders: gone on with where they were, read where they are whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gapkit.embedders import LearnedEmbedder, save_embedder
from gapkit.errors import StorageError
from gapkit.files import write_atomically
from gapkit.mona.launch import several_processes
from gapkit.mona.team import Team
from gapkit.mona.timing import BUDGET
from gapkit.pipeline.align import align, seed_folder
from gapkit.pipeline.align_options import AlignOptions
from gapkit.pipeline.align_samples import divide
from gapkit.pipeline.compare import compare
from gapkit.pipeline.run import PARTS, RunFolder, check_same
from gapkit.pipeline.summary import provenance
from gapkit.reports.folder import RESULT, check_folder, make_folder
from gapkit.results import AlignmentResult, Comparison, GapResult, Result
from gapkit.results.alignment import EMBEDDER, HEAD, HISTORY, TUNED, TUNED_EMBEDDER
from gapkit.types import Progress, no_progress

if TYPE_CHECKING:
    from gapkit.mona.learner import Learned
    from gapkit.pipeline.request import Request

OWN = (*PARTS, BUDGET, HISTORY, EMBEDDER, TUNED, HEAD, TUNED_EMBEDDER)
SEED_PREFIX = "seed-"


def align_run(
    request: Request, options: AlignOptions, folder: RunFolder, progress: Progress = no_progress
) -> AlignmentResult:
    """Align what was asked for by name and write the run folder.

    A run that is whole already is read instead; one that was interrupted goes on from its checkpoints. Of several
    processes the first one measures, writes, and says which folder it is.

    Raises:
        GapkitError: something does not go together, or the folder cannot be used.
    """
    _check(folder)
    if several_processes():
        Team()  # each has its own GPU before a model is loaded to it
    source, target = request.load()
    team = Team()
    path = Path(team.same(str(folder.path)))
    if (path / RESULT).is_file() and not folder.overwrite:
        found = AlignmentResult.from_json((path / RESULT).read_text(encoding="utf-8"))
        parts = divide(target, options)
        told = options.numbers() | {"precision": source.precision}
        check_same(found.provenance, provenance(parts.test, told, source.weights_hash), path)
        return found
    if folder.overwrite and team.first:
        _clear(path)
    make_folder(path)
    team.wait()
    if not team.first:
        options = replace(options, measure=False, probe=False)
    result = align(source, target, options=options, folder=path, progress=progress)
    if team.first:
        write_weights(result, path)
        result.save(path)
    return result


def _check(folder: RunFolder) -> None:
    """Refuse a folder that holds anything but an alignment, before anything is loaded.

    Raises:
        StorageError: it holds something else, or cannot be written.
    """
    path = folder.path
    check_folder(path, overwrite=True)
    if folder.overwrite or not path.is_dir():
        return
    if (path / RESULT).is_file():
        # Another kind of run is refused by its reader.
        AlignmentResult.from_json((path / RESULT).read_text(encoding="utf-8"))
        return
    strange = sorted(
        item.name
        for item in path.iterdir()
        if item.name not in OWN and item.name[0] != "." and not item.name.startswith(SEED_PREFIX)
    )
    if strange:
        raise StorageError(
            f"{path} holds {strange[0]}, which is no part of an alignment",
            expected="a new folder, or that of an alignment to go on with",
            remedy="choose another --out",
        )


def _clear(path: Path) -> None:
    """Take away what an alignment has left, and nothing else."""
    for item in path.glob("*") if path.is_dir() else ():
        if item.is_dir() and item.name.startswith(SEED_PREFIX):
            shutil.rmtree(item)
        elif item.name in (*OWN, RESULT) and item.is_file():
            item.unlink()


def write_weights(result: AlignmentResult, path: Path) -> None:
    """History, embedder and tuned weights of the first seed at the top, those of each seed in its folder."""
    for seed, learned in zip(result.seeds, result.learned, strict=True):
        _write_seed(learned, seed_folder(path, seed))
    first: Learned = result.learned[0]
    _write_seed(first, path)
    if isinstance(result.embedder, LearnedEmbedder):
        save_embedder(result.embedder, path / EMBEDDER)


def _write_seed(learned: Learned, path: Path) -> None:
    """One seed's history, tuned weights, head and tuned embedder."""
    make_folder(path)
    lines = "".join(json.dumps(entry) + "\n" for entry in learned.record.history)
    write_atomically(path / HISTORY, lines.encode())
    learned.save_weights(path / TUNED)
    learned.save_head(path / HEAD)
    save_embedder(learned.embedder, path / TUNED_EMBEDDER)


def compare_run(folders: Sequence[str], folder: RunFolder) -> Comparison:
    """Compare the runs in folders and write the run folder.

    Raises:
        GapkitError: a folder holds no whole run, or the runs do not go together.
    """
    check_folder(folder.path, overwrite=folder.overwrite)
    result = compare(*(read_run(Path(one)) for one in folders), folders=list(folders))
    result.save(folder.path)
    return result


def read_run(path: Path) -> Result:
    """The result in a run folder.

    Raises:
        StorageError: there is none, or it is of a kind that is not compared.
    """
    file = path / RESULT if path.is_dir() else path
    try:
        text = file.read_text(encoding="utf-8")
        kind: Any = json.loads(text).get("kind")
    except (OSError, ValueError, AttributeError) as error:
        raise StorageError(
            f"{path} holds no finished run ({type(error).__name__})",
            expected=f"a run folder with {RESULT}",
            remedy="repeat the command that made it: it goes on where it was",
        ) from error
    kinds: dict[str, type[Result]] = {one.kind: one for one in (AlignmentResult, GapResult)}
    if kind not in kinds:
        raise StorageError(
            f"{path} holds a run of the kind {kind}", expected="a run of align or measure", remedy="name another folder"
        )
    return kinds[kind].from_json(text)
