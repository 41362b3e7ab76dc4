"""Masks of single weights: the formula, ties, capacity 1, nestedness."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from prunnet_export._errors import InvalidInput
from prunnet_export.network import Embedder, PrunableNetwork
from prunnet_export.patterns.unstructured import Unstructured
from prunnet_export.preprocessing import Preprocessing
from tests._asserts import assert_adjoint, assert_kept_is_counted, assert_nested, assert_same_tensors
from tests._inputs import tiny_resnet

LAYER = "backbone.0.weight"
scores = st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=40)
quantised = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=40)
capacities = st.floats(0.01, 1)


def network_with(values: list[float]) -> PrunableNetwork:
    """One linear layer with these scores."""
    backbone = nn.Sequential(nn.Linear(len(values), 1))
    embedder = Embedder(backbone, features=1, dim=2, preprocessing=Preprocessing(crop=8, resize=8))
    network = PrunableNetwork(embedder, size=(8, 8))
    with torch.no_grad():
        network.scores()[LAYER].copy_(torch.tensor(values).view(1, -1))
    return network


def mask_of(values: list[float], capacity: float) -> list[bool]:
    [found] = Unstructured().subnetworks(network_with(values), [capacity])
    return found.masks()[LAYER].flatten().tolist()


def naive_mask(values: list[float], capacity: float) -> list[bool]:
    """Sparsity r = 1 - c, k = 1 + round(r (n - 1)), tau the k-th smallest |S|, M = 1[|S| >= tau]."""
    if capacity == 1:
        return [True] * len(values)
    k = 1 + round((1 - capacity) * (len(values) - 1))
    tau = sorted(abs(value) for value in values)[k - 1]
    return [abs(value) >= tau for value in values]


@given(scores, capacities)
def test_equals_the_formula(values: list[float], capacity: float) -> None:
    assert mask_of(values, capacity) == naive_mask(values, capacity)


@given(quantised, capacities)
def test_equals_the_formula_where_scores_tie(values: list[float], capacity: float) -> None:
    assert mask_of(values, capacity) == naive_mask(values, capacity)


@given(st.one_of(scores, quantised), capacities, capacities)
def test_nested(values: list[float], one: float, other: float) -> None:
    found = Unstructured().subnetworks(network_with(values), [max(one, other), min(one, other)])
    assert_nested(found[0].masks(), found[1].masks())


@given(scores, capacities)
def test_at_least_one_weight_stays(values: list[float], capacity: float) -> None:
    assert any(mask_of(values, capacity))


@given(scores, capacities)
def test_the_sign_of_a_score_does_not_matter(values: list[float], capacity: float) -> None:
    assert mask_of(values, capacity) == mask_of([-value for value in values], capacity)


@pytest.mark.parametrize(
    ("capacity", "expected"),
    [
        (1.0, [1, 1, 1, 1, 1]),
        (0.8, [0, 1, 1, 1, 1]),
        (0.5, [0, 1, 0, 1, 1]),
        (0.2, [0, 0, 0, 1, 1]),
        (0.01, [0, 0, 0, 0, 1]),
    ],
)
def test_golden_masks(capacity: float, expected: list[int]) -> None:
    assert mask_of([0.1, -0.4, 0.2, 0.5, -0.9], capacity) == [bool(bit) for bit in expected]


def test_ties_are_kept() -> None:
    assert mask_of([0.5, -0.5, 0.5, 0.1], 0.25) == [True, True, True, False]
    assert mask_of([0.5, 0.5, 0.5, 0.5], 0.25) == [True] * 4


def test_capacity_one_keeps_scores_of_zero() -> None:
    assert all(mask_of([0.0, 0.0, 1.0], 1))


@pytest.mark.parametrize("capacity", [0, -0.1, 1.01, float("nan"), float("inf")])
def test_capacity_out_of_range(capacity: float) -> None:
    with pytest.raises(InvalidInput, match="out of range"):
        mask_of([1.0, 2.0], capacity)


@settings(max_examples=10)
@given(capacities)
def test_every_layer_has_the_same_ratio(capacity: float) -> None:
    [found] = Unstructured().subnetworks(tiny_resnet(), [capacity])
    assert_kept_is_counted(found)
    for name, mask in found.masks().items():
        # One weight of the formula, and one of the rounding.
        assert abs(float(mask.sum()) - capacity * mask.numel()) <= 2, name


def test_gather_multiplies_by_the_mask_and_copies_the_rest() -> None:
    network = tiny_resnet()
    [found] = Unstructured().subnetworks(network, [0.4])
    tensors, masks = network.tensors(), found.masks()
    gathered = found.gather(tensors)
    assert gathered.keys() == tensors.keys()
    assert_same_tensors(gathered, {n: t * masks[n] if n in masks else t for n, t in tensors.items()})
    assert all(gathered[name].data_ptr() != tensors[name].data_ptr() for name in tensors)
    assert found.widths() is None


def test_adjoint() -> None:
    network = tiny_resnet()
    [found] = Unstructured().subnetworks(network, [0.4])
    assert_adjoint(found, network.prunable_weights())


def test_scores_decide_and_weights_do_not() -> None:
    network = tiny_resnet()

    def masks() -> dict[str, Tensor]:
        return Unstructured().subnetworks(network, [0.4])[0].masks()

    before = masks()
    with torch.no_grad():
        for weight in network.prunable_weights().values():
            weight.mul_(-3)
    assert_same_tensors(masks(), before)
