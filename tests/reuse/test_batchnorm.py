"""BatchNorm's statistics, re-estimated inside a block: against loops over batches, and that every bit comes back."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from gapkit.arrays import seeded_torch
from gapkit.errors import UndefinedError
from gapkit.reuse.swap import reestimate_batchnorm, rewind_values, swapped


@pytest.fixture(autouse=True)
def _seeded():
    with seeded_torch(0):
        yield


def cnn(dropout=0.3):
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()),
        nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(dropout)),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5)),
    )


def images(seed=0, n=2):
    return torch.from_numpy(np.random.default_rng([seed, 1]).normal(size=(n, 3, 5, 5)).astype(np.float32))


def moved(module, seed):
    """The same module, with every number another one."""
    rng = np.random.default_rng([seed, 2])
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point():
                tensor += torch.from_numpy(rng.random(size=tensor.shape).astype(np.float32))
    return module


def bits(module):
    """Every byte of its tensors, and which tensors they are."""
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {name: (id(tensor), tensor.detach().numpy().tobytes()) for name, tensor in tensors.items()}


def modes(module):
    return [part.training for part in module.modules()]


def naive_statistics(module, batches):
    """Means over batches of the first layer's batch means and unbiased variances, by the sizes of the batches."""
    conv = module[0][0]
    with torch.no_grad():
        outputs = [conv(batch).double() for batch in batches]
    total = sum(len(batch) for batch in batches)
    mean = sum(len(o) * o.mean(dim=(0, 2, 3)) for o in outputs) / total
    variance = sum(len(o) * o.var(dim=(0, 2, 3)) for o in outputs) / total
    return mean.float(), variance.float()


def test_statistics_are_averages_over_the_batches_and_come_back():
    tuned = moved(cnn(), 1)
    tuned[1].eval()
    tuned[0][1].momentum = None
    before, mode = bits(tuned), modes(tuned)
    batches = [images(seed, n) for seed, n in enumerate([8, 8, 3])]
    expected = naive_statistics(tuned, batches)
    with reestimate_batchnorm(tuned, iter(batches)):
        torch.testing.assert_close(tuned[0][1].running_mean, expected[0])
        torch.testing.assert_close(tuned[0][1].running_var, expected[1])
        assert modes(tuned) == mode
        assert not tuned[1][1].running_mean.equal(torch.zeros(6))
    assert bits(tuned) == before
    assert modes(tuned) == mode
    assert tuned[0][1].momentum is None


def test_one_batch_gives_eval_the_output_of_train():
    tuned = moved(cnn(dropout=0.0), 1)
    x = images(n=64)
    with torch.no_grad():
        expected = copy.deepcopy(tuned).train()(x)
        with reestimate_batchnorm(tuned.eval(), [x]):
            found = tuned(x)
    # eval divides by the unbiased variance: n = 64 * 25 and 64 * 9 values
    torch.testing.assert_close(found, expected, rtol=0.01, atol=0.01)


def test_statistics_after_broken_ones_are_finite_and_at_most_512_inputs_are_read():
    tuned = moved(cnn(), 1)
    tuned[0][1].running_mean.fill_(float("nan"))
    sizes = []

    def forward(batch):
        sizes.append(len(batch))
        return tuned(batch)

    with reestimate_batchnorm(tuned, (images(seed, 200) for seed in range(9)), forward):
        assert torch.isfinite(tuned[0][1].running_mean).all()
    assert sizes == [200, 200, 112]
    assert tuned[0][1].running_mean.isnan().all()


def test_everything_but_batchnorm_is_in_eval_mode():
    module = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(4, momentum=None), nn.Dropout(0.5), nn.BatchNorm1d(4))
    x = torch.from_numpy(np.random.default_rng(3).normal(size=(50, 4)).astype(np.float32))
    seen = []
    module[3].register_forward_pre_hook(lambda _, args: seen.append(args[0].clone()))
    with reestimate_batchnorm(module, [x[:30], x[30:]]):
        torch.testing.assert_close(module[1].running_mean, x.mean(dim=0))
    assert all(module[k].training for k in range(4))
    assert not any((batch == 0).any() for batch in seen)


def test_without_batchnorm_nothing_runs():
    def refuse(batch):
        raise AssertionError

    frozen = nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False))
    for module in (nn.Linear(6, 3), frozen):
        before = bits(module)
        with reestimate_batchnorm(module, [torch.ones(3, 6)], refuse):
            assert bits(module) == before


def test_errors_restore_statistics_modes_and_momentum():
    tuned = moved(cnn(), 1)
    before = bits(tuned)

    def fail(batch):
        tuned(batch)
        raise ValueError("out of memory")

    with pytest.raises(ValueError, match="out of memory"), reestimate_batchnorm(tuned, [images()], fail):
        pass
    alone = reestimate_batchnorm(tuned, [images(n=1)])
    with pytest.raises(UndefinedError, match="at least two training inputs"), alone:
        pass
    with pytest.raises(KeyError), reestimate_batchnorm(tuned, [images()]):
        raise KeyError
    assert bits(tuned) == before
    assert tuned[0][1].momentum == 0.1
    assert all(part.training for part in tuned.modules())


def test_a_swap_with_new_statistics_and_back():
    pretrained = cnn()
    tuned = moved(copy.deepcopy(pretrained), 1)
    x, batches = images(n=4), [images(seed, 16) for seed in range(3)]
    tuned.eval(), pretrained.eval()
    own = tuned(x)
    with swapped(tuned, "", rewind_values(tuned, pretrained, "")), reestimate_batchnorm(tuned, batches):
        found = tuned(x)
    with reestimate_batchnorm(pretrained, batches):
        assert torch.equal(found, pretrained(x))
    assert torch.equal(tuned(x), own)
