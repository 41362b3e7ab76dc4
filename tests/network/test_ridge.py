"""Ridge regression from sums: the closed form, whatever the batches and the means."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from prunnet_export.network import LinearMap, RidgeSums


def pairs(count: int, *, noise: float = 0.3) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(count, 5, generator=draw) + 2
    wanted = features @ torch.randn(5, 3, generator=draw) + noise * torch.randn(count, 3, generator=draw)
    return features, wanted


def fitted(features: Tensor, wanted: Tensor, *, batch: int = 1000) -> LinearMap:
    sums = RidgeSums()
    for one in zip(torch.split(features, batch), torch.split(wanted, batch), strict=True):
        sums.add(*one)
    return sums.solve()


def test_it_is_the_closed_form_of_centred_pairs() -> None:
    features, wanted = pairs(60)
    found = fitted(features, wanted)
    f, z = ((one - one.mean(0)).double() for one in (features, wanted))
    strength = found.ridge * float(torch.linalg.eigvalsh(f.T @ f).mean())
    expected = torch.linalg.solve(f.T @ f + strength * torch.eye(5).double(), f.T @ z).T
    torch.testing.assert_close(found.weight, expected, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(found(features).mean(0), wanted.double().mean(0))


@settings(max_examples=20)
@given(st.integers(1, 60), st.floats(-5, 5))
def test_batches_and_means_do_not_matter(batch: int, shift: float) -> None:
    features, wanted = pairs(60)
    one, other = fitted(features, wanted), fitted(features + shift, wanted - shift, batch=batch)
    torch.testing.assert_close(one.weight, other.weight, rtol=1e-3, atol=1e-4)


def test_noise_is_not_fitted() -> None:
    draw = torch.Generator().manual_seed(1)
    found = fitted(torch.randn(40, 30, generator=draw), torch.randn(40, 6, generator=draw))
    assert found.ridge >= 1
    assert float(found.weight.norm()) < 1


def test_features_that_do_not_vary_keep_the_mean() -> None:
    _, wanted = pairs(20)
    found = fitted(torch.ones(20, 5), wanted)
    assert found.ridge == float("inf")
    torch.testing.assert_close(found(torch.zeros(1, 5))[0], wanted.mean(0).double())


def test_a_regression_without_pairs_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="without pairs"):
        RidgeSums().solve()
