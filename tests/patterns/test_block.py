"""Blocks of four outputs: one mask for each, the best means, ties, remainders, nestedness."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from prunnet_export._errors import InvalidInput, UnsupportedPattern
from prunnet_export.network_config import BackboneOption
from prunnet_export.patterns.block import Block
from tests._asserts import assert_adjoint, assert_kept_is_counted, assert_nested, assert_one_line
from tests._inputs import prunable, tiny_resnet
from tests.patterns._layers import mask_of, network_of, scored, scores

layers = scores(outputs=st.integers(1, 11), inputs=st.integers(1, 4))
capacities = st.floats(0.01, 1)


def naive_mask(scores: Tensor, capacity: float) -> Tensor:
    """r = 1 - c, k = 1 + round(r (n - 1)), tau the k-th smallest mean |S| of the n blocks, M = 1[mean >= tau]."""
    flat = scores.reshape(len(scores), -1)
    rows = [range(start, min(start + 4, len(flat))) for start in range(0, len(flat), 4)]
    means = {
        (block, column): flat[list(block), column].abs().mean() for block in rows for column in range(flat.shape[1])
    }
    tau = sorted(means.values())[round((1 - capacity) * (len(means) - 1))]
    mask = torch.zeros_like(flat, dtype=torch.bool)
    for (block, column), mean in means.items():
        mask[list(block), column] = mean >= tau
    return mask.reshape(scores.shape)


@given(layers, capacities)
def test_equals_the_blocks_one_by_one(values: Tensor, capacity: float) -> None:
    # Means of whole numbers are exact, whatever the order of the sum.
    whole = (values * 1000).round()
    assert torch.equal(mask_of(Block(), whole, capacity), naive_mask(whole, capacity))


@given(layers, capacities)
def test_a_block_shares_its_mask(values: Tensor, capacity: float) -> None:
    mask = mask_of(Block(), values, capacity)
    for start in range(0, len(mask), 4):
        block = mask[start : start + 4]
        assert torch.equal(block, block[:1].expand_as(block))


@given(layers, capacities, capacities)
def test_nested(values: Tensor, one: float, other: float) -> None:
    wider, narrower = Block().subnetworks(scored(values), [max(one, other), min(one, other)])
    assert_nested(wider.masks(), narrower.masks())


@given(layers)
def test_all_stay_at_one_and_a_block_stays_always(values: Tensor) -> None:
    assert bool(mask_of(Block(), values, 1).all())
    assert bool(mask_of(Block(), values, 1e-9).any())


@pytest.mark.parametrize(
    ("capacity", "expected"),
    [
        (1.0, [[1, 1], [1, 1]]),
        (0.6, [[0, 1], [1, 1]]),
        (0.3, [[0, 1], [0, 1]]),
        (0.1, [[0, 0], [0, 1]]),
    ],
)
def test_golden(capacity: float, expected: list[list[int]]) -> None:
    # Means of the blocks: 0.1, 0.6 of the first four rows, 0.5, 0.9 of the remaining two.
    values = torch.tensor([[0.1, 0.6], [-0.1, 0.0], [0.1, -1.2], [0.1, 0.6], [1.0, 0.9], [0.0, -0.9]])
    first, last = torch.tensor(expected).bool()
    assert torch.equal(mask_of(Block(), values, capacity), torch.stack([first] * 4 + [last] * 2))


def test_ties_are_kept() -> None:
    assert bool(mask_of(Block(), torch.ones(8, 5), 0.2).all())


def test_blocks_lie_along_the_outputs_at_each_position() -> None:
    values = torch.zeros(8, 1, 1, 2)
    values[:4, 0, 0, 1] = 1
    values[4:, 0, 0, 0] = 1
    mask = mask_of(Block(), values, 0.4)[:, 0, 0]
    assert mask.T.tolist() == [[False] * 4 + [True] * 4, [True] * 4 + [False] * 4]


def test_grouped_layers_stay_dense() -> None:
    network = network_of(
        nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 8, 1, groups=2), nn.Linear(8, 6)
    )
    [found] = Block().subnetworks(network, [0.3])
    pruned = [name for name, mask in found.masks().items() if not bool(mask.all())]
    assert pruned == ["backbone.0.weight", "backbone.3.weight"]
    assert_kept_is_counted(found)
    assert found.capacity > 0.3


@pytest.mark.parametrize("backbone", ["mobilenetv3_small_100", "vit_tiny_patch16_224"])
def test_every_layer_has_the_same_ratio(backbone: str) -> None:
    options: dict[str, BackboneOption] | None = {"depth": 2, "embed_dim": 48} if "vit" in backbone else None
    found = Block().subnetworks(prunable(backbone, crop=64, options=options), [0.7, 0.2])
    for chosen, capacity in zip(found, [0.7, 0.2], strict=True):
        assert (chosen.pattern, chosen.asked, chosen.widths()) == ("block", capacity, None)
        for name, mask in chosen.masks().items():
            # A block of the formula, and one of the rounding.
            assert bool(mask.all()) or abs(float(mask.sum()) - capacity * mask.numel()) <= 8, name
        assert capacity - 0.01 < chosen.capacity < capacity + 0.05


def test_adjoint() -> None:
    network = tiny_resnet()
    [found] = Block().subnetworks(network, [0.4])
    assert_adjoint(found, network.prunable_weights())


@pytest.mark.parametrize("capacity", [0, -0.1, 1.01, float("nan"), float("inf")])
def test_capacity_out_of_range(capacity: float) -> None:
    with pytest.raises(InvalidInput, match="out of range"):
        mask_of(Block(), torch.ones(4, 4), capacity)


def test_a_network_of_groups_alone() -> None:
    with pytest.raises(UnsupportedPattern, match="grouped") as raised:
        Block().subnetworks(network_of(nn.Conv2d(8, 8, 3, groups=8)), [0.5])
    assert_one_line(raised.value)
