from __future__ import annotations

import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.runtimes import engine_threads


@pytest.mark.parametrize(
    ("asked", "default", "limit", "given"),
    [
        (None, None, None, None),
        (None, 4, None, None),
        (None, None, 2, 2),
        (None, 4, 2, 2),
        (None, 4, 8, 4),
        (3, None, 1, 3),
        (3, 4, None, 3),
    ],
)
def test_a_quota_limits_only_what_the_engine_would_choose(
    monkeypatch: pytest.MonkeyPatch, asked: int | None, default: int | None, limit: int | None, given: int | None
) -> None:
    monkeypatch.setattr("prunnet_export.runtimes._checks.threads_under_quota", lambda: limit)
    assert engine_threads(asked, default=default) == given


def test_a_number_that_is_not_positive() -> None:
    with pytest.raises(InvalidInput, match="0 threads"):
        engine_threads(0)
