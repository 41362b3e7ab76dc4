from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunnet_export._errors import InvalidInput, UsageError
from prunnet_export.search import Budget
from tests._asserts import assert_one_line

FIELDS = ("latency_ms", "size_mb", "ram_mb")


def test_nothing_asked_is_no_budget() -> None:
    with pytest.raises(UsageError, match="no budget") as caught:
        Budget(percentile=50)
    assert_one_line(caught.value)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("limit", [0.0, -1.0, math.nan, math.inf, -math.inf])
def test_limits_are_positive_and_finite(field: str, limit: float) -> None:
    with pytest.raises(InvalidInput, match="--budget-") as caught:
        Budget(**{field: limit})
    assert_one_line(caught.value)


@given(st.sampled_from(FIELDS), st.floats(min_value=1e-300, allow_infinity=False))
def test_any_positive_number_will_do(field: str, limit: float) -> None:
    assert getattr(Budget(**{field: limit}), field) == limit


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"latency_ms": 15.0}, "p90 <= 15 ms"),
        ({"latency_ms": 2.5, "percentile": 99.9}, "p99.9 <= 2.5 ms"),
        ({"size_mb": 12.0, "ram_mb": 0.5}, "12 MB, 0.5 MiB of memory"),
    ],
)
def test_in_words(fields: dict[str, float], text: str) -> None:
    assert str(Budget(**fields)) == text
