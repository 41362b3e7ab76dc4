from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from prunnet_export.network import limit_torch_threads


@pytest.fixture
def _three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_three_threads")
@pytest.mark.parametrize(("limit", "threads"), [(1, 1), (2, 2), (4, 3), (None, 3)])
def test_a_quota_lowers_the_threads_and_never_raises_them(
    monkeypatch: pytest.MonkeyPatch, limit: int | None, threads: int
) -> None:
    monkeypatch.setattr("prunnet_export.network._threads.threads_under_quota", lambda: limit)
    limit_torch_threads()
    assert torch.get_num_threads() == threads
