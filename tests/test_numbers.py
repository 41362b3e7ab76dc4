from __future__ import annotations

import pytest

from prunnet_export._numbers import percent


@pytest.mark.parametrize(
    ("capacity", "text"), [(1, "100%"), (0.6, "60%"), (0.29, "29%"), (0.075, "7.5%"), (0.07, "7%"), (1 / 3, "33.33%")]
)
def test_a_capacity_keeps_its_digits(capacity: float, text: str) -> None:
    assert percent(capacity) == text
