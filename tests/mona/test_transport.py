"""The differentiable OTDD against the numpy one, and its gradient against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gapkit.errors import DataError, OptionError
from gapkit.mona.class_geometry import own_distances, squared_bures, stack_by_rank, tensor_side
from gapkit.mona.transport import otdd_loss, source_statistics
from gapkit.scores.otdd import otdd
from gapkit.scores.otdd_options import OTDDOptions

EXACT = [
    OTDDOptions(),
    OTDDOptions(correction=0, lambda_x=0.5, lambda_y=2.0),
    OTDDOptions(covariance="diagonal"),
    OTDDOptions(inner="exact"),
    OTDDOptions(inner="means"),
    OTDDOptions(inner="upper"),
    OTDDOptions(unit="paper"),
    OTDDOptions(unit="half"),
]
ENTROPIC = [
    OTDDOptions(outer="sinkhorn", tolerance=1e-11),
    OTDDOptions(outer="sinkhorn", tolerance=1e-11, inner="exact"),
    OTDDOptions(outer="sinkhorn", tolerance=1e-11, debiased=False),
    OTDDOptions(outer="sinkhorn", tolerance=1e-11, covariance="diagonal"),
]


def name(options):
    return f"{options.inner}-{options.covariance}-{options.outer}-{options.debiased}-{options.unit}-{options.lambda_x}"


def draw(seed, n, width, n_classes, *, shift=0.0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    mixing = rng.normal(size=(n_classes, width, width))
    features = np.einsum("nd,nde->ne", rng.normal(size=(n, width)), mixing[labels])
    return features + rng.normal(size=(n_classes, width))[labels] + shift, labels


SIZES = {"full rank": (40, 30, 3), "deficient": (14, 12, 7), "single samples": (9, 8, 3)}


def pair(case):
    n, m, width = SIZES[case]
    classes = (3, 2) if case != "single samples" else (9, 5)
    return *draw(0, n, width, classes[0], shift=0.5), *draw(1, m, width, classes[1])


@pytest.mark.parametrize("case", SIZES)
@pytest.mark.parametrize("options", EXACT + ENTROPIC, ids=name)
def test_equals_the_numpy_version(options, case):
    x, y, source_x, source_y = pair(case)
    source = source_statistics(source_x, source_y, options=options, dtype=torch.float64)
    found = otdd_loss(torch.from_numpy(x), torch.from_numpy(y), source)
    expected = otdd(x, y, source_x, source_y, options=options)
    rel = 1e-8 if options.outer == "exact" else 1e-5
    assert found.value.item() == pytest.approx(expected.value, rel=rel)
    assert found.feature_part.item() == pytest.approx(expected.feature_part, rel=rel)
    assert found.label_part.item() == pytest.approx(expected.label_part, rel=rel)
    assert found.entropy_part.item() == pytest.approx(expected.entropy_part, rel=rel)
    assert found.evidence.converged == expected.evidence.converged


@pytest.mark.parametrize("case", SIZES)
@pytest.mark.parametrize("options", EXACT + ENTROPIC, ids=name)
def test_the_gradient_is_that_of_finite_differences(options, case):
    """Along random directions, central differences; the coupling is found anew at every point."""
    x, y, source_x, source_y = pair(case)
    source = source_statistics(source_x, source_y, options=options, dtype=torch.float64)
    batch, labels = torch.from_numpy(x).requires_grad_(), torch.from_numpy(y)
    (gradient,) = torch.autograd.grad(otdd_loss(batch, labels, source).value, batch)
    rng = np.random.default_rng(2)
    step = 1e-5
    for _ in range(3):
        along = torch.from_numpy(rng.normal(size=x.shape))
        ahead, behind = (
            otdd_loss(batch.detach() + sign * step * along, labels, source).value.item() for sign in (1, -1)
        )
        assert (gradient * along).sum().item() == pytest.approx((ahead - behind) / (2 * step), rel=1e-5, abs=1e-6)


def test_the_gradient_passes_gradcheck_in_every_coordinate():
    x, y, source_x, source_y = pair("deficient")
    source = source_statistics(source_x, source_y, dtype=torch.float64)

    def value(batch):
        return otdd_loss(batch, torch.from_numpy(y), source).value

    assert torch.autograd.gradcheck(value, torch.from_numpy(x).requires_grad_(), eps=1e-6, atol=1e-6, rtol=1e-4)


def test_the_label_term_has_a_gradient_of_means_and_of_covariances():
    """With the feature term off: a class scaled about its mean moves its covariance only, a shift its mean only."""
    x, y, source_x, source_y = pair("full rank")
    options = OTDDOptions(lambda_x=0.0)
    source = source_statistics(source_x, source_y, options=options, dtype=torch.float64)
    batch = torch.from_numpy(x).requires_grad_()
    (gradient,) = torch.autograd.grad(otdd_loss(batch, torch.from_numpy(y), source).value, batch)
    for code in range(3):
        members = torch.from_numpy(y == code)
        centred = (batch - batch[members].mean(dim=0)).detach()[members]
        assert gradient[members].sum(dim=0).norm() > 1e-3  # of the mean
        assert abs((gradient[members] * centred).sum().item()) > 1e-3  # of the spread


@pytest.mark.parametrize(("rows", "rank", "other"), [(6, 6, 6), (4, 4, 9), (9, 5, 3), (5, 2, 2), (5, 0, 4), (3, 1, 7)])
def test_the_bures_gradient_is_bounded_and_right_at_any_rank(rows, rank, other):
    """Where the map is smooth it is that of finite differences; elsewhere it is finite and a descent direction."""
    rng = np.random.default_rng(3)
    width = 6
    root = torch.from_numpy(rng.normal(size=(rows, rank)) @ rng.normal(size=(rank, width))).requires_grad_()
    constant = torch.from_numpy(rng.normal(size=(other, width)))
    (gradient,) = torch.autograd.grad(squared_bures(root, stack_by_rank([constant])).sum(), root)
    assert gradient.norm() <= 2 * (root.norm() + constant.norm()) * (1 + 1e-9)
    value = [squared_bures(root.detach() - step * gradient, stack_by_rank([constant])).item() for step in (0.0, 1e-4)]
    if rank:
        assert value[1] < value[0]
    else:  # a kink, with zero among its subgradients
        assert (gradient == 0).all()
    smooth = rank == min(rows, width) or rank >= min(other, width)
    if smooth:
        along = torch.from_numpy(rng.normal(size=(rows, width)))
        ahead, behind = (
            squared_bures(root.detach() + sign * 1e-6 * along, stack_by_rank([constant])).item() for sign in (1, -1)
        )
        assert (gradient * along).sum().item() == pytest.approx((ahead - behind) / 2e-6, rel=1e-5, abs=1e-6)


def test_the_bures_gradient_is_the_closed_form_of_covariances():
    """``dB^2/dC = I - C2^(1/2) (C2^(1/2) C C2^(1/2))^(-1/2) C2^(1/2)``, and ``dC = R' dR + dR' R``."""
    rng = np.random.default_rng(4)
    root, constant = rng.normal(size=(7, 4)), rng.normal(size=(9, 4))

    def power(matrix, exponent):
        values, vectors = np.linalg.eigh(matrix)
        return vectors * values**exponent @ vectors.T

    half = power(constant.T @ constant, 0.5)
    by_covariance = np.eye(4) - half @ power(half @ root.T @ root @ half, -0.5) @ half
    tensor = torch.from_numpy(root).requires_grad_()
    (gradient,) = torch.autograd.grad(squared_bures(tensor, stack_by_rank([torch.from_numpy(constant)])).sum(), tensor)
    assert gradient.numpy() == pytest.approx(2 * root @ by_covariance, rel=1e-8)


@pytest.mark.parametrize("options", EXACT[:6] + ENTROPIC, ids=name)
def test_second_derivatives_are_right_or_refused(options):
    x, y, source_x, source_y = pair("deficient")
    source = source_statistics(source_x, source_y, options=options, dtype=torch.float64)
    labels = torch.from_numpy(y)

    def gradient(batch, *, create_graph=False):
        return torch.autograd.grad(otdd_loss(batch, labels, source).value, batch, create_graph=create_graph)[0]

    batch = torch.from_numpy(x).requires_grad_()
    twice = gradient(batch, create_graph=True)
    along = torch.from_numpy(np.random.default_rng(6).normal(size=x.shape))
    if options.outer == "sinkhorn" or (options.inner == "gaussian" and options.covariance == "full"):
        with pytest.raises(OptionError, match="a second derivative"):
            torch.autograd.grad((twice * along).sum(), batch)
        return
    (curvature,) = torch.autograd.grad((twice * along).sum(), batch)
    ahead, behind = (gradient((batch.detach() + sign * 1e-5 * along).requires_grad_()) for sign in (1, -1))
    assert curvature.numpy() == pytest.approx((ahead - behind).numpy() / 2e-5, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("options", [EXACT[0], EXACT[2], EXACT[3], *ENTROPIC], ids=name)
@pytest.mark.parametrize("batch", ["zeros", "duplicates", "equal to the source", "one sample"])
def test_degenerate_batches_have_a_finite_gradient(options, batch):
    _, _, source_x, source_y = pair("full rank")
    x = {
        "zeros": np.zeros((6, 3)),
        "duplicates": np.repeat(source_x[:2], 3, axis=0),
        "equal to the source": source_x,
        "one sample": source_x[:1],
    }[batch]
    labels = torch.from_numpy(source_y if batch == "equal to the source" else np.arange(len(x)) // 3)
    source = source_statistics(source_x, source_y, options=options, dtype=torch.float64)
    features = torch.from_numpy(x).requires_grad_()
    found = otdd_loss(features, labels, source)
    found.value.backward()
    assert torch.isfinite(features.grad).all()
    if batch == "equal to the source" and options.debiased:
        assert found.value.item() == pytest.approx(0.0, abs=1e-6)
        if options.outer == "exact":
            assert features.grad.abs().max() < 1e-10


def test_two_sides_of_equal_classes_share_their_gradient():
    """Distances within one side depend on it twice."""
    x, y, _, _ = pair("deficient")
    weights = torch.from_numpy(np.random.default_rng(5).uniform(size=(3, 3)))
    for options in (OTDDOptions(), OTDDOptions(covariance="diagonal"), OTDDOptions(inner="exact")):

        def value(batch, options=options):
            side = tensor_side(batch, torch.from_numpy(y), options)
            return (weights * own_distances(side, options)).sum()

        assert torch.autograd.gradcheck(value, torch.from_numpy(x).requires_grad_(), atol=1e-5, rtol=1e-4)


def test_classes_that_the_batch_lacks_and_names_of_classes_change_nothing():
    x, y, source_x, source_y = pair("full rank")
    source = source_statistics(source_x, np.array(["b", "a"])[source_y], dtype=torch.float64)
    assert source.classes == ("a", "b")
    assert source.shares == pytest.approx(np.array([0.5, 0.5]))
    some = y != 1
    found = otdd_loss(torch.from_numpy(x[some]), torch.from_numpy(y[some]), source)
    renamed = otdd_loss(torch.from_numpy(x[some]), torch.from_numpy(9 - 4 * y[some]), source)
    assert found.value.item() == pytest.approx(otdd(x[some], y[some], source_x, source_y).value, rel=1e-10)
    assert renamed.value.item() == pytest.approx(found.value.item(), rel=1e-12)


@pytest.mark.parametrize("options", [EXACT[0], EXACT[3], ENTROPIC[0]], ids=name)
def test_single_precision_is_near_even_far_from_the_origin(options):
    x, y, source_x, source_y = pair("deficient")
    expected = otdd(x, y, source_x, source_y, options=options).value
    for far in (0.0, 1000.0):
        source = source_statistics(source_x + far, source_y, options=options)
        batch = torch.from_numpy(x + far).float().requires_grad_()
        found = otdd_loss(batch, torch.from_numpy(y), source)
        found.value.backward()
        assert found.value.dtype == batch.grad.dtype == torch.float32
        assert found.value.item() == pytest.approx(expected, rel=1e-5 if far == 0 else 2e-3)


def test_descent_brings_the_batch_to_the_source():
    x, y, source_x, source_y = pair("full rank")
    source = source_statistics(source_x, source_y, dtype=torch.float64)
    batch = torch.from_numpy(x).requires_grad_()
    optimiser = torch.optim.Adam([batch], lr=0.05)
    values = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = otdd_loss(batch, torch.from_numpy(y), source).value
        loss.backward()
        optimiser.step()
        values.append(loss.item())
    assert values[-1] < 0.6 * values[0]


def test_large_sources_are_subsampled_as_in_the_numpy_version():
    x, y, source_x, source_y = pair("full rank")
    options = OTDDOptions(limit=20)
    source = source_statistics(torch.from_numpy(source_x), torch.from_numpy(source_y), options=options)
    assert len(source.side.features) == 20
    assert source.notes == ("labels: 20 of 30 samples, stratified by class",)


def test_what_has_no_gradient_or_does_not_fit_is_refused():
    x, y, source_x, source_y = pair("full rank")
    for wrong in ({"outer": "sliced"}, {"covariance": "shrunk"}):
        with pytest.raises(OptionError, match=next(iter(wrong.values()))):
            source_statistics(source_x, source_y, options=OTDDOptions(**wrong))
    source = source_statistics(source_x, source_y, dtype=torch.float64)
    features, labels = torch.from_numpy(x), torch.from_numpy(y)
    with pytest.raises(DataError, match=r"shape \(40, 2\)"):
        otdd_loss(features[:, :2], labels, source)
    with pytest.raises(DataError, match="beside 40 samples"):
        otdd_loss(features, labels[:-1], source)
    with pytest.raises(DataError, match="NaN or infinite"):
        otdd_loss(features / 0, labels, source)
    with pytest.raises(DataError, match=r"shape \(0, 3\)"):
        otdd_loss(features[:0], labels[:0], source)


@pytest.mark.gpu
@pytest.mark.parametrize("options", [EXACT[0], EXACT[3], ENTROPIC[0]], ids=name)
def test_a_gpu_gives_the_same_numbers(options):
    x, y, source_x, source_y = pair("deficient")
    found = []
    for device in ("cpu", "cuda"):
        source = source_statistics(source_x, source_y, options=options, dtype=torch.float64, device=device)
        batch = torch.from_numpy(x).to(device).requires_grad_()
        loss = otdd_loss(batch, torch.from_numpy(y).to(device), source).value
        loss.backward()
        found.append((loss.item(), batch.grad.cpu()))
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-8)
    assert torch.allclose(found[1][1], found[0][1], rtol=1e-6, atol=1e-9)
