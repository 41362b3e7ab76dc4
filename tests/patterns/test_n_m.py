"""n of m: exact in every run, the best of each, ties to the lower index, one fixed share."""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from prunnet_export._errors import InvalidInput, UnknownName, UnsupportedPattern
from prunnet_export.patterns import find_pattern
from prunnet_export.patterns.n_m import NM
from tests._asserts import assert_adjoint, assert_kept_is_counted, assert_nested, assert_one_line, assert_same_tensors
from tests._inputs import prunable, tiny_resnet
from tests.patterns._layers import mask_of, network_of, scores

shapes = st.integers(2, 16).flatmap(lambda m: st.tuples(st.integers(1, m - 1), st.just(m)))


@st.composite
def cases(draw: st.DrawFn) -> tuple[int, int, Tensor]:
    """n, m, and the scores of a layer that m divides."""
    n, m = draw(shapes)
    return n, m, draw(scores(outputs=st.integers(1, 5), inputs=st.integers(1, 3).map(lambda runs: runs * m)))


def naive_mask(n: int, m: int, scores: Tensor) -> Tensor:
    """Each run by itself, sorted by |S| and then by index."""
    flat = scores.reshape(*scores.shape[:2], -1)
    mask = torch.zeros_like(flat, dtype=torch.bool)
    for k in range(flat.shape[0]):
        for position in range(flat.shape[2]):
            for start in range(0, flat.shape[1], m):
                run = sorted(range(start, start + m), key=lambda c: (-abs(float(flat[k, c, position])), c))
                mask[k, run[:n], position] = True
    return mask.reshape(scores.shape)


@given(cases())
def test_equals_the_runs_one_by_one(case: tuple[int, int, Tensor]) -> None:
    n, m, values = case
    assert torch.equal(mask_of(NM(n, m), values, n / m), naive_mask(n, m, values))


@given(cases())
def test_every_run_keeps_exactly_n(case: tuple[int, int, Tensor]) -> None:
    n, m, values = case
    kept = mask_of(NM(n, m), values, n / m).transpose(0, 1).reshape(-1, m, values[:, 0].numel()).sum(1)
    assert bool((kept == n).all())


def test_golden() -> None:
    values = torch.tensor([[0.1, -0.4, 0.2, 0.3, 0.5, 0.5, -0.5, 0.5], [0.0, 0.0, 0.0, 0.0, 1.0, -2.0, 3.0, -4.0]])
    expected = torch.tensor([[0, 1, 0, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0, 1, 1]]).bool()
    assert torch.equal(mask_of(NM(2, 4), values, 0.5), expected)


def test_runs_lie_along_the_inputs_at_each_position() -> None:
    values = torch.zeros(1, 4, 1, 2)
    values[0, :, 0, 0] = torch.tensor([4, 3, 2, 1])
    values[0, :, 0, 1] = torch.tensor([1, 2, 3, 4])
    mask = mask_of(NM(2, 4), values, 0.5)
    assert mask[0, :, 0].T.tolist() == [[True, True, False, False], [False, False, True, True]]


def test_which_layers_take_part() -> None:
    network = network_of(
        nn.Conv2d(3, 8, 3),  # the stem
        nn.Conv2d(8, 8, 3),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.Conv2d(8, 8, 1, groups=2),  # four inputs in each group, and a group
        nn.Linear(8, 6),
        nn.Linear(6, 8),
    )
    [found] = NM(2, 4).subnetworks(network, [0.5])
    pruned = [name for name, mask in found.masks().items() if not bool(mask.all())]
    assert pruned == ["backbone.1.weight", "backbone.4.weight"]
    assert found.kept == found.total - (8 * 8 * 9 + 8 * 6) // 2
    assert_kept_is_counted(found)


@pytest.mark.parametrize("backbone", ["mobilenetv3_small_100", "convnext_atto"])
def test_real_networks_come_near_their_share(backbone: str) -> None:
    network = prunable(backbone, crop=64)
    [found] = NM(2, 4).subnetworks(network, [0.5])
    assert (found.pattern, found.asked, found.widths()) == ("2:4", 0.5, None)
    assert 0.5 < found.capacity < 0.56
    weights = network.prunable_weights()
    assert all(bool(mask.all()) or weights[name].shape[1] % 4 == 0 for name, mask in found.masks().items())


def test_capacity_one_is_dense_and_holds_the_other() -> None:
    network = tiny_resnet()
    half, whole = NM(2, 4).subnetworks(network, [0.5, 1.0])
    assert (whole.asked, whole.capacity) == (1, 1)
    assert_nested(whole.masks(), half.masks())
    assert 0.5 < half.capacity < 0.6


def test_adjoint() -> None:
    network = tiny_resnet()
    [found] = NM(2, 4).subnetworks(network, [0.5])
    assert_adjoint(found, network.prunable_weights())


def test_scores_decide_and_weights_do_not() -> None:
    network = tiny_resnet()
    before = NM(2, 4).subnetworks(network, [0.5])[0].masks()
    with torch.no_grad():
        for weight in network.prunable_weights().values():
            weight.mul_(torch.randn_like(weight))
        for score in network.scores().values():
            score.neg_()
    assert_same_tensors(NM(2, 4).subnetworks(network, [0.5])[0].masks(), before)


@pytest.mark.parametrize("capacity", [0.4, 0.51, 0.999, 1e-3])
def test_another_capacity(capacity: float) -> None:
    with pytest.raises(
        InvalidInput, match=f"2:4 keeps 2 of 4 weights and reaches no capacity of {capacity:g}"
    ) as raised:
        NM(2, 4).subnetworks(tiny_resnet(), [0.5, capacity])
    assert_one_line(raised.value)
    assert raised.value.hint == "ask for 0.5, or for 1, the dense network"


@settings(max_examples=20)
@given(shapes)
def test_the_hint_of_another_capacity_works(shape: tuple[int, int]) -> None:
    n, m = shape
    network = network_of(nn.Linear(m, 2))
    with pytest.raises(InvalidInput) as raised:
        NM(n, m).subnetworks(network, [0.99])
    hinted = re.match(r"ask for (\S+),", raised.value.hint)
    assert hinted
    [found] = NM(n, m).subnetworks(network, [float(hinted[1])])
    assert found.asked == found.capacity == n / m


@pytest.mark.parametrize("capacity", [0, -1, 1.5, float("nan")])
def test_capacity_out_of_range(capacity: float) -> None:
    for ask in (NM(2, 4).subnetworks, NM(2, 4).reachable):
        with pytest.raises(InvalidInput, match="out of range"):
            ask(tiny_resnet(), [capacity])


@pytest.mark.parametrize("layer", [nn.Linear(6, 8), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(3, 8, 3)])
def test_a_network_without_such_a_layer(layer: nn.Module) -> None:
    with pytest.raises(UnsupportedPattern, match="multiple of 4 channels") as raised:
        NM(2, 4).subnetworks(network_of(layer), [0.5])
    assert_one_line(raised.value)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ([0.8, 0.6, 0.4, 0.2], [0.5]),
        ([1.0], [1.0]),
        ([0.1, 0.5, 1.0, 1.0], [0.5, 1.0]),
        ([1.0, 0.3], [1.0, 0.5]),
        ([], []),
    ],
)
def test_one_share_in_the_place_of_all(asked: list[float], expected: list[float]) -> None:
    assert NM(2, 4).reachable(tiny_resnet(), asked) == expected


@given(shapes)
def test_found_by_its_name(shape: tuple[int, int]) -> None:
    name = f"{shape[0]}:{shape[1]}"
    found = find_pattern(name)
    assert isinstance(found, NM)
    assert found.name == name


@pytest.mark.parametrize(
    "name",
    [
        "4:4",
        "4:2",
        "0:4",
        "1:17",
        "2:",
        ":4",
        "2:4:8",
        "02:4",
        "2:04",
        "2 : 4",
        "2:4\n",
        "-2:4",
        "2.0:4",
        "²:4",
        "٢:٤",
        "n:m",
    ],
)
def test_a_name_that_is_none(name: str) -> None:
    with pytest.raises(UnknownName) as raised:
        find_pattern(name)
    assert raised.value.message == f"unknown pattern {name!r}"
    assert raised.value.hint.endswith("known: 2:4, block, channel, channel+2:4, unstructured")
    assert_one_line(raised.value)
