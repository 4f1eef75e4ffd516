"""What a hypergradient refuses, in words."""

from __future__ import annotations

import copy

import pytest

from gapkit.errors import DataError, OptionError, UndefinedError
from gapkit.mona.hypergradient import hypergradient
from gapkit.mona.options import HypergradientOptions
from gapkit.mona.problem import BatchProblem, LabelledBatch


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "forward"}, "method 'forward'; expected one of central"),
        ({"alpha": 0}, "alpha 0; expected a positive"),
        ({"alpha": float("nan")}, "alpha nan"),
        ({"weight": -1.0}, "weight -1.0; expected a finite number, 0 or more"),
        ({"step": "best"}, "step 'best'; expected one of auto"),
        ({"step": 0.0}, "step 0.0"),
        ({"microbatches": 0}, "microbatches 0"),
        ({"check_every": 0}, "check_every 0"),
    ],
)
def test_options_out_of_range_are_refused(given, message):
    with pytest.raises(OptionError, match=message):
        HypergradientOptions(**({"alpha": 0.1} | given))


def test_what_cannot_be_computed_is_refused(make_problem):
    problem, options = make_problem("bundled", seed=42), HypergradientOptions(alpha=0.1)
    with pytest.raises(OptionError, match="naive.*microbatches"):
        hypergradient(problem, HypergradientOptions(alpha=0.1, method="naive", microbatches=2))
    with pytest.raises(OptionError, match="half precision.*float32 parameters"):
        hypergradient(copy.deepcopy(problem).bfloat16(), options)
    with pytest.raises(UndefinedError, match="L_src at theta' or its gradient is not finite.*smaller alpha"):
        hypergradient(problem, HypergradientOptions(alpha=1e300))
    empty = LabelledBatch(inputs=problem.target.inputs[:0], labels=problem.target.labels[:0])
    with pytest.raises(DataError, match="target batch has no sample"):
        hypergradient(
            BatchProblem((problem.embedder, problem.encoder, problem.head), target=empty, source=problem.source),
            options,
        )
    shared = BatchProblem((problem.head, problem.encoder, problem.head), target=problem.target, source=problem.source)
    with pytest.raises(OptionError, match=r"embedder.weight and head.weight are the same"):
        hypergradient(shared, options)
    problem.encoder.requires_grad_(False)
    with pytest.raises(OptionError, match="encoder has no trainable parameter"):
        hypergradient(problem, options)
