"""What reads no label map, in a thread beside the searches: the null, nearest neighbours and perceptrons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType

from gapkit.estimates import Null
from gapkit.gap.discrepancy import find_discrepancy
from gapkit.gap.inputs import GapOptions
from gapkit.gap.label_maps.ceiling import Member, find_neighbourhood, neighbour_member, perceptron_member
from gapkit.gap.null import NullInputs, null_tests
from gapkit.gap.problem import Problem
from gapkit.statistics.folds import Folds
from gapkit.statistics.neighbours import Neighbourhood


class Beside:
    """Work that goes on while label maps are searched for, where there is a second core.

    Nearest neighbours are a member of the ceiling and the ceiling's null statistic: one pass over the distances serves
    both. Who leaves the block by an exception does not wait for more than the task that is being worked on.
    """

    def __init__(self, problem: Problem, folds: Folds, options: GapOptions) -> None:
        """Start with the null, which takes the least time and is looked at last."""
        wanted = options.ceiling if "ceiling" in options.families else ()
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._neighbourhood = find_neighbourhood(problem) if "knn" in wanted else None
        self._nulls = self._thread.submit(_null_tests, problem, folds, options, self._neighbourhood)
        self._members: dict[str, list[Future[Member]]] = {}
        parts = problem.parts[:-1]
        if self._neighbourhood is not None:
            near = self._neighbourhood
            self._members["knn"] = [self._thread.submit(neighbour_member, problem, part, near) for part in parts]
        if "mlp" in wanted:
            self._members["mlp"] = [self._thread.submit(perceptron_member, problem, part) for part in parts]

    def __enter__(self) -> Beside:
        """The work has begun."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing more is begun; what has been begun ends."""
        self._thread.shutdown(wait=kind is None, cancel_futures=True)

    def nulls(self) -> dict[tuple[str, str], Null]:
        """The permutation test of each family under each discrepancy."""
        return self._nulls.result()

    def members(self) -> Mapping[str, Sequence[Member]]:
        """Members of the ceiling, one for each fold."""
        return {name: [member.result() for member in members] for name, members in self._members.items()}


def _null_tests(
    problem: Problem, folds: Folds, options: GapOptions, neighbourhood: Neighbourhood | None
) -> dict[tuple[str, str], Null]:
    """The permutation test of each family under each discrepancy."""
    if options.permutations == 0:
        return {}
    return null_tests(
        NullInputs(
            log_p=problem.samples.log_p,
            features=problem.features,
            labels=problem.samples.labels,
            n_classes=problem.n_target,
            folds=replace(folds, ids=folds.ids[problem.order], home=folds.home[problem.order]),
            groups=problem.groups,
            neighbourhood=neighbourhood,
        ),
        families=options.families,
        discrepancies=[find_discrepancy(name) for name in options.discrepancies],
        permutations=options.permutations,
        seed=options.seed,
    )
