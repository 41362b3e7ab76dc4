"""Layers are recognised by the places of their zeros: in any order, transposed, with more zeros; not if one moved."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunnet_export.evaluating._zeros import layers_in_place

Array = npt.NDArray[np.float32]
SHAPES = [(8, 8), (8, 8), (8, 4, 3, 3), (12, 6), (6, 12), (16, 1, 3, 3)]
seeds = st.integers(0, 2**31)


def layers(seed: int, *, kept: float = 0.5) -> list[Array]:
    """Weights of normal values, a share of them zero."""
    draw = np.random.default_rng(seed)
    return [(draw.normal(size=shape) * (draw.random(shape) < kept)).astype(np.float32) for shape in SHAPES]


def masks(tensors: list[Array]) -> list[npt.NDArray[np.bool_]]:
    return [tensor != 0 for tensor in tensors]


def as_exported(tensors: list[Array], seed: int) -> list[Array]:
    """Shuffled tensors: matrices transposed, rows scaled, depthwise weights with one more axis, and added constants."""
    draw = np.random.default_rng(seed)
    rows = [tensor * draw.uniform(0.5, 2, (len(tensor), *[1] * (tensor.ndim - 1))) for tensor in tensors]
    turned = [tensor.T if tensor.ndim == 2 else tensor for tensor in rows]
    split = [tensor[:, None] if tensor.shape[1] == 1 else tensor for tensor in turned]
    split += [np.ones((1, 3, 1, 1)), np.zeros((1, 3, 1, 1)), np.ones((8, 8)), np.arange(96.0).reshape(12, 8)]
    return [split[index].astype(np.float32) for index in draw.permutation(len(split))]


@given(seeds)
def test_all_are_found_as_an_exporter_leaves_them(seed: int) -> None:
    tensors = layers(seed)
    assert layers_in_place(masks(tensors), as_exported(tensors, seed)) == len(SHAPES)


@given(seeds, st.integers(0, len(SHAPES) - 1))
def test_one_zero_that_moved_is_seen(seed: int, which: int) -> None:
    tensors = layers(seed)
    asked = masks(tensors)
    flat = tensors[which].reshape(-1)
    zero, other = np.flatnonzero(flat == 0)[0], np.flatnonzero(flat)[0]
    flat[[zero, other]] = flat[[other, zero]]
    assert layers_in_place(asked, as_exported(tensors, seed)) == len(SHAPES) - 1


@given(seeds)
def test_zeros_that_folding_adds_do_not_matter(seed: int) -> None:
    tensors = layers(seed)
    asked = masks(tensors)
    for tensor in tensors:
        tensor[0] = 0  # a norm's scale of zero
    assert layers_in_place(asked, as_exported(tensors, seed)) == len(SHAPES)


def test_a_dead_layer_does_not_take_the_place_of_another() -> None:
    tensors = layers(0)
    asked = masks(tensors)
    tensors[0][:] = 0
    for order in (tensors, tensors[::-1]):
        assert layers_in_place(asked, order) == len(SHAPES) - 1


def test_zeros_alone_serve_a_mask_that_drops_everything() -> None:
    weight, nothing = layers(0)[0], np.zeros(SHAPES[0], np.float32)
    assert layers_in_place([weight != 0], [nothing]) == 0
    assert layers_in_place([nothing != 0, weight != 0], [weight, nothing]) == 2


def test_each_tensor_serves_one_layer() -> None:
    [weight, *_] = layers(0)
    assert layers_in_place(masks([weight]) * 2, [weight]) == 1


@pytest.mark.parametrize("shape", [(2, 3, 2, 2), (4, 2, 1, 3)])
def test_only_matrices_are_tried_transposed(shape: tuple[int, ...]) -> None:
    weight = np.random.default_rng(0).integers(0, 2, shape).astype(np.float32)
    assert layers_in_place([weight != 0], [weight.T]) == 0


def test_without_layers_or_tensors() -> None:
    assert layers_in_place([], layers(0)) == 0
    assert layers_in_place(masks(layers(0)), []) == 0
