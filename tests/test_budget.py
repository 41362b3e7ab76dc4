from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunnet_export._errors import InvalidInput, UsageError
from prunnet_export.budget import Budget, Figures
from prunnet_export.query import Query
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
        Budget(**{field: limit})  # type: ignore[arg-type]  # mypy does not know which field it is
    assert_one_line(caught.value)


@given(st.sampled_from(FIELDS), st.floats(min_value=1e-300, allow_infinity=False))
def test_any_positive_number_will_do(field: str, limit: float) -> None:
    assert getattr(Budget(**{field: limit}), field) == limit  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"latency_ms": 15.0}, "p90 <= 15 ms"),
        ({"latency_ms": 2.5, "percentile": 99.9}, "p99.9 <= 2.5 ms"),
        ({"latency_ms": 8.0, "query": Query(batch_size=8)}, "p90 <= 8 ms (batch 8, scope compute)"),
        (
            {"latency_ms": 80.0, "query": Query(scope="end-to-end", photo_px=(3024, 4032))},
            "p90 <= 80 ms (batch 1, scope end-to-end (JPEG of 3024x4032 pixels))",
        ),
        ({"size_mb": 12.0, "ram_mb": 0.5}, "12 MB, 0.5 MiB of memory"),
    ],
)
def test_in_words(fields: dict[str, Any], text: str) -> None:
    assert str(Budget(**fields)) == text


@given(st.floats(0.01, 1e4), st.floats(0.01, 1e4), st.floats(0.01, 1e4))
def test_the_budget_that_it_names_is_held(upper_ms: float, size_mb: float, peak_mb: float) -> None:
    figures = Figures(upper_ms, size_mb, peak_mb)
    asked = Budget(latency_ms=1, size_mb=1, ram_mb=1)
    words = asked.options_that_fit(figures).split()
    named = dict(zip(words[::2], map(float, words[1::2]), strict=True))
    fitting = Budget(named.get("--budget-ms", 1), named.get("--budget-mb", 1), named.get("--budget-ram-mb", 1))
    assert asked.inside(figures) == (not named)
    assert len(named) == len(asked.exceeded(figures))
    assert not fitting.exceeded(figures)
    assert not fitting.options_that_fit(figures)


@pytest.mark.parametrize(
    ("p50_ms", "upper_ms", "unclear"), [(1, 1.9, False), (1, 2.1, True), (2, 9, True), (2.1, 9, False)]
)
def test_a_bound_is_unclear_where_the_median_is_inside(p50_ms: float, upper_ms: float, unclear: bool) -> None:
    assert Budget(latency_ms=2).unclear(p50_ms=p50_ms, upper_ms=upper_ms) == unclear
    assert not Budget(size_mb=2).unclear(p50_ms=p50_ms, upper_ms=upper_ms)


def test_what_would_fit_in_words() -> None:
    budget = Budget(latency_ms=2, size_mb=1)
    assert budget.options_that_fit(Figures(3.141, 0.5, None)) == "--budget-ms 3.3"


def test_the_limit_that_is_nearest_says_how_much_is_used() -> None:
    budget = Budget(latency_ms=10, size_mb=4)
    assert budget.used(Figures(upper_ms=5, size_mb=3, peak_mb=None)) == 0.75
    assert budget.used(Figures(upper_ms=20, size_mb=3, peak_mb=None)) == 2
    assert Budget(ram_mb=100).used(Figures(upper_ms=5, size_mb=3, peak_mb=None)) == 0  # nothing is known of it


def test_a_figure_above_a_thousand_is_not_rounded_to_its_limit() -> None:
    (size,) = Budget(size_mb=1000).limits(Figures(upper_ms=None, size_mb=1004.6, peak_mb=None))
    assert str(size) == "size: 1005 MB, over the budget of 1000 MB"
