from __future__ import annotations

from collections.abc import Callable
from unittest.mock import patch

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from prunnet_export._errors import MissingExtra
from prunnet_export.benchmarks.methods import METHODS
from prunnet_export.benchmarks.methods.aggregation import FromTorchJD, GradNorm, Uncertainty, WholeVector
from tests._asserts import assert_one_line
from tests.benchmarks._bench import tiny_settings

MAKERS: dict[str, Callable[[], WholeVector]] = {
    "pcgrad": lambda: FromTorchJD("PCGradWeighting"),
    "cagrad": lambda: FromTorchJD("CAGradWeighting", c=0.4, sums_to_one=True),
    "gradvac": lambda: FromTorchJD("GradVacWeighting"),
    "mgda": lambda: FromTorchJD("MGDAWeighting", sums_to_one=True),
    "uncertainty": lambda: Uncertainty(0.1),
    "gradnorm": GradNorm,
}
CONFLICT = torch.tensor([[1.0, 0.0], [-0.5, 0.5]])


def compute(name: str, vectors: Tensor, losses: Tensor | None = None, *, seed: int = 0) -> Tensor:
    losses = torch.ones(len(vectors)) if losses is None else losses
    return MAKERS[name]().gradient_coefficients(vectors @ vectors.T, losses, torch.Generator().manual_seed(seed))


def test_pcgrad_of_two_that_conflict() -> None:
    # Each is projected off the other: (0.5, 0.5) and (0, 0.5).
    torch.testing.assert_close(compute("pcgrad", CONFLICT) @ CONFLICT, torch.tensor([0.5, 1.0]))


def test_mgda_is_the_shortest_convex_combination_times_m() -> None:
    # min |a g_0 + (1 - a) g_1|: a = <g_1 - g_0, g_1> / |g_1 - g_0|^2 = 1 / 2.5 = 0.4.
    torch.testing.assert_close(compute("mgda", CONFLICT), torch.tensor([0.8, 1.2]), atol=1e-3, rtol=0)


def test_cagrad_of_opposites_is_nothing_and_of_equals_is_longer() -> None:
    opposites = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    torch.testing.assert_close(compute("cagrad", opposites) @ opposites, torch.zeros(2), atol=1e-3, rtol=0)
    equals = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    # g_0 + c |g_0| g_w / |g_w|, times m.
    torch.testing.assert_close(compute("cagrad", equals) @ equals, torch.tensor([2.8, 0.0]), atol=1e-3, rtol=0)


def test_gradvac_turns_gradients_towards_what_they_were() -> None:
    rule = MAKERS["gradvac"]()
    alike = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    crossed = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    first = rule.gradient_coefficients(alike @ alike.T, torch.ones(2), torch.Generator())
    assert first.tolist() == [1, 1]  # more alike than the target, which starts at 0
    # The targets are now 0.5 cos 45 degrees; orthogonal gradients are each turned towards the other.
    second = rule.gradient_coefficients(crossed @ crossed.T, torch.ones(2), torch.Generator())
    phi = 0.5 * 0.5**0.5
    torch.testing.assert_close(second, torch.full((2,), 1 + phi / (1 - phi**2) ** 0.5))


def test_gradvac_at_first_is_pcgrad() -> None:
    torch.testing.assert_close(compute("gradvac", CONFLICT), compute("pcgrad", CONFLICT))


def test_uncertainty_weights_fall_where_losses_are_large() -> None:
    rule = Uncertainty(0.5)
    losses = torch.tensor([4.0, 0.5, 0.1])
    assert rule.weights(losses).tolist() == [1, 1, 1]
    for _ in range(2000):
        weights = rule.weights(losses)
    # The minimum of exp(-s) L + s / 2 is at exp(-s) = 1 / (2 L).
    torch.testing.assert_close(weights, 3 / losses / (1 / losses).sum())


def test_gradnorm_balances_what_learns_alike() -> None:
    rule, vectors = GradNorm(learning_rate=0.05), torch.diag(torch.tensor([1.0, 3.0]))
    for _ in range(300):
        weights = rule.gradient_coefficients(vectors @ vectors.T, torch.ones(2), torch.Generator())
    # w_0 |g_0| = w_1 |g_1| and w_0 + w_1 = 2.
    torch.testing.assert_close(weights, torch.tensor([1.5, 0.5]), atol=0.05, rtol=0)


def test_gradnorm_favours_what_lags_behind() -> None:
    rule = GradNorm()
    rule.gradient_coefficients(torch.eye(2), torch.tensor([2.0, 2.0]), torch.Generator())
    for _ in range(20):
        weights = rule.gradient_coefficients(torch.eye(2), torch.tensor([2.0, 0.5]), torch.Generator())
    assert float(weights[0]) > 1.1
    torch.testing.assert_close(weights.sum(), torch.tensor(2.0))


@pytest.mark.parametrize("name", MAKERS)
def test_without_conflict_it_is_about_the_sum(name: str) -> None:
    equal = torch.eye(3)
    torch.testing.assert_close(compute(name, equal).mean(), torch.tensor(1.4 if name == "cagrad" else 1.0))


@pytest.mark.parametrize("name", MAKERS)
def test_where_the_dense_network_begins_alone(name: str) -> None:
    rule, generator = MAKERS[name](), torch.Generator()
    for count in (1, 3):
        for _ in range(3):
            found = rule.gradient_coefficients(torch.eye(count), torch.full((count,), 2.0), generator)
    torch.testing.assert_close(found, torch.full((3,), 1.4 if name == "cagrad" else 1.0), atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", MAKERS)
def test_zero_gradients(name: str) -> None:
    if name == "pcgrad":  # no inner product is negative, so nothing is divided
        assert compute(name, torch.zeros(3, 4)).tolist() == [1, 1, 1]
    assert bool(compute(name, torch.zeros(3, 4)).isfinite().all())


@given(st.integers(0, 1000), st.integers(2, 5))
def test_pcgrad_is_that_of_the_naive_vectors(seed: int, count: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(count, 6, generator=generator, dtype=torch.float64)
    drawn: list[list[int]] = []
    real = torch.randperm

    def recorded(count: int) -> Tensor:
        order = real(count)
        drawn.append(order.tolist())
        return order

    with patch.object(torch, "randperm", recorded):
        coefficients = compute("pcgrad", vectors, torch.ones(count, dtype=torch.float64), seed=seed)
    expected = torch.zeros(6, dtype=torch.float64)
    for i, order in enumerate(drawn):
        projected = vectors[i].clone()
        for j in order:
            if j != i and projected @ vectors[j] < 0:
                projected -= (projected @ vectors[j]) / (vectors[j] @ vectors[j]) * vectors[j]
        expected += projected
    assert len(drawn) == count
    torch.testing.assert_close(coefficients @ vectors, expected)


@given(st.integers(0, 1000), st.integers(2, 5))
def test_mgda_conflicts_with_none(seed: int, count: int) -> None:
    vectors = torch.randn(count, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    coefficients = compute("mgda", vectors, torch.ones(count, dtype=torch.float64))
    assert bool((coefficients >= 0).all())
    torch.testing.assert_close(coefficients.sum(), torch.tensor(float(count), dtype=torch.float64))
    result = coefficients @ vectors / count
    # For the shortest one <d, g_i> >= |d|^2; Frank and Wolfe come near.
    assert float((vectors @ result).min() - result @ result) > -0.1 * float(vectors.square().sum(1).max())


def test_the_whole_vector_is_of_all_tensors_and_filters() -> None:
    seen: list[Tensor] = []

    class Spy(WholeVector):
        def gradient_coefficients(self, gram: Tensor, losses: Tensor, generator: torch.Generator) -> Tensor:
            del losses, generator
            seen.append(gram)
            return torch.tensor([2.0, 3.0])

    generator = torch.Generator().manual_seed(0)
    weights = {"a": torch.randn(2, 3, 4, generator=generator), "b": torch.randn(2, 1, 5, generator=generator)}
    scores = {name: torch.randn(one.shape, generator=generator) for name, one in weights.items()}
    grams = [{name: one.transpose(0, 1) @ one.permute(1, 2, 0) for name, one in of.items()} for of in (weights, scores)]
    of_weights, of_scores = Spy().coefficients(grams[0], grams[1], torch.ones(2), generator)
    flat = torch.cat([one.flatten(1) for of in (weights, scores) for one in of.values()], dim=1)
    torch.testing.assert_close(seen, [flat @ flat.T])
    for found in (of_weights, of_scores):
        assert found["a"].tolist() == [[2, 3]] * 3
        assert found["b"].tolist() == [[2, 3]]


def test_orders_come_from_the_generator_and_leave_the_global_one_alone() -> None:
    vectors = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    state = torch.get_rng_state()
    assert torch.equal(compute("pcgrad", vectors, seed=1), compute("pcgrad", vectors, seed=1))
    assert any(
        not torch.equal(compute("pcgrad", vectors, seed=1), compute("pcgrad", vectors, seed=n)) for n in range(2, 9)
    )
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("method", "missing"), [("pcgrad", "torchjd"), ("cagrad", "cvxpy")])
def test_a_missing_package_is_told_before_anything_is_trained(method: str, missing: str) -> None:
    settings = tiny_settings()
    with patch.dict("sys.modules", {missing: None, f"{missing}.aggregation": None}):
        with pytest.raises(MissingExtra, match=f"^{missing}") as raised:
            METHODS[method].check(settings)
        METHODS["uncertainty"].check(settings)
    assert_one_line(raised.value)
    assert "prunnet-export[bench]" in raised.value.hint
