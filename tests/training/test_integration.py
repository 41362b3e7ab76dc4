"""Integration in the space of Gram matrices equals explicit loops over filters and vectors."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from prunnet_export.training import _integration
from prunnet_export.training._integration import (
    ConflictAware,
    as_filters,
    conflict_aware,
    gram_matrices,
    indexed_sums,
    orders,
)
from prunnet_export.training._recipe import Rule
from tests._asserts import assert_non_conflicting
from tests._gradients import integrate

RULES = get_args(Rule)
rules = st.sampled_from(RULES)
gammas = st.sampled_from([0.0, 0.5, 1.0, 2.0])


@st.composite
def problems(draw: st.DrawFn, least: int = 1) -> tuple[Tensor, Tensor]:
    """Gradients float64 [m, filters, d] and an order."""
    count, filters, length = draw(st.integers(least, 5)), draw(st.integers(1, 4)), draw(st.integers(1, 6))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    gradients = torch.randn(count, filters, length, generator=generator, dtype=torch.float64)
    return gradients, orders(count, generator)


def naive(gradients: Tensor, order: Tensor, rule: Rule, gamma: float) -> Tensor:
    """The rules as prose has them, one vector at a time."""
    count, filters, _ = gradients.shape
    if rule == "sum":
        return gradients.sum(0)
    projected = gradients.clone()
    for i in range(count):
        for f in range(filters):
            g = gradients[i, f]
            if rule == "last-conflict":
                conflicting = [j for j in order[i].tolist() if torch.dot(g, gradients[j, f]) < 0]
                for j in conflicting[-1:]:
                    other = gradients[j, f]
                    projected[i, f] = g - torch.dot(g, other) / torch.dot(other, other) * other
            else:
                for j in order[i].tolist():
                    other = gradients[j, f]
                    inner = torch.dot(projected[i, f], other)
                    if inner < 0:
                        projected[i, f] = projected[i, f] - inner / torch.dot(other, other) * other
    weights = []
    for i in range(count):
        cosine = torch.cosine_similarity(projected[i].flatten(), gradients[i].flatten(), dim=0)
        weights.append(((cosine + 1) / 2) ** gamma)
    total = torch.stack(weights).sum()
    result = torch.zeros_like(gradients[0])
    for weight, vector in zip(weights, projected, strict=True):
        result += count * weight / total * vector
    return result


def nearly_parallel(gradients: Tensor) -> bool:
    """Where a projection leaves next to nothing, rounding decides and the two computations may part."""
    unit = gradients / gradients.norm(dim=2, keepdim=True)
    cosines = torch.einsum("ifd,jfd->fij", unit, unit)
    return bool((cosines.abs() - torch.eye(len(gradients))).max() > 1 - 1e-6)


@settings(max_examples=150)
@given(problems(), rules, gammas)
def test_equals_the_naive_computation(problem: tuple[Tensor, Tensor], rule: Rule, gamma: float) -> None:
    gradients, order = problem
    if gradients.shape[2] == 1 or nearly_parallel(gradients):
        gradients = torch.cat(
            [gradients, torch.eye(len(gradients)).double()[:, None].expand(-1, gradients.shape[1], -1)], 2
        )
    actual = integrate(gradients, order, rule=rule, gamma=gamma)
    torch.testing.assert_close(actual, naive(gradients, order, rule, gamma))


def test_golden_values() -> None:
    # Two plane vectors at 135 degrees: each projection has length 1/sqrt 2 of its vector's component.
    gradients = torch.tensor([[[1.0, 0.0]], [[-1.0, 1.0]]])
    order = torch.tensor([[1], [0]])
    for rule in ("progressive", "last-conflict"):
        # p_0 = (1/2, 1/2), p_1 = (0, 1); both cosines are 1/sqrt 2, so the alphas are equal.
        result = integrate(gradients, order, rule=rule, gamma=0.5)
        torch.testing.assert_close(result, torch.tensor([[0.5, 1.5]]))
    torch.testing.assert_close(integrate(gradients, order, rule="sum", gamma=0.5), torch.tensor([[0.0, 1.0]]))


def test_golden_weights() -> None:
    # Two filters: in the first the gradients conflict, in the second only g_1 is there.
    gradients = torch.tensor([[[-0.8, 0.6], [0.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]])
    result = integrate(gradients, torch.tensor([[1], [0]]), rule="progressive", gamma=1.0)
    # g_0 -> (0, 0.6), cosine 0.6, a = 0.8;
    # g_1 -> (0.36, 0.48) and (0, 1), |p| = sqrt 1.36, cosine 1.36 / sqrt(1.36 * 2).
    a = torch.tensor([0.8, (1.36 / (1.36 * 2) ** 0.5 + 1) / 2])
    alpha = 2 * a / a.sum()
    expected = alpha[0] * torch.tensor([[0.0, 0.6], [0.0, 0.0]]) + alpha[1] * torch.tensor([[0.36, 0.48], [0.0, 1.0]])
    torch.testing.assert_close(result, expected)


@given(problems(), rules, gammas)
def test_without_conflict_it_is_the_plain_sum(problem: tuple[Tensor, Tensor], rule: Rule, gamma: float) -> None:
    gradients, order = problem[0].abs(), problem[1]
    torch.testing.assert_close(integrate(gradients, order, rule=rule, gamma=gamma), gradients.sum(0))


@given(problems(), rules)
def test_orthogonal_gradients_do_not_conflict(problem: tuple[Tensor, Tensor], rule: Rule) -> None:
    gradients, order = problem
    count, filters, _ = gradients.shape
    apart = torch.zeros(count, filters, count, dtype=torch.float64)
    for i in range(count):
        apart[i, :, i] = gradients[i, :, 0]
    torch.testing.assert_close(integrate(apart, order, rule=rule, gamma=0.5), apart.sum(0))


@given(problems(least=2), st.sampled_from(["progressive", "last-conflict"]), gammas)
def test_two_gradients_do_not_conflict_with_the_result(
    problem: tuple[Tensor, Tensor], rule: Rule, gamma: float
) -> None:
    gradients = problem[0][:2]
    result = integrate(gradients, torch.tensor([[1], [0]]), rule=rule, gamma=gamma)
    assert_non_conflicting(result, list(gradients))


@given(problems(), rules, gammas, st.floats(1e-3, 1e3))
def test_scale_equivariant(problem: tuple[Tensor, Tensor], rule: Rule, gamma: float, scale: float) -> None:
    gradients, order = problem
    torch.testing.assert_close(
        integrate(scale * gradients, order, rule=rule, gamma=gamma),
        scale * integrate(gradients, order, rule=rule, gamma=gamma),
        rtol=1e-5,
        atol=1e-8 * scale,
    )


@given(problems(), rules, gammas)
def test_permuting_filters_permutes_the_result(problem: tuple[Tensor, Tensor], rule: Rule, gamma: float) -> None:
    gradients, order = problem
    permutation = torch.randperm(gradients.shape[1], generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        integrate(gradients[:, permutation], order, rule=rule, gamma=gamma),
        integrate(gradients, order, rule=rule, gamma=gamma)[permutation],
    )


@given(problems(), rules, gammas)
def test_permuting_gradients_with_their_orders_changes_nothing(
    problem: tuple[Tensor, Tensor], rule: Rule, gamma: float
) -> None:
    gradients, order = problem
    permutation = torch.randperm(len(gradients), generator=torch.Generator().manual_seed(2))
    inverse = permutation.argsort()
    torch.testing.assert_close(
        integrate(gradients[permutation], inverse[order[permutation]], rule=rule, gamma=gamma),
        integrate(gradients, order, rule=rule, gamma=gamma),
    )


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
class TestZeros:
    def test_all_zero(self, rule: Rule, dtype: torch.dtype) -> None:
        zeros = torch.zeros(3, 2, 4, dtype=dtype)
        result = integrate(zeros, orders(3, torch.Generator()), rule=rule, gamma=0.5)
        assert torch.equal(result, zeros[0])

    def test_one_zero_gradient_is_no_conflict(self, rule: Rule, dtype: torch.dtype) -> None:
        gradients = torch.rand(3, 2, 4, dtype=dtype)
        gradients[1] = 0
        result = integrate(gradients, orders(3, torch.Generator()), rule=rule, gamma=0.5)
        torch.testing.assert_close(result, gradients.sum(0))

    def test_filters_that_are_zero_in_one_gradient(self, rule: Rule, dtype: torch.dtype) -> None:
        gradients = torch.randn(3, 2, 4, dtype=dtype)
        gradients[0, 1] = 0
        result = integrate(gradients, orders(3, torch.Generator()), rule=rule, gamma=0.5)
        assert bool(result.isfinite().all())

    def test_opposites_cancel(self, rule: Rule, dtype: torch.dtype) -> None:
        one = torch.randn(2, 4, dtype=dtype)
        result = integrate(torch.stack([one, -one]), torch.tensor([[1], [0]]), rule=rule, gamma=0.5)
        torch.testing.assert_close(result, torch.zeros_like(one), atol=1e-6, rtol=0)

    def test_one_gradient_is_itself(self, rule: Rule, dtype: torch.dtype) -> None:
        one = torch.randn(1, 2, 4, dtype=dtype)
        assert torch.equal(integrate(one, orders(1, torch.Generator()), rule=rule, gamma=0.5), one[0])

    @pytest.mark.parametrize("scale", [1e-12, 1e12])
    def test_very_small_and_very_large(self, rule: Rule, dtype: torch.dtype, scale: float) -> None:
        gradients = torch.randn(3, 2, 4, dtype=dtype, generator=torch.Generator().manual_seed(0))
        order = orders(3, torch.Generator().manual_seed(0))
        expected = integrate(gradients, order, rule=rule, gamma=0.5)
        actual = integrate(gradients * scale, order, rule=rule, gamma=0.5) / scale
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def test_orders_are_permutations_of_the_others() -> None:
    order = orders(5, torch.Generator().manual_seed(0))
    assert order.shape == (5, 4)
    for index, row in enumerate(order.tolist()):
        assert sorted(row) == [other for other in range(5) if other != index]


def test_orders_come_from_the_generator() -> None:
    def drawn(seed: int) -> Tensor:
        return orders(5, torch.Generator().manual_seed(seed))

    torch.manual_seed(0)
    first = drawn(3)
    torch.manual_seed(1)
    assert torch.equal(first, drawn(3))
    assert any(not torch.equal(first, drawn(seed)) for seed in range(4, 8))


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_order(count: int) -> None:
    assert orders(count, torch.Generator()).numel() == 0


def test_a_convolution_has_a_vector_per_filter_and_a_linear_layer_one() -> None:
    assert as_filters(torch.zeros(4, 5, 3, 2, 2)).shape == (4, 5, 12)
    assert as_filters(torch.zeros(4, 5, 3)).shape == (4, 1, 15)


@pytest.mark.parametrize("rule", RULES)
def test_each_tensor_has_the_coefficients_that_it_has_alone(rule: Rule) -> None:
    draw = torch.Generator().manual_seed(0)
    rows = [torch.randn(filters, 3, 7, generator=draw, dtype=torch.float64) for filters in (4, 1, 2, 3)]
    a, b, c, d = (one @ one.transpose(1, 2) for one in rows)
    weights, scores = {"first": a, "second": b}, {"first": c, "second": d}
    found = ConflictAware(rule, 0.5).coefficients(weights, scores, torch.ones(3), torch.Generator().manual_seed(1))
    order = orders(3, torch.Generator().manual_seed(1))
    for mine, grams in zip(found, (weights, scores), strict=True):
        assert mine.keys() == grams.keys()
        for name, gram in grams.items():
            torch.testing.assert_close([mine[name]], conflict_aware([gram], order, rule=rule, gamma=0.5))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=5), st.integers(0, 2**31))
def test_sums_without_segments_are_the_same(filters: list[int], seed: int) -> None:
    lengths = torch.tensor(filters)
    values = torch.randn(sum(filters), 3, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    torch.testing.assert_close(indexed_sums(values, lengths), torch.segment_reduce(values, "sum", lengths=lengths))


def test_a_device_without_segments_gets_the_same_coefficients(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    grams = [gram_matrices(torch.randn(3, filters, 5, generator=generator)) for filters in (4, 1, 7)]
    order = orders(3, generator)
    before = conflict_aware(grams, order, rule="progressive", gamma=0.5)
    monkeypatch.setattr(_integration, "_HAVE_SEGMENTS", ())
    for one, other in zip(before, conflict_aware(grams, order, rule="progressive", gamma=0.5), strict=True):
        torch.testing.assert_close(one, other)
