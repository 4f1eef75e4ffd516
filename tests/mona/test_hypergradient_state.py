"""What a hypergradient leaves behind, and what it takes from modules."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from gapkit.errors import OptionError
from gapkit.mona.hypergradient import Hypergradients, hypergradient
from gapkit.mona.options import STEPS, HypergradientOptions
from gapkit.mona.passes import full_precision
from gapkit.mona.problem import BatchProblem, LabelledBatch

METHODS = ["central", "one_sided", "exact", "naive"]


class Noisy(nn.Module):
    """Noise on what another module returns, in eval mode too."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        y = self.module(x)
        return y + 0.1 * torch.randn_like(y)


class Normed(nn.Module):
    """An encoder with all that training mode changes: BatchNorm and dropout behind another encoder."""

    def __init__(self, module, width):
        super().__init__()
        self.module = module
        self.norm, self.drop = nn.BatchNorm1d(width), nn.Dropout(0.5)

    def forward(self, x):
        return self.drop(self.norm(self.module(x)))


@pytest.fixture
def problem(make_problem):
    """In training mode, with one part in eval mode, and with gradients that some other loss has left."""
    made = make_problem("bundled", seed=31, dtype=torch.float32)
    made.encoder = Normed(made.encoder, 32)
    made.train()
    made.encoder.module.eval()
    for parameter in made.parameters():
        parameter.grad = torch.full_like(parameter, 7.0)
    return made


def state(problem):
    """Every bit of parameters and buffers, modes, gradients and what needs one."""
    tensors = {name: tensor.detach().clone() for name, tensor in problem.state_dict().items()}
    modes = [module.training for module in problem.modules()]
    others = [(parameter.requires_grad, parameter.grad.clone()) for parameter in problem.parameters()]
    return tensors, modes, others


def assert_same(problem, before):
    tensors, modes, others = state(problem)
    for name, tensor in tensors.items():
        assert torch.equal(tensor, before[0][name]), name
    assert modes == before[1]
    for (needed, gradient), (was_needed, was) in zip(others, before[2], strict=True):
        assert needed == was_needed
        assert torch.equal(gradient, was)


@pytest.mark.parametrize("method", METHODS)
def test_a_step_leaves_everything_as_it_was(problem, method):
    before, drawn = state(problem), torch.random.get_rng_state()
    found = hypergradient(problem, HypergradientOptions(method=method, alpha=0.1, head_second_order=True))
    assert_same(problem, before)
    assert torch.equal(torch.random.get_rng_state(), drawn)
    for named in (found.embedder, found.head, found.embedder_term, found.head_term):
        assert named
        assert not any(tensor.requires_grad for tensor in named.values())
    assert found.embedder.keys() == dict(problem.embedder.named_parameters()).keys()
    assert found.head.keys() == dict(problem.head.named_parameters()).keys()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize(
    ("method", "call"),
    [("central", 1), ("central", 2), ("central", 3), ("central", 4), ("one_sided", 3), ("exact", 3), ("naive", 2)],
)
def test_an_interruption_leaves_everything_as_it_was(problem, method, call, error):
    """The encoder raises in its first, second ... forward pass: at theta, theta', theta + eps v, theta - eps v."""
    before, passes = state(problem), 0

    def interrupt(*_):
        nonlocal passes
        passes += 1
        if passes == call:
            raise error("stop")

    with problem.encoder.register_forward_hook(interrupt), pytest.raises(error, match="stop"):
        hypergradient(problem, HypergradientOptions(method=method, alpha=0.1))
    assert passes == call
    assert_same(problem, before)


def test_the_step_really_moves_theta_in_between(problem):
    seen = []
    with problem.encoder.register_forward_hook(lambda module, *_: seen.append(module.norm.weight.detach().clone())):
        found = hypergradient(problem, HypergradientOptions(alpha=0.1))
    here, stepped, ahead, behind = seen
    assert not torch.equal(here, stepped)
    torch.testing.assert_close(ahead - here, here - behind, rtol=0.1, atol=1e-6)
    assert (ahead - here).norm() <= found.step * 1.01


@pytest.mark.parametrize("method", METHODS)
def test_dropout_is_off_and_batch_norm_uses_its_statistics(problem, method, relative_error):
    options = HypergradientOptions(method=method, alpha=0.1)
    first = hypergradient(problem, options)
    problem.eval()
    second = hypergradient(problem, options)
    assert relative_error(first.embedder, second.embedder) == 0


@pytest.mark.parametrize("method", ["central", "one_sided", "exact"])
def test_all_passes_share_their_random_numbers(make_problem, relative_error, method):
    """The embedder adds noise; other noise in another pass would drown the differences."""
    problem = make_problem("bundled", seed=32)
    problem.embedder = Noisy(problem.embedder)
    found, naive = (hypergradient(problem, HypergradientOptions(method=m, alpha=0.1)) for m in (method, "naive"))
    assert relative_error(found.embedder_term, naive.embedder_term) < (5e-3 if method == "one_sided" else 1e-4)


def test_frozen_parameters_are_constants(make_problem, relative_error):
    problem = make_problem("bundled", seed=33)
    problem.embedder.norm.requires_grad_(False)
    problem.head.bias.requires_grad_(False)
    frozen = problem.encoder.module.blocks[0].requires_grad_(False)
    exact, naive, central = (
        hypergradient(problem, HypergradientOptions(method=m, alpha=0.1)) for m in ("exact", "naive", "central")
    )
    assert set(exact.embedder) == {"project.weight", "project.bias"}
    assert set(exact.head) == {"weight"}
    assert relative_error(exact.embedder_term, naive.embedder_term) < 1e-10
    assert relative_error(central.embedder_term, naive.embedder_term) < 1e-4
    frozen.requires_grad_(True)  # with another theta the term is another one
    whole = hypergradient(problem, HypergradientOptions(method="exact", alpha=0.1))
    assert relative_error(whole.embedder_term, naive.embedder_term) > 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_an_embedder_without_parameters_leaves_the_head(make_problem, method):
    made = make_problem("bundled", seed=34)
    target = LabelledBatch(inputs=made.embedder(made.target.inputs).detach(), labels=made.target.labels)
    problem = BatchProblem((nn.Identity(), made.encoder, made.head), target=target, source=made.source)
    found = hypergradient(problem, HypergradientOptions(method=method, alpha=0.1))
    assert found.embedder == found.embedder_term == {}
    assert found.term_ratio is None
    plain = torch.autograd.grad(made.eval().target_loss(slice(0, 8)), list(made.head.parameters()))
    for gradient, expected in zip(found.head.values(), plain, strict=True):
        torch.testing.assert_close(gradient, expected)
    second = hypergradient(problem, HypergradientOptions(method=method, alpha=0.1, head_second_order=True))
    assert second.head_term
    assert any("no trainable parameter" in note for note in found.notes) == (method != "naive")


def test_without_weight_nothing_but_the_target_is_left(make_problem):
    problem = make_problem("bundled", seed=35)
    found = hypergradient(problem, HypergradientOptions(alpha=0.1, weight=0))
    assert all((term == 0).all() for term in found.embedder_term.values())
    assert "weight is 0" in found.notes[0]


class Checkpointed(nn.Module):
    """An encoder that computes its forward pass a second time instead of keeping it."""

    def __init__(self, module):
        super().__init__()
        self.module = module
        self.passes = 0

    def run(self, x):
        self.passes += 1
        return self.module(x)

    def forward(self, x):
        return checkpoint(self.run, x, use_reentrant=False)


def test_checkpointing_changes_no_difference_and_exact_refuses_it(make_problem, relative_error):
    problem = make_problem("bundled", seed=36)
    plain = hypergradient(problem, HypergradientOptions(alpha=0.1))
    problem.encoder = Checkpointed(problem.encoder)
    found = hypergradient(problem, HypergradientOptions(alpha=0.1))
    assert problem.encoder.passes == 8
    assert relative_error(found.embedder_term, plain.embedder_term) < 1e-9
    with pytest.raises(OptionError, match=r"'exact' cannot differentiate.*checkpointing; use method='central'"):
        hypergradient(problem, HypergradientOptions(alpha=0.1, method="exact"))
    chosen = hypergradient(problem, HypergradientOptions(alpha=0.1, step="auto"))
    assert chosen.step == 1e-3
    assert "cannot differentiate" in chosen.notes[0]


def test_group_norm_is_differentiated_rightly_or_refused(make_problem, relative_error):
    """Whether it has a forward derivative depends on torch's version; differences need none."""
    problem = make_problem("bundled", seed=37)
    problem.encoder = nn.Sequential(problem.encoder, nn.GroupNorm(4, 32).double())
    naive, central = (
        hypergradient(problem, HypergradientOptions(alpha=0.1, method=method)) for method in ("naive", "central")
    )
    assert relative_error(central.embedder_term, naive.embedder_term) < 1e-4
    try:
        exact = hypergradient(problem, HypergradientOptions(alpha=0.1, method="exact"))
    except OptionError:
        pass
    else:
        assert relative_error(exact.embedder_term, naive.embedder_term) < 1e-10


def test_an_automatic_step_is_the_best_of_three_and_chosen_once(make_problem, relative_error):
    problem = make_problem("vit", seed=38, dtype=torch.float32)
    exact = hypergradient(problem, HypergradientOptions(alpha=0.05, method="exact"))
    errors = {}
    for step in STEPS:
        found = hypergradient(problem, HypergradientOptions(alpha=0.05, step=step))
        errors[step] = relative_error(found.embedder_term, exact.embedder_term)
    estimate = Hypergradients(HypergradientOptions(alpha=0.05, step="auto"))
    found = estimate(problem)
    assert found.step == min(errors, key=errors.get)
    assert found.error == pytest.approx(errors[found.step], rel=1e-2)
    assert estimate.options.step == found.step
    again = estimate(problem)
    assert again.error is None
    assert not again.notes


def test_checks_are_made_every_so_often_and_say_what_is_wrong(make_problem):
    problem = make_problem("bundled", seed=39, dtype=torch.float32)
    estimate = Hypergradients(HypergradientOptions(alpha=0.05, check_every=2, step=1.0))  # far too long a step
    found = [estimate(problem) for _ in range(3)]
    assert [one.error is not None for one in found] == [True, False, True]
    assert found[0].error > 0.05
    assert "over the bar of 0.05: use step='auto'" in found[0].notes[0]
    assert not found[1].notes
    good = hypergradient(problem, HypergradientOptions(alpha=0.05), check=True)
    assert 0 < good.error < 5e-3
    assert not good.notes


def test_a_term_that_drowns_the_target_gets_a_note(make_problem):
    found = hypergradient(make_problem("bundled", seed=40), HypergradientOptions(alpha=0.1, weight=1e4))
    assert found.term_ratio > 10
    assert "times as long as d_phi L_target" in found.notes[0]


def test_differences_are_taken_with_all_digits_of_float32(problem):
    places = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)
    kept = [place.fp32_precision for place in places]
    try:
        places[0].fp32_precision, places[1].fp32_precision = "tf32", "bf16"
        with full_precision(torch.device("cpu")):
            assert [place.fp32_precision for place in places] == ["ieee", "ieee"]
        assert [place.fp32_precision for place in places] == ["tf32", "bf16"]
    finally:
        for place, precision in zip(places, kept, strict=True):
            place.fp32_precision = precision
