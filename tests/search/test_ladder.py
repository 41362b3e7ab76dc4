from __future__ import annotations

import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.patterns import allocate, find_pattern
from prunnet_export.search._ladder import CAPACITIES, ladder
from tests._inputs import images, prunable
from tests.search._exports import Workshop


@pytest.mark.parametrize(
    ("pattern", "multiple"),
    [*(("channel", multiple) for multiple in (1, 2, 4, 8, 16)), ("unstructured", 8), ("block", 8), ("2:4", 8)],
)
def test_the_ladder_rises_to_the_dense_network(pattern: str, multiple: int, workshop: Workshop) -> None:
    rungs = ladder(workshop.checkpoint.network, find_pattern(pattern, multiple), "fp32")
    kept = [rung.subnetwork.kept for rung in rungs]
    assert kept == sorted(set(kept))
    assert rungs[-1].capacity == 1
    assert {(rung.pattern, rung.precision) for rung in rungs} == {(pattern, "fp32")}
    assert all(0 < rung.capacity <= 1 for rung in rungs)
    for rung in rungs:
        full = rungs[-1].subnetwork.widths() or {}
        for group, width in (rung.subnetwork.widths() or {}).items():
            assert width % multiple == 0 or width == full[group]


def test_finer_multiples_make_more_rungs(workshop: Workshop) -> None:
    counts = [len(ladder(workshop.checkpoint.network, find_pattern("channel", m), "fp32")) for m in (8, 4, 1)]
    assert counts == sorted(counts)
    assert counts[0] >= 5


def test_capacities_out_of_reach_are_left_out(workshop: Workshop) -> None:
    network = workshop.checkpoint.network
    with pytest.raises(InvalidInput):
        find_pattern("channel").subnetworks(network, [0.025])
    rungs = ladder(network, find_pattern("channel"), "fp32", capacities=[0.025, 0.5, 1.0])
    assert [rung.subnetwork.asked for rung in rungs] == [0.5, 1.0]


def test_a_network_with_ranks_has_smaller_rungs_too() -> None:
    network = prunable("resnet18", crop=32)
    uniform = ladder(network, find_pattern("channel"), "fp32")
    allocate(network, [images(8, 32)])
    rungs = ladder(network, find_pattern("channel"), "fp32")
    assert rungs[0].capacity < 0.01 < min(rung.subnetwork.asked for rung in uniform)
    zeros = ladder(network, find_pattern("unstructured"), "fp32")
    assert [rung.subnetwork.asked for rung in zeros] == list(CAPACITIES)


def test_a_pattern_of_one_share_has_two_rungs(workshop: Workshop) -> None:
    network = workshop.checkpoint.network
    half, dense = ladder(network, find_pattern("2:4"), "fp32")
    assert (half.subnetwork.asked, dense.subnetwork.asked) == (0.5, 1)
    assert half.capacity < dense.capacity == 1
    # A confirmation asks only for the dense network.
    [top] = ladder(network, find_pattern("2:4"), "fp32", capacities=[1.0])
    assert top.capacity == 1


def test_blocks_have_a_rung_for_each_capacity(workshop: Workshop) -> None:
    rungs = ladder(workshop.checkpoint.network, find_pattern("block"), "fp32")
    assert [rung.subnetwork.asked for rung in rungs] == list(CAPACITIES)


def test_equal_widths_are_one_candidate(workshop: Workshop) -> None:
    rungs = ladder(workshop.checkpoint.network, find_pattern("channel"), "fp32", capacities=[0.5, 0.501, 1, 1])
    assert len(rungs) == 2


def test_in_words() -> None:
    [dense] = ladder(
        prunable(crop=32, options={"channels": [8, 8, 8, 8]}), find_pattern("channel"), "fp32", capacities=[1.0]
    )
    assert str(dense) == "channel 100.0% fp32"


def test_an_interrupt_while_the_network_is_traced_is_not_swallowed() -> None:
    def interrupt(*_: object) -> None:
        handle.remove()  # a second attempt would succeed
        raise KeyboardInterrupt

    network = prunable(crop=32, options={"channels": [8, 8, 8, 8]})
    handle = network.embedder.register_forward_pre_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        ladder(network, find_pattern("channel"), "fp32")
