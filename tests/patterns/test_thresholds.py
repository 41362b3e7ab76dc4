from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prunnet_export._errors import InvalidInput
from prunnet_export.patterns._thresholds import thresholds

values = st.lists(st.one_of(st.floats(0, 1, width=32), st.integers(0, 3).map(float)), min_size=1, max_size=40)
capacities = st.lists(st.floats(0.01, 1), max_size=5)


@given(values, capacities)
def test_the_kth_smallest(values: list[float], capacities: list[float]) -> None:
    found = [float(one) for one in thresholds(torch.tensor(values), capacities)]
    assert found == [sorted(values)[round((1 - c) * (len(values) - 1))] for c in capacities]


@given(values, st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_larger_capacity_has_no_higher_threshold(values: list[float], one: float, other: float) -> None:
    low, high = thresholds(torch.tensor(values), [max(one, other), min(one, other)])
    assert low <= high


@given(values)
def test_all_stay_at_one_and_the_largest_stays_always(values: list[float]) -> None:
    whole, least = thresholds(torch.tensor(values), [1.0, 1e-9])
    assert float(whole) == min(values)
    assert float(least) == max(values)


def test_golden() -> None:
    found = thresholds(torch.tensor([0.4, 0.1, 0.9, 0.5, 0.2]), [0.2, 0.8, 0.5, 1.0])
    torch.testing.assert_close(torch.stack(found), torch.tensor([0.5, 0.2, 0.4, 0.1]))


@pytest.mark.parametrize("capacity", [0, -0.1, 1.01, float("nan"), float("inf")])
def test_capacity_out_of_range(capacity: float) -> None:
    with pytest.raises(InvalidInput, match="out of range"):
        thresholds(torch.ones(3), [0.5, capacity])


@pytest.mark.parametrize("count", [5000, 200_000])
@pytest.mark.parametrize("different", [1, 7, 1_000_000])
@pytest.mark.parametrize("order", ["random", "ascending", "repeating"])
def test_the_kth_smallest_of_many(count: int, different: int, order: str) -> None:
    # Of many a sample says where to look, which may not mislead: not by ties, and not by an order that it does not see.
    drawn = torch.randint(different, (count,), generator=torch.Generator().manual_seed(0)).float()
    if order == "ascending":
        drawn = drawn.sort().values
    if order == "repeating":
        drawn[::64] = 0
    before = drawn.clone()
    capacities = [0.7, 0.2, 0.7, 1.0, 0.9, 0.9001, 1e-9, 0.5]
    found = [float(one) for one in thresholds(drawn, capacities)]
    ordered = drawn.sort().values.tolist()
    assert found == [ordered[round((1 - c) * (count - 1))] for c in capacities]
    assert torch.equal(drawn, before)
