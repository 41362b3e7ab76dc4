"""Re-estimated BatchNorm statistics equal those computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from prunnet_export.network import rebase_batchnorm, reestimate_batchnorm, statistics_batches
from prunnet_export.patterns.channel import Channel
from tests._asserts import assert_healthy, assert_same_tensors
from tests._inputs import cut, images, randomise, tiny_resnet


class Recording(nn.Module):
    """conv -> BatchNorm -> linear -> BatchNorm, small enough for the statistics to be computed by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4, momentum=0.3)
        self.linear = nn.Linear(4, 2)
        self.norm = nn.BatchNorm1d(2)
        self.drop = nn.Dropout(0.5)
        randomise(self)

    def forward(self, batch: Tensor) -> Tensor:
        features = self.bn(self.conv(batch)).relu().mean((2, 3))
        embedding: Tensor = self.norm(self.linear(self.drop(features)))
        return embedding


def batches(count: int = 3, size: int = 4) -> list[Tensor]:
    return [images(size, 8, seed=seed) for seed in range(count)]


@torch.no_grad()
def test_equals_the_average_over_the_batches() -> None:
    module = Recording()
    seen = batches()
    means, variances = [], []
    for batch in seen:
        x = module.conv(batch).transpose(0, 1).flatten(1)
        means.append(x.mean(1))
        variances.append(x.var(1, correction=1))
    assert reestimate_batchnorm(module, seen) == 12
    torch.testing.assert_close(module.bn.running_mean, torch.stack(means).mean(0))
    torch.testing.assert_close(module.bn.running_var, torch.stack(variances).mean(0))


@torch.no_grad()
def test_one_batch_gives_the_statistics_of_all_images() -> None:
    module = Recording()
    [batch] = batches(1, 12)
    reestimate_batchnorm(module, [batch])
    x = module.conv(batch).transpose(0, 1).flatten(1)
    torch.testing.assert_close(module.bn.running_mean, x.mean(1))
    torch.testing.assert_close(module.bn.running_var, x.var(1, correction=1))


@torch.no_grad()
def test_later_layers_see_what_training_would_show_them() -> None:
    module = Recording()
    seen = batches(1, 12)
    reestimate_batchnorm(module, seen)
    x = module.conv(seen[0])
    mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), correction=0, keepdim=True)
    scale, shift = module.bn.weight.view(1, -1, 1, 1), module.bn.bias.view(1, -1, 1, 1)
    x = ((x - mean) / (variance + module.bn.eps).sqrt() * scale + shift).relu().mean((2, 3))
    torch.testing.assert_close(module.norm.running_mean, module.linear(x).mean(0))


@pytest.mark.parametrize("split", [1, 2, 3])
@torch.no_grad()
def test_dropout_and_order_of_batches_do_not_matter(split: int) -> None:
    one, other = Recording(), Recording()
    seen = batches()
    reestimate_batchnorm(one, seen)
    reestimate_batchnorm(other, seen[split:] + seen[:split])
    for name, buffer in one.named_buffers():
        torch.testing.assert_close(other.get_buffer(name), buffer)


def test_only_the_statistics_change() -> None:
    module = tiny_resnet().embedder
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    reestimate_batchnorm(module, [images(4, 32)])
    after = module.state_dict()
    statistics = {name for name in before if "running_" in name or "num_batches" in name}
    assert_same_tensors(
        {n: t for n, t in after.items() if n not in statistics},
        {n: t for n, t in before.items() if n not in statistics},
    )
    assert all(not torch.equal(after[name], before[name]) for name in statistics)


def test_the_earlier_statistics_are_forgotten() -> None:
    one, other = Recording(), Recording()
    with torch.no_grad():
        other.bn.running_mean.fill_(1e6)  # type: ignore[union-attr]  # it tracks its statistics
    for module in (one, other):
        reestimate_batchnorm(module, batches())
    assert_same_tensors(one.state_dict(), other.state_dict())


@pytest.mark.parametrize("training", [True, False])
def test_momentum_comes_back_and_evaluation_mode_is_left(training: bool) -> None:
    module = Recording().train(training)
    reestimate_batchnorm(module, batches())
    assert (module.bn.momentum, module.norm.momentum) == (0.3, 0.1)
    assert not any(part.training for part in module.modules())


def test_momentum_comes_back_after_an_error() -> None:
    module = Recording()
    with pytest.raises(RuntimeError):
        reestimate_batchnorm(module, [images(2, 8), torch.zeros(1, 5, 8, 8)])
    assert (module.bn.momentum, module.norm.momentum) == (0.3, 0.1)
    assert not module.bn.training


def test_no_images_leave_everything_as_it_is() -> None:
    module = Recording()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    assert reestimate_batchnorm(module, []) == 0
    assert_same_tensors(module.state_dict(), before)


@torch.no_grad()
def test_a_cut_network_gets_statistics_of_its_own() -> None:
    dense = tiny_resnet()
    small = cut(dense, 0.4, Channel(4))
    batch, norm = images(16, 32), dense.embedder.norm
    before = (small(batch).mean(0) - norm.bias).abs().max()
    reestimate_batchnorm(small, [batch])
    embedding = small(batch)
    assert_healthy(embedding)
    # The last layer is a BatchNorm: on the images it was estimated on, its outputs are about standardised.
    after = (embedding.mean(0) - norm.bias).abs().max()
    assert float(after) < 0.3
    assert float(after) < float(before) / 3


@given(images=st.integers(0, 5000), limit=st.integers(2, 3000))
def test_batches_are_dealt_out_over_the_split(images: int, limit: int) -> None:
    batches = statistics_batches(images, limit)
    if images < 2:
        assert batches == []
        return
    sizes = [len(batch) for batch in batches]
    taken = np.concatenate(batches)
    assert sum(sizes) == min(images, limit) == len(set(taken.tolist()))
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 2
    assert max(sizes) <= 199
    for batch in batches:  # each of them over the whole of it
        assert (np.diff(batch) > 0).all()
        assert batch[0] <= images * len(batches) // min(images, limit)
        assert batch[-1] >= images - 1 - 2 * images * len(batches) // min(images, limit)


@torch.no_grad()
def test_statistics_do_not_depend_on_how_a_split_is_listed() -> None:
    draw = torch.Generator().manual_seed(0)
    classes = torch.rand(4, 1, 3, 1, 1, generator=draw).expand(4, 100, 3, 8, 8).reshape(400, 3, 8, 8)
    split = classes + 0.1 * torch.rand(400, 3, 8, 8, generator=draw)
    norm = nn.BatchNorm2d(3)
    reestimate_batchnorm(norm, (split[torch.from_numpy(batch)] for batch in statistics_batches(len(split))))
    found = norm.running_var
    assert found is not None
    torch.testing.assert_close(found, split.var((0, 2, 3)), rtol=0.01, atol=0)


@torch.no_grad()
def test_rebased_layers_compute_the_same_with_other_statistics() -> None:
    module, seen = Recording(), batches()
    before = [module.eval()(batch) for batch in seen]
    assert rebase_batchnorm(module, seen) == 12
    for batch, expected in zip(seen, before, strict=True):
        torch.testing.assert_close(module(batch), expected, rtol=1e-4, atol=1e-5)
    inputs = torch.cat([module.conv(batch) for batch in seen])
    torch.testing.assert_close(module.bn.running_mean, inputs.mean((0, 2, 3)))
    torch.testing.assert_close(module.bn.running_var, inputs.var((0, 2, 3), unbiased=False))


@torch.no_grad()
def test_a_rebased_network_in_training_mode_is_near_the_one_in_evaluation_mode() -> None:
    """Without the new base a batch with statistics of its own changes what the network computes."""
    batch = 3 + 2 * images(64, 8)
    distances = []
    for rebased in (False, True):
        module = Recording()
        module.drop.p = 0
        if rebased:
            rebase_batchnorm(module, [batch])
        expected = module.eval()(batch)
        distances.append(float((module.train()(batch) - expected).abs().mean()))
    assert distances[1] < 1e-4 < distances[0]


@torch.no_grad()
def test_a_channel_that_does_not_vary_is_rebased_too() -> None:
    module = Recording().eval()
    module.conv.weight[0] = 0
    batch = images(4, 8)
    expected = module(batch)
    rebase_batchnorm(module, [batch])
    assert module.bn.running_var is not None
    assert float(module.bn.running_var[0]) == 0
    torch.testing.assert_close(module(batch), expected, rtol=1e-4, atol=1e-5)


def test_without_images_nothing_is_rebased() -> None:
    module = Recording()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    assert rebase_batchnorm(module, []) == 0
    assert_same_tensors(module.state_dict(), before)
