"""The curve over the number of images is continued, with an interval that is as wide as it is uncertain."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunnet_export.benchmarks.plan._bootstrap import mean_estimate
from prunnet_export.benchmarks.plan._extrapolation import extrapolate

SIZES = [500, 1000, 2000, 4000]


def columns(curve: npt.NDArray[np.float64], queries: int = 400) -> npt.NDArray[np.float64]:
    """0 or 1 for each query and size: the harder queries are found later."""
    difficulty = (np.arange(queries) + 0.5) / queries
    return (difficulty[:, None] < curve).astype(np.float64)


@pytest.mark.parametrize("exponent", [0.25, 0.5, 1.0])
def test_a_curve_of_the_family_is_continued(exponent: float) -> None:
    def curve(n: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return 0.7 - 0.5 * (n / 500) ** -exponent

    found = extrapolate(SIZES, columns(curve(np.array(SIZES, np.float64)), 4000), 32_000)
    expected = float(curve(np.array([32_000.0]))[0])
    assert found.value == pytest.approx(expected, abs=0.02)
    assert found.low < expected < found.high


def test_nothing_is_extrapolated_if_all_images_were_used() -> None:
    values = columns(np.array([0.2, 0.3, 0.4, 0.5]))
    assert extrapolate(SIZES, values, 4000) == mean_estimate(values[:, -1])


def test_a_flat_curve_stays_and_a_falling_one_does_not_fall_further() -> None:
    assert extrapolate(SIZES, columns(np.full(4, 0.5)), 10**6).value == pytest.approx(0.5)
    assert extrapolate(SIZES, columns(np.array([0.5, 0.5, 0.45, 0.4])), 10**6).value == pytest.approx(0.4)


def test_further_away_is_less_certain() -> None:
    values = columns(np.array([0.2, 0.3, 0.37, 0.45]))
    near, far = extrapolate(SIZES, values, 8000), extrapolate(SIZES, values, 10**6)
    assert far.high - far.low > near.high - near.low


def test_two_points_say_nothing_of_the_height() -> None:
    found = extrapolate(SIZES[:2], columns(np.array([0.2, 0.3])), 8000)
    assert found.value == pytest.approx(0.3)
    assert found.high == 1


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4), st.integers(1, 10**7))
def test_the_estimate_is_a_share_inside_its_interval(curve: list[float], whole: int) -> None:
    found = extrapolate(SIZES, columns(np.array(curve), 50), whole)
    assert 0 <= found.low <= found.high <= 1
    assert 0 <= found.value <= 1
    # Files of runs refuse numbers of numpy.
    assert {type(one) for one in (found.value, found.low, found.high)} == {float}
