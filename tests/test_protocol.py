from __future__ import annotations

import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.protocol import Protocol
from tests._asserts import assert_one_line


def test_the_average_says_how_deep_it_looks() -> None:
    assert Protocol().average == "mAP"
    assert Protocol(depth=100).average == "mAP@100"


@pytest.mark.parametrize("depths", [(), (0,), (2, 4), (1, 1), (1, 4, 2), (1, -1)])
def test_recall_ascends_from_one(depths: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match="recall is asked for") as caught:
        Protocol(recall_at=depths)
    assert_one_line(caught.value)


def test_depths_of_precision() -> None:
    for wrong in (0, -1):
        with pytest.raises(InvalidInput, match="precision is asked for"):
            Protocol(precision_at=(5, wrong))
        with pytest.raises(InvalidInput, match="precision is asked for") as caught:
            Protocol(depth=wrong)
        assert_one_line(caught.value)
