"""A measurement and its run folder: checked before anything is computed, found whole, or written at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from gapkit.errors import OptionError, StorageError
from gapkit.pipeline.measure import measure
from gapkit.pipeline.options import MeasureOptions, RankOptions, RunOptions
from gapkit.pipeline.rank import rank
from gapkit.pipeline.selection import select
from gapkit.pipeline.summary import conditions, provenance
from gapkit.reports.folder import REPORT, RESULT, check_folder
from gapkit.results import GapResult, Provenance, RankResult, Result
from gapkit.types import Progress, no_progress

if TYPE_CHECKING:
    from gapkit.pipeline.request import RankRequest, Request

Read = TypeVar("Read", bound=Result)
PARTS = ("figures", REPORT)
"""What an interrupted run may have left."""


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """Where a run is written, and what may be there already.

    Attributes:
        path: of the folder.
        overwrite: whether what it holds may be replaced.
        resume: whether it may hold the same run, whole or interrupted.
    """

    path: Path
    overwrite: bool = False
    resume: bool = False

    @property
    def report(self) -> Path:
        """The page to be read."""
        return self.path / REPORT

    def check(self, options: RunOptions) -> None:
        """Refuse a folder that cannot be used, before anything is loaded.

        Raises:
            OptionError: options that contradict one another.
            StorageError: the folder holds something else, or cannot be written.
        """
        if self.resume and self.overwrite:
            raise OptionError(
                "--resume and --overwrite", expected="one of them", remedy="leave --overwrite out to go on with the run"
            )
        if self.resume and not options.keep_features:
            raise OptionError(
                "--resume and --no-cache",
                expected="--resume with the cache, which holds what an interrupted run has computed",
                remedy="leave one of them out",
            )
        check_folder(self.path, overwrite=self.overwrite or self.resume)

    def whole(self, read: Callable[[str], Read]) -> Read | None:
        """The result that a run to be resumed has already, as ``read`` reads it; None where there is none.

        Raises:
            StorageError: the folder holds something else.
        """
        if not self.resume or not self.path.is_dir():
            return None
        if (self.path / RESULT).is_file():
            return read((self.path / RESULT).read_text(encoding="utf-8"))
        strange = sorted(item.name for item in self.path.iterdir() if item.name not in PARTS and item.name[0] != ".")
        if strange:
            raise StorageError(
                f"{self.path} holds {strange[0]}, which is no part of a run",
                expected="the folder of an interrupted run, or a new one",
                remedy="choose another --out",
            )
        return None


def measure_run(
    request: Request, options: MeasureOptions, folder: RunFolder, progress: Progress = no_progress
) -> GapResult:
    """Measure what was asked for by name and write the run folder; a run that is whole already is read instead.

    What an interrupted run has computed is in the feature cache; the rest takes seconds and is computed again.

    Raises:
        GapkitError: something does not go together, or the folder cannot be used.
    """
    folder.check(options)
    found = folder.whole(GapResult.from_json)
    source, target = request.load()
    if found is not None:
        used, _ = select(target, options)
        told = conditions(options, used, source.surrogate, precision=source.precision)
        check_same(found.provenance, provenance(used, told, source.weights_hash), folder.path)
        return found
    result = measure(source, target, options=options, progress=progress)
    result.save(folder.path)
    return result


def rank_run(
    request: RankRequest, options: RankOptions, folder: RunFolder, progress: Progress = no_progress
) -> RankResult:
    """Rank the sources that are named and write the run folder; a run that is whole already is read instead.

    Raises:
        GapkitError: something does not go together, or the folder cannot be used.
    """
    folder.check(options)
    found = folder.whole(RankResult.from_json)
    target, surrogate = request.load()
    if found is not None:
        used, _ = select(target, options)
        precisions = [request.precision] * len(request.sources)
        told = conditions(options, used, surrogate, sources=list(request.sources), precision=precisions)
        # The sources are not loaded for their hashes: that of the run is taken for granted.
        check_same(found.provenance, provenance(used, told, found.provenance.weights_hash), folder.path)
        return found
    result = rank(request.sources, target, surrogate=surrogate, options=options, load=request.open, progress=progress)
    result.save(folder.path)
    return result


def check_same(found: Provenance, asked: Provenance, path: Path) -> None:
    """Refuse to take another run for the one that is asked for.

    Raises:
        StorageError: options, samples or weights differ; the first difference is named.
    """
    told = {**found.options, "samples": found.data_hash, "weights": found.weights_hash}
    wanted = {**asked.options, "samples": asked.data_hash, "weights": asked.weights_hash}
    differing = [key for key in wanted if told.get(key) != wanted[key]]
    if differing:
        raise StorageError(
            f"{path} holds another run ({', '.join(differing)} differ)",
            expected="the run that is asked for",
            remedy="give the options of that run, pass --overwrite, or choose another --out",
        )
