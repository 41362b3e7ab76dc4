"""Scores beside weights: where they are, how they start, what they leave alone."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from prunnet_export._errors import UnsupportedPattern
from prunnet_export.network import Embedder, PrunableNetwork, fan_in, scores_from
from prunnet_export.preprocessing import Preprocessing
from tests._asserts import assert_one_line, assert_same_tensors
from tests._inputs import images, prunable, tiny_resnet


@pytest.mark.parametrize("backbone", ["resnet18", "mobilenetv2_100", "convnext_atto", "vit_tiny_patch16_224"])
def test_every_convolution_and_linear_layer_of_the_backbone_has_scores(backbone: str) -> None:
    network = prunable(backbone, crop=32)
    layers = {
        f"backbone.{name}.weight"
        for name, module in network.embedder.backbone.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    }
    assert set(network.prunable_weights()) == set(network.scores()) == layers
    for name, weight in network.prunable_weights().items():
        assert network.scores()[name].shape == weight.shape
        assert weight is network.embedder.get_parameter(name)


def test_norms_projector_and_tokens_have_none() -> None:
    scored = prunable("vit_tiny_patch16_224", crop=32).scores()
    assert not any("norm" in name or "projector" in name or "token" in name for name in scored)
    assert "backbone.patch_embed.proj.weight" in scored
    assert "backbone.blocks.0.attn.qkv.weight" in scored


def test_initial_scores_are_uniform_within_the_fan_in_bound() -> None:
    network = prunable("resnet18", crop=32)
    for name, parameter in network.scores().items():
        score = parameter.detach()
        bound = 1 / math.sqrt(fan_in(network.prunable_weights()[name]))
        assert float(score.abs().max()) <= bound
        assert float(score.abs().max()) > 0.95 * bound
        # Six standard errors of the mean of a uniform variable, whose standard deviation is bound / sqrt 3.
        assert abs(float(score.mean())) < 6 * bound / math.sqrt(3 * score.numel())


def test_initial_scores_come_from_the_seed_alone() -> None:
    one, same, other = (
        PrunableNetwork(tiny_resnet(seed=s).embedder, size=(32, 32), seed=t) for s, t in ((0, 5), (1, 5), (0, 6))
    )
    name = "backbone.conv1.weight"
    assert not torch.equal(one.prunable_weights()[name], same.prunable_weights()[name])
    assert torch.equal(one.scores()[name], same.scores()[name])
    assert not torch.equal(one.scores()[name], other.scores()[name])


def test_scores_of_trained_weights_are_the_weights_standardised() -> None:
    network = tiny_resnet()
    scored = PrunableNetwork(network.embedder, size=(32, 32), scores="weights")
    for name, weight in network.prunable_weights().items():
        expected = (weight - weight.mean()) / weight.std(correction=0) * math.sqrt(2 / fan_in(weight))
        torch.testing.assert_close(scored.scores()[name].detach(), expected.detach())


@given(st.integers(1, 40), st.floats(1e-30, 1e30), st.floats(-3, 3), st.integers(0, 5))
def test_scores_have_the_same_scale_for_weights_of_any_size(count: int, size: float, shift: float, seed: int) -> None:
    weight = (torch.randn(4, count, generator=torch.Generator().manual_seed(seed)) + shift) * size
    scores = scores_from(weight)
    assert scores.dtype == torch.float32
    assert float(scores.square().mean()) == pytest.approx(2 / count, rel=1e-4)
    far = (weight.double() - weight.double().mean()).abs().flatten()
    assert torch.equal(scores.abs().flatten().argmax(), far.argmax())


@pytest.mark.parametrize("value", [0.0, 1e-45, -0.3, 3e38])
@pytest.mark.parametrize("shape", [(1, 1), (8, 2, 3, 3)])
def test_weights_of_equal_values_have_equal_scores_that_can_move(value: float, shape: tuple[int, ...]) -> None:
    weight = torch.full(shape, value)
    assert torch.equal(scores_from(weight), torch.full(shape, math.sqrt(2 / fan_in(weight))))


def test_a_step_changes_the_magnitude_of_a_score_whatever_its_sign() -> None:
    weight, gradient = torch.tensor([0.5, 0.5, -0.5, -0.5]), torch.tensor([1.0, -1.0, 1.0, -1.0])
    changes = [
        (score - 0.1 * score.sign() * weight * gradient).abs() - score.abs()
        for score in (torch.ones(4), -torch.ones(4))
    ]
    assert torch.equal(*changes)
    assert torch.equal(changes[0] > 0, (weight - 0.1 * gradient).abs() > weight.abs())


def test_the_dense_forward_pass_does_not_see_the_scores() -> None:
    network = tiny_resnet()
    batch = images(2, 32)
    before = network(batch)
    with torch.no_grad():
        for score in network.scores().values():
            score.zero_()
    assert torch.equal(network(batch), before)
    assert torch.equal(network.embedder(batch), before)


def test_tensors_are_the_embedders_and_detached() -> None:
    network = tiny_resnet()
    tensors = network.tensors()
    assert "mean" in tensors
    assert not any(tensor.requires_grad for tensor in tensors.values())
    name = "backbone.conv1.weight"
    assert tensors[name].data_ptr() == network.prunable_weights()[name].data_ptr()


def test_state_round_trip() -> None:
    network, other = tiny_resnet(seed=0), tiny_resnet(seed=1)
    other.load_state_dict(network.state_dict())
    assert_same_tensors(other.state_dict(), network.state_dict())
    assert_same_tensors(other.scores(), network.scores())


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Conv2d(3, 8, 5), 75),
        (nn.Conv2d(8, 8, 3, groups=8), 9),
        (nn.Conv2d(8, 4, 1, groups=2), 4),
        (nn.Linear(7, 2), 7),
    ],
)
def test_fan_in(layer: nn.Conv2d | nn.Linear, expected: int) -> None:
    assert fan_in(layer.weight) == expected


def test_a_backbone_without_prunable_layers() -> None:
    empty = Embedder(nn.Flatten(), features=12, dim=2, preprocessing=Preprocessing(crop=2, resize=2))
    with pytest.raises(UnsupportedPattern) as raised:
        PrunableNetwork(empty, size=(2, 2))
    assert_one_line(raised.value)
