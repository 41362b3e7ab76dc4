from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from prunnet_export._errors import InvalidInput
from prunnet_export.benchmarks.methods.slices import DENSE, Slices, plain_sum, self_compatible
from prunnet_export.network import reestimate_batchnorm
from tests._asserts import assert_healthy, assert_nested, assert_same_embedding
from tests._inputs import images, randomise, tiny_resnet
from tests.benchmarks._bench import tiny_settings

IMAGES = images(8, 32)
CAPACITIES = (0.6, 0.3)


@pytest.fixture
def slices() -> Slices:
    return Slices(tiny_resnet(), CAPACITIES, channel_multiple=2).train()


def norms(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, child in module.named_modules():
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
            yield f"{name}.weight", child.weight
            yield f"{name}.bias", child.bias


def test_widths_are_prefixes(slices: Slices) -> None:
    wide, narrow = slices._cuts
    assert_nested(wide.masks(), narrow.masks())
    for cut in (wide, narrow):
        for axes in cut._index.values():
            for kept in axes.values():
                assert torch.equal(kept, torch.arange(len(kept)))


def test_a_width_is_the_cut_network_with_its_own_norms(slices: Slices) -> None:
    with torch.no_grad():
        for parameter in slices.own(1):
            parameter.normal_(1, 0.2, generator=torch.Generator().manual_seed(0))
    module = slices.network_at(0.3)
    own = dict(zip(slices._norms, slices.own(1), strict=True))
    for name, tensor in norms(module):
        assert torch.equal(tensor, own[name][: len(tensor)]), name
    weight = module.get_parameter("backbone.layer1.0.conv1.weight")
    shared = slices.embedder.get_parameter("backbone.layer1.0.conv1.weight")
    assert weight.shape[0] < shared.shape[0]
    assert torch.equal(weight, shared[: weight.shape[0], : weight.shape[1]])
    with torch.no_grad():
        assert_same_embedding(module.train()(IMAGES), slices(IMAGES, 1))


def test_norms_are_separate(slices: Slices) -> None:
    before = {width: slices(IMAGES, width).detach() for width in (0, 1, DENSE)}
    with torch.no_grad():
        for parameter in slices.own(0):
            parameter.add_(0.5)
    assert not torch.allclose(slices(IMAGES, 0), before[0])
    for width in (1, DENSE):
        assert torch.equal(slices(IMAGES, width), before[width])


def test_statistics_are_separate(slices: Slices) -> None:
    wide, narrow = slices.network_at(0.6), slices.network_at(0.3)
    untouched = {name: tensor.clone() for name, tensor in narrow.named_buffers()}
    dense = {name: tensor.clone() for name, tensor in slices.embedder.named_buffers()}
    reestimate_batchnorm(wide, [IMAGES])
    assert all(torch.equal(tensor, untouched[name]) for name, tensor in narrow.named_buffers())
    assert all(torch.equal(tensor, dense[name]) for name, tensor in slices.embedder.named_buffers())


def test_a_narrow_pass_leaves_the_dense_statistics(slices: Slices) -> None:
    before = {name: tensor.clone() for name, tensor in slices.embedder.named_buffers()}
    slices(IMAGES, 0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in slices.embedder.named_buffers())
    slices(IMAGES, DENSE)
    assert any(not torch.equal(tensor, before[name]) for name, tensor in slices.embedder.named_buffers())


@pytest.mark.parametrize(("capacity", "width"), [(0.8, DENSE), (0.6, 0), (0.45, 0), (0.3, 1), (0.2, 1)])
def test_untrained_capacities_borrow_from_the_nearest_width_that_is_as_wide(
    slices: Slices, capacity: float, width: int
) -> None:
    with torch.no_grad():
        for number, one in enumerate((0, 1, DENSE)):
            for parameter in slices.own(one):
                parameter.fill_(number + 1)
    found = {float(value) for _, tensor in norms(slices.network_at(capacity)) for value in tensor.detach().flatten()}
    assert found == {(0, 1, DENSE).index(width) + 1}


def test_gradients_reach_the_slice_alone(slices: Slices) -> None:
    weight = slices.embedder.get_parameter("backbone.layer2.0.conv1.weight")
    loss = slices(IMAGES, 1).square().sum()
    of_weight, of_own, of_other = torch.autograd.grad(
        loss, [weight, slices.own(1)[0], slices.own(0)[0]], materialize_grads=True
    )
    kept = slices._cuts[1].masks()["backbone.layer2.0.conv1.weight"]
    assert 0 < int(kept.sum()) < kept.numel()
    assert bool((of_weight[~kept] == 0).all())
    assert bool((of_weight[kept] != 0).any())
    assert bool((of_own != 0).any())
    assert bool((of_other == 0).all())


def test_parameters_are_listed_once(slices: Slices) -> None:
    listed = [*slices.shared(), *(one for width in (0, 1, DENSE) for one in slices.own(width))]
    assert len({id(one) for one in listed}) == len(listed)
    assert {id(one) for one in listed} == {id(one) for one in slices.parameters()}


def test_the_dense_network_is_untouched_by_slicing() -> None:
    network = tiny_resnet().train()
    randomise(network.embedder, seed=5)
    with torch.no_grad():
        expected = network(IMAGES)
        actual = Slices(network, CAPACITIES, channel_multiple=2).train()(IMAGES)
    assert_healthy(expected)
    assert torch.equal(actual, expected)


def test_below_the_narrowest(slices: Slices) -> None:
    with pytest.raises(InvalidInput, match="smallest channel cut"):
        slices.network_at(1e-6)


def test_switchable_is_the_plain_sum() -> None:
    mixture = plain_sum(tiny_settings().recipe(0))
    gram = torch.tensor([[1.0, -0.9], [-0.9, 1.0]])
    weights, coefficients = mixture(gram, torch.tensor([5.0, 0.1]), torch.Generator())
    assert weights.tolist() == coefficients.tolist() == [1, 1]


def test_sfsc_projects_conflicts_and_prefers_the_certain() -> None:
    mixture = self_compatible(tiny_settings(learning_rate=0.1).recipe(0))
    vectors = torch.tensor([[1.0, 0.0], [-0.5, 0.5]])
    losses = torch.tensor([4.0, 0.1])
    weights, coefficients = mixture(vectors @ vectors.T, losses, torch.Generator())
    assert weights.tolist() == [1, 1]  # nothing is known yet: projection alone
    # g_0 - <g_0, g_1> / |g_1|^2 g_1 = (0.5, 0.5); g_1 - <g_1, g_0> / |g_0|^2 g_0 = (0, 0.5)
    torch.testing.assert_close(coefficients @ vectors, torch.tensor([0.5, 1.0]))
    weights, coefficients = mixture(torch.eye(2), losses, torch.Generator())
    torch.testing.assert_close(weights, 2 * torch.tensor([-0.1 * (4 - 0.5), -0.1 * (0.1 - 0.5)]).softmax(0))
    torch.testing.assert_close(coefficients, weights)  # no conflict: the weights alone
    assert float(weights[0]) < 1 < float(weights[1])
