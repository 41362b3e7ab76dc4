"""The linear map: the one that is best, with a scale that validation chooses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prunnet_export.benchmarks.plan._adapter import curve_sizes, scaled
from prunnet_export.network import RidgeSums
from tests.benchmarks.plan._plans import unit


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(7200, [500, 1000, 2000, 4000, 7200]), (700, [125, 250, 500, 700]), (600, [125, 250, 600]), (50, [50])],
)
def test_sizes_of_the_curve(count: int, sizes: list[int]) -> None:
    assert curve_sizes(count) == sizes


def test_a_linear_teacher_is_found_and_the_scale_stretches_around_the_mean() -> None:
    features = unit(300, 8, seed=1)
    wanted = features @ unit(8, 6, seed=2) + 3
    sums = RidgeSums()
    for part in np.split(np.arange(300), 3):
        sums.add(torch.from_numpy(features[part]), torch.from_numpy(wanted[part]))
    fitted, mean = sums.solve(), wanted.mean(0)
    np.testing.assert_allclose(scaled(fitted, mean, features, 1.0), wanted, atol=1e-3)
    np.testing.assert_allclose(scaled(fitted, mean, features, 2.0) - mean, 2 * (wanted - mean), atol=2e-3)
