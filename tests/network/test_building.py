from __future__ import annotations

import pytest
from torch import nn

from prunnet_export._errors import InvalidInput
from prunnet_export.network import build_embedder
from prunnet_export.network._building import limited_building
from prunnet_export.preprocessing import Preprocessing
from tests._asserts import assert_one_line


def test_modules_without_end_are_refused() -> None:
    with pytest.raises(InvalidInput, match="layers") as caught, limited_building():
        nn.Sequential(*(nn.Identity() for _ in range(30_000)))
    assert_one_line(caught.value)
    nn.Sequential(*(nn.Identity() for _ in range(30_000)))  # the limit ends with the block


def test_more_parameters_than_were_stored_are_refused() -> None:
    with limited_building(numbers=4 * 5 + 5):
        nn.Linear(4, 5)
    with pytest.raises(InvalidInput, match="numbers"), limited_building(numbers=4 * 5):
        nn.Linear(4, 5)


@pytest.mark.parametrize("options", [{"layers": [100_000, 1, 1, 1]}, {"channels": [8, 16, 16, 100_000]}])
def test_options_of_a_network_that_would_take_all_memory_are_refused(options: dict[str, list[int | float]]) -> None:
    with pytest.raises(InvalidInput) as caught:
        build_embedder("resnet18", dim=8, preprocessing=Preprocessing(crop=32, resize=32), options=options)
    assert_one_line(caught.value)
