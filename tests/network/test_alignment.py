"""The refitted projector equals a ridge regression written out, and never makes the fit worse."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

import pytest
import torch
from torch import Tensor

from prunnet_export.network import (
    Embedder,
    PrunableNetwork,
    _ridge,
    adapt,
    align_projector,
    fit_projector,
    reestimate_batchnorm,
)
from prunnet_export.patterns import find_pattern, materialise
from tests._asserts import assert_same_tensors
from tests._inputs import images, tiny_resnet


@pytest.fixture(scope="module")
def network() -> PrunableNetwork:
    network = tiny_resnet().eval()
    reestimate_batchnorm(network.embedder, batches())
    return network


def batches() -> Iterator[Tensor]:
    for seed in range(6):
        yield images(16, 32, seed=seed)


def small(network: PrunableNetwork, pattern: str = "channel", capacity: float = 0.3) -> Embedder:
    [chosen] = find_pattern(pattern, 2).subnetworks(network, [capacity])
    module = materialise(network, chosen)
    reestimate_batchnorm(module, batches())
    return module


def outputs(module: Embedder) -> Tensor:
    with torch.no_grad():
        return torch.cat([module.projector(module.features(batch)) for batch in batches()]).double()


def distance(module: Embedder, dense: Embedder) -> float:
    """Of the embeddings, mean 1 - cosine."""
    with torch.no_grad():
        pairs = [torch.cosine_similarity(module(batch), dense(batch)) for batch in batches()]
    return float(1 - torch.cat(pairs).mean())


def test_equals_the_normal_equations(network: PrunableNetwork) -> None:
    module = small(network)
    before = module.projector.weight.detach().clone().double()
    with torch.no_grad():
        f = torch.cat([module.features(batch) for batch in batches()]).double()
    z = outputs(network.embedder)
    multiple = align_projector(module, network.embedder, batches())
    assert multiple < float("inf")
    f_centred, z_centred = f - f.mean(0), z - z.mean(0)
    scatter = f_centred.T @ f_centred
    ridge = multiple * scatter.diagonal().mean() * torch.eye(len(scatter), dtype=torch.float64)
    # (F'F + ridge) V' = F'Z + ridge W'
    expected = torch.linalg.solve(scatter + ridge, f_centred.T @ z_centred + ridge @ before.T).T
    torch.testing.assert_close(module.projector.weight.double(), expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(outputs(module).mean(0), z.mean(0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("pattern", "capacity"), [("channel", 0.3), ("channel", 0.6), ("unstructured", 0.2)])
def test_the_embeddings_come_nearer(network: PrunableNetwork, pattern: str, capacity: float) -> None:
    module = small(network, pattern, capacity)
    before = distance(module, network.embedder)
    align_projector(module, network.embedder, batches())
    assert distance(module, network.embedder) < 0.8 * before


def test_the_dense_network_stays_as_it_is(network: PrunableNetwork) -> None:
    before = {name: tensor.clone() for name, tensor in network.embedder.state_dict().items()}
    align_projector(small(network), network.embedder, batches())
    assert_same_tensors(network.embedder.state_dict(), before)


def test_nothing_but_projector_and_norm_changes(network: PrunableNetwork) -> None:
    module = small(network)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    align_projector(module, network.embedder, batches())
    changed = {name for name, tensor in module.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {"projector.weight", "projector.bias"} <= changed
    assert all(name.startswith(("projector.", "norm.")) for name in changed)
    assert_same_tensors(module.norm.state_dict(), network.embedder.norm.state_dict())


def test_a_copy_of_the_dense_network_keeps_its_outputs(network: PrunableNetwork) -> None:
    module = deepcopy(network.embedder)
    align_projector(module, network.embedder, batches())
    torch.testing.assert_close(outputs(module), outputs(network.embedder), rtol=1e-4, atol=1e-4)


def test_few_images_do_not_fit_exactly(network: PrunableNetwork) -> None:
    """With fewer images than features a fit without a ridge has no error left on them, and is worth less."""
    few = [images(4, 32, seed=50)]
    as_cut, chosen, exact = (small(network, capacity=0.6) for _ in range(3))
    align_projector(chosen, network.embedder, few)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_ridge, "_RIDGES", (1e-9,))
        align_projector(exact, network.embedder, few)
    assert distance(chosen, network.embedder) < distance(as_cut, network.embedder)
    assert distance(chosen, network.embedder) < distance(exact, network.embedder)


def test_without_images_the_projector_stays(network: PrunableNetwork) -> None:
    module = small(network)
    before = {name: tensor.clone() for name, tensor in module.projector.state_dict().items()}
    assert align_projector(module, network.embedder, []) == fit_projector(module, []) == float("inf")
    assert_same_tensors(module.projector.state_dict(), before)


def test_features_that_never_vary_leave_the_projector_alone(network: PrunableNetwork) -> None:
    module = small(network)
    with torch.no_grad():
        before = module.projector.weight.clone()
        for parameter in module.backbone.parameters():
            parameter.zero_()
    assert align_projector(module, network.embedder, batches()) == float("inf")
    assert torch.equal(module.projector.weight, before)


def test_adapt_does_both(network: PrunableNetwork) -> None:
    [chosen] = find_pattern("channel", 2).subnetworks(network, [0.3])
    adapted, by_hand = materialise(network, chosen), small(network)
    adapt(adapted, network.embedder, batches)
    align_projector(by_hand, network.embedder, batches())
    assert_same_tensors(adapted.state_dict(), by_hand.state_dict())
    assert not adapted.training


def test_vectors_that_a_linear_map_gives_are_found_again(network: PrunableNetwork) -> None:
    module = small(network)
    with torch.no_grad():
        teacher = deepcopy(module)
        generator = torch.Generator().manual_seed(1)
        teacher.projector.weight.copy_(torch.randn(teacher.projector.weight.shape, generator=generator))
        wanted = [teacher(batch) for batch in batches()]
        before = module.norm.state_dict()
        fit_projector(module, zip(batches(), wanted, strict=True))
        for batch, vectors in zip(batches(), wanted, strict=True):
            assert float(torch.cosine_similarity(module(batch), vectors).min()) > 0.999
    assert_same_tensors(module.norm.state_dict(), before)


@pytest.mark.parametrize("noise", [0.0, 1.0, 10.0])
def test_embeddings_of_a_poor_fit_are_spread_as_the_vectors_are(noise: float, network: PrunableNetwork) -> None:
    module, generator = small(network), torch.Generator().manual_seed(2)
    with torch.no_grad():
        wanted = [network.embedder(batch) for batch in batches()]
        wanted = [3 + one + noise * torch.randn(one.shape, generator=generator) for one in wanted]
        fit_projector(module, zip(batches(), wanted, strict=True))
        given = torch.cat([module(batch) for batch in batches()])

    def spread(vectors: Tensor) -> float:
        return float((vectors - vectors.mean(0)).square().sum())

    torch.testing.assert_close(given.mean(0), torch.cat(wanted).mean(0), rtol=1e-3, atol=1e-3)
    assert spread(given) == pytest.approx(spread(torch.cat(wanted)), rel=1e-3)


def test_outputs_that_do_not_vary_are_not_stretched(network: PrunableNetwork) -> None:
    module = small(network)
    with torch.no_grad():
        module.projector.weight.zero_()
    same = images(16, 32)[:1].expand(16, 3, 32, 32)
    fit_projector(module, [(same, torch.randn(16, module.projector.out_features))])
    assert not module.projector.weight.any()
    assert bool(module.projector.bias.isfinite().all())


def test_a_dimension_that_the_norm_holds_constant_wants_nothing(network: PrunableNetwork) -> None:
    module = small(network)
    with torch.no_grad():
        module.norm.weight[0] = 0
        fit_projector(module, [(images(16, 32), torch.randn(16, module.projector.out_features))])
    assert bool(module.projector.weight.isfinite().all())
    assert bool(module.projector.bias.isfinite().all())


def test_adapt_to_a_teacher_keeps_the_dense_norm_and_fits_its_vectors(network: PrunableNetwork) -> None:
    [chosen] = find_pattern("channel", 2).subnetworks(network, [0.3])
    module, by_hand = materialise(network, chosen), small(network)
    wanted = [torch.randn(len(batch), module.projector.out_features) for batch in batches()]
    adapt(module, network.embedder, batches, lambda: wanted)
    by_hand.norm.load_state_dict(network.embedder.norm.state_dict())
    fit_projector(by_hand, zip(batches(), wanted, strict=True))
    assert_same_tensors(module.state_dict(), by_hand.state_dict())
