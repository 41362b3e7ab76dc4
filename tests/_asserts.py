"""Properties that several tests state, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from prunnet_export._errors import PrunnetError
from prunnet_export.patterns import Subnetwork
from prunnet_export.relevance import Relevance


def assert_healthy(embedding: Tensor) -> None:
    """Embeddings of a size, and different for different images: nothing passes by being zero."""
    assert bool(embedding.isfinite().all())
    assert float(embedding.square().mean().sqrt()) > 1e-2
    assert float(embedding.std(0).mean()) > 1e-3 * float(embedding.abs().mean())


def assert_same_embedding(actual: Tensor, expected: Tensor, *, tolerance: float = 1e-5) -> None:
    """Equal within a tolerance relative to the size of the expected one."""
    assert_healthy(expected)
    assert actual.shape == expected.shape
    scale = float(expected.square().mean().sqrt())
    assert float((actual - expected).abs().max()) <= tolerance * scale


def assert_nested(wider: Mapping[str, Tensor], narrower: Mapping[str, Tensor]) -> None:
    """Every weight that the narrower subnetwork keeps is kept by the wider one."""
    assert wider.keys() == narrower.keys()
    for name, mask in narrower.items():
        assert bool((wider[name] | ~mask).all()), name


def assert_adjoint(subnetwork: Subnetwork, weights: Mapping[str, Tensor]) -> None:
    """<gather(x), y> = <x, scatter(y)> for every prunable weight."""
    draw = torch.Generator().manual_seed(0)
    for name, weight in weights.items():
        x = torch.randn(weight.shape, generator=draw, dtype=torch.float64)
        gathered = subnetwork.gather({name: x})[name]
        y = torch.randn(gathered.shape, generator=draw, dtype=torch.float64)
        scattered = torch.full_like(x, torch.nan)  # what lay there before is overwritten
        subnetwork.scatter({name: y}, {name: scattered})
        torch.testing.assert_close((gathered * y).sum(), (x * scattered).sum())


def assert_kept_is_counted(subnetwork: Subnetwork) -> None:
    """``kept`` and ``total`` are what the masks say."""
    masks = subnetwork.masks()
    assert subnetwork.kept == sum(int(mask.sum()) for mask in masks.values())
    assert subnetwork.total == sum(mask.numel() for mask in masks.values())
    assert subnetwork.capacity == subnetwork.kept / subnetwork.total


def assert_non_conflicting(result: Tensor, gradients: Sequence[Tensor], *, tolerance: float = 1e-5) -> None:
    """The result has no negative inner product with any gradient, per filter [filters, d]."""
    size = torch.stack(list(gradients)).norm(dim=-1).sum(0)
    for gradient in gradients:
        inner = (result * gradient).sum(-1)
        assert bool((inner >= -tolerance * size * gradient.norm(dim=-1)).all())


def assert_one_line(error: PrunnetError) -> None:
    """An error that is shown as one line and a hint of one line."""
    assert error.message
    assert error.hint
    assert "\n" not in error.message
    assert "\n" not in error.hint


def assert_same_tensors(actual: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Equal to the last bit."""
    assert actual.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(actual[name], tensor), name


def assert_same_relevance(actual: Relevance, expected: Relevance) -> None:
    """The same images are relevant and the same are junk, to every query."""
    assert actual.shape == expected.shape
    for mine, theirs in zip(actual.rows(0, len(actual)), expected.rows(0, len(expected)), strict=True):
        np.testing.assert_array_equal(mine, theirs)
