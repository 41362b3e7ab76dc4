from __future__ import annotations

import pytest

from prunnet_export.benchmarks.peers._choice import budgets_of, lead, offers_of
from prunnet_export.benchmarks.peers._exported import Exported, ExportedRun
from prunnet_export.benchmarks.peers._latency import FileLatency, Latencies
from prunnet_export.benchmarks.peers._table import Compared, behind, target_tables
from tests.benchmarks._runs import MACHINE

# Capacity and precision: milliseconds, which are the same for every method here.
TIMES = {(1.0, "fp32"): 10.0, (0.4, "fp32"): 5.0, (0.3, "fp32"): 4.0, (0.2, "fp32"): 3.0, (1.0, "int8"): 4.5,
         (0.4, "int8"): 2.5, (0.3, "int8"): 2.0, (0.2, "int8"): 1.5}  # fmt: skip
OURS = {"channel": (0.9, 0.02), "magnitude": (0.8, 0.1)}  # R@1 of the dense network, and what each tenth less costs


def run(method: str, seed: int, *, only: tuple[float, ...] = (1.0, 0.4, 0.3, 0.2), shift: float = 0.0) -> ExportedRun:
    dense, slope = OURS.get(method, (0.7, 0.05))
    files = [
        Exported(capacity=capacity, precision=precision, macs=1, weights=1, r1=dense - slope * (1 - capacity) + shift)
        for capacity, precision in TIMES
        if capacity in only
    ]
    return ExportedRun(target="t", runtime="r", runtime_version="1", method=method, seed=seed, files=files)


def latencies(runs: list[ExportedRun], **slower: float) -> Latencies:
    files = [
        FileLatency(
            method=one.method, capacity=file.capacity, precision=file.precision, cv=0.01, n=60, p90_ms=20.0,
            p50_ms=TIMES[file.capacity, file.precision] * slower.get(one.method, 1),
        )
        for one in runs
        if one.seed == 0
        for file in one.files
    ]  # fmt: skip
    return Latencies(target="t", runtime="r", runtime_version="1", threads=1, seed=0, device=MACHINE, files=files)


@pytest.fixture
def runs() -> list[ExportedRun]:
    return [
        run(method, seed, only=only, shift=0.01 * seed)
        for method, only in (
            ("channel", (1.0, 0.4, 0.3, 0.2)), ("magnitude", (1.0, 0.4, 0.3, 0.2)), ("aml", (0.4, 0.2))
        )
        for seed in (0, 1, 2)
    ]  # fmt: skip


def test_every_peer_has_a_network_at_every_budget(runs: list[ExportedRun]) -> None:
    offers = offers_of(runs, latencies(runs, aml=1.04))
    budgets = budgets_of(offers, (0.4, 0.2))
    # The peer in the middle sets the budget, and one that is slower by noise has its network all the same.
    assert [(one.set_by, one.ms) for one in budgets] == [
        ("100% fp32", 10.0), ("40% fp32", 5.0), ("100% int8", 4.5), ("20% fp32", 3.0), ("40% int8", 2.5),
        ("20% int8", 1.5),
    ]  # fmt: skip
    assert [str(one.offers["aml"]) for one in budgets] == [
        "40% fp32", "40% fp32", "40% int8", "40% int8", "40% int8", "20% int8",
    ]  # fmt: skip
    for budget in budgets:
        assert all(offer is not None for peer, offer in budget.offers.items() if peer != "int8 alone")


def test_a_budget_gets_the_largest_network_inside_it(runs: list[ExportedRun]) -> None:
    offers = offers_of(runs, latencies(runs))
    chosen = {
        one.ms: {peer: str(offer) for peer, offer in one.offers.items()} for one in budgets_of(offers, (0.4, 0.2))
    }
    assert chosen[5.0] == {
        "channel": "100% int8",
        "int8 alone": "100% int8",
        "magnitude": "100% int8",
        "aml": "40% fp32",
    }
    assert chosen[3.0] == {"channel": "40% int8", "int8 alone": "None", "magnitude": "40% int8", "aml": "40% int8"}
    # A peer that has no network between the capacities takes the next smaller one.
    between = budgets_of(offers_of(runs, latencies(runs, aml=0.9)), (0.2,))
    [budget] = [one for one in between if one.set_by == "20% fp32"]
    assert str(budget.offers["aml"]) == "40% int8"


def test_what_was_refused_once_is_no_offer(runs: list[ExportedRun]) -> None:
    refused = Exported(capacity=0.4, precision="int8", macs=1, weights=1, refused="it loses too much")
    runs[4].files[[str(one.capacity) + one.precision for one in runs[4].files].index("0.4int8")] = refused
    offers = offers_of(runs, latencies(runs))
    assert (0.4, "int8") not in [(one.capacity, one.precision) for one in offers["magnitude"]]
    assert (0.4, "int8") in [(one.capacity, one.precision) for one in offers["channel"]]


def test_the_lead_is_by_seed(runs: list[ExportedRun]) -> None:
    offers = offers_of(runs, latencies(runs))
    ours, other = offers["channel"][0], offers["magnitude"][0]
    assert lead(ours, other) == pytest.approx([0.1, 0.1, 0.1])
    compared = Compared(latencies(runs), offers, budgets_of(offers, (0.4, 0.2)))
    table, leads = target_tables(compared)
    assert table.columns == ("budget ms", "set by", "channel", "int8 alone", "magnitude", "aml")
    assert leads.rows[0][3] == "+10.0 ± 0.0"
    assert behind(compared) == []


def test_where_ours_is_behind_is_said(runs: list[ExportedRun]) -> None:
    runs += [run("switchable", seed, shift=0.5) for seed in (0, 1, 2)]
    offers = offers_of(runs, latencies(runs))
    compared = Compared(latencies(runs), offers, budgets_of(offers, (0.4,)))
    assert behind(compared)
    assert all("not ahead of switchable (-" in line for line in behind(compared))
