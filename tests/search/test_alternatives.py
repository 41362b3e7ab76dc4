"""The alternatives in a predicted artifact."""

from __future__ import annotations

from prunnet_export.budget import Budget
from prunnet_export.search._alternatives import alternatives_to
from tests.search._exports import Workshop


def test_larger_and_smaller_ones_are_alternatives(workshop: Workshop) -> None:
    ladder = workshop.export(Budget(latency_ms=1)).candidates()["channel", "fp32"]
    chosen = ladder[len(ladder) // 2]
    found = alternatives_to(chosen, ladder)
    assert chosen not in found
    assert len(set(found)) == len(found) >= 2
    assert [one.capacity for one in found] == sorted((one.capacity for one in found), reverse=True)
    assert found[0].capacity > chosen.capacity > found[-1].capacity
    assert alternatives_to(ladder[0], ladder[:1]) == []
