"""What a latency is of: one scope, one batch size, one size of the photograph."""

from __future__ import annotations

from typing import Any

import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.query import Query
from tests._asserts import assert_one_line


@pytest.mark.parametrize(
    "fields",
    [
        {"scope": "end-to-end"},
        {"photo_px": (3024, 4032)},
        {"scope": "end-to-end", "photo_px": (63, 4032)},
        {"scope": "end-to-end", "photo_px": 10_000},
        {"batch_size": 0},
        {"batch_size": 1025},
    ],
)
def test_what_does_not_go_together_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        Query(**fields)
    assert_one_line(caught.value)


def test_a_square_has_one_spelling() -> None:
    assert Query(scope="end-to-end", photo_px=(512, 512)) == Query(scope="end-to-end", photo_px=512)


def test_in_words() -> None:
    assert str(Query()) == "batch 1, scope compute"
    whole = Query(scope="end-to-end", batch_size=8, photo_px=(3024, 4032))
    assert str(whole) == "batch 8, scope end-to-end (JPEG of 3024x4032 pixels)"
