from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from prunnet_export.evaluating._bootstrap import interval_of_mean

shares = arrays(np.float64, st.integers(1, 60), elements=st.integers(0, 10).map(lambda tenths: tenths / 10))


@given(shares)
def test_the_interval_is_around_the_mean_and_repeats(values: npt.NDArray[np.float64]) -> None:
    low, high = interval_of_mean(values)
    assert values.min() - 1e-12 <= low <= high <= values.max() + 1e-12
    assert (low, high) == interval_of_mean(values[::-1])


def test_equal_values_have_no_spread() -> None:
    assert interval_of_mean(np.full(40, 0.7)) == pytest.approx((0.7, 0.7))


def test_it_is_the_interval_of_a_normal_mean() -> None:
    values = np.random.default_rng(3).random(400)
    low, high = interval_of_mean(values)
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_it_covers_the_true_mean_19_times_of_20() -> None:
    draw = np.random.default_rng(0)
    intervals = [interval_of_mean(draw.random(100) < 0.6) for _ in range(400)]
    covered = sum(low <= 0.6 <= high for low, high in intervals)
    assert 0.91 < covered / 400 < 0.98
