"""The script that compares a query by an artifact with one that is written by hand. No time is asserted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from prunnet_export._errors import UsageError
from prunnet_export.benchmarks.query_path import compare

MakeArtifact = Callable[..., Path]


@pytest.mark.parametrize("size", [(300, 400), (301, 401)])
def test_both_ways_are_timed_in_turns_and_find_the_same(size: tuple[int, int], make_artifact: MakeArtifact) -> None:
    found = compare(make_artifact(), size, queries=8, threads=1)
    assert (len(found.ours_ms), len(found.by_hand_ms)) == (8, 8)
    assert found.cosine > 0.999
    assert found.ratio is not None
    assert "n 8 each in turns" in str(found)


def test_an_artifact_of_another_runtime_is_refused(make_artifact: MakeArtifact) -> None:
    with pytest.raises(UsageError, match="is for openvino"):
        compare(make_artifact(runtime="openvino"), (300, 400), queries=8, threads=1)
