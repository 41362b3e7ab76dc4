"""``prunnet-bench peers``: the tables."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

import msgspec

from prunnet_export._numbers import significant
from prunnet_export.benchmarks._methods_cells import mean_and_spread, spread
from prunnet_export.benchmarks.peers._choice import Budget, Offer, lead
from prunnet_export.benchmarks.peers._latency import Latencies
from prunnet_export.benchmarks.peers._settings import OURS
from prunnet_export.reports import Cell, Table


@dataclass(frozen=True)
class Compared:
    """The peers on one target: their budgets, the largest first, and what each can deploy."""

    latencies: Latencies
    offers: dict[str, list[Offer]]
    budgets: list[Budget]


def target_tables(compared: Compared) -> tuple[Table, Table]:
    """R@1 of each peer at each budget, and how far ours is ahead."""
    times, peers = compared.latencies, list(compared.offers)
    terms = f"{times.target}: {times.runtime} {times.runtime_version}, batch 1, p50 of n = {_fewest(times)} or more"
    rows: list[tuple[Cell, ...]] = [
        (significant(one.ms), one.set_by, *(_cell(one.offers[peer]) for peer in peers)) for one in compared.budgets
    ]
    others = [peer for peer in peers if peer != OURS]
    leads: list[tuple[Cell, ...]] = [
        (significant(one.ms), one.set_by, *(_lead(one, peer) for peer in others)) for one in compared.budgets
    ]
    return (
        Table(f"{terms}, measured on {times.device}: R@1 in %", ("budget ms", "set by", *peers), tuple(rows)),
        Table(f"{times.target}: points that {OURS} is ahead", ("budget ms", "set by", *others), tuple(leads)),
    )


def _fewest(times: Latencies) -> int:
    return min(one.n for one in times.files)


def _cell(offer: Offer | None) -> str | None:
    return None if offer is None else f"{mean_and_spread(list(offer.r1.values()))} ({offer})"


def _lead(budget: Budget, peer: str) -> str | None:
    ours, other = budget.offers[OURS], budget.offers[peer]
    if ours is None or other is None:
        return None
    points = [100 * one for one in lead(ours, other)]
    deviation = spread(points)
    return f"{statistics.fmean(points):+.1f}" + ("" if deviation is None else f" ± {deviation:.1f}")


def behind(compared: Compared) -> list[str]:
    """A sentence for each budget and peer where ours is not ahead in the mean."""
    found = []
    for budget in compared.budgets:
        for peer in compared.offers:
            ours, other = budget.offers[OURS], budget.offers[peer]
            if peer == OURS or ours is None or other is None or statistics.fmean(lead(ours, other)) > 0:
                continue
            place = f"{compared.latencies.target}, {significant(budget.ms)} ms"
            found.append(f"{place}: not ahead of {peer} ({_lead(budget, peer)} points)")
    return found


def target_document(compared: Compared) -> dict[str, Any]:
    """One target in JSON."""
    times = compared.latencies
    return {
        **{name: msgspec.to_builtins(getattr(times, name)) for name in times.__struct_fields__ if name != "files"},
        "source": "measured",
        "budgets": [
            {
                "ms": one.ms,
                "set_by": one.set_by,
                "offers": {peer: None if offer is None else _offer(offer) for peer, offer in one.offers.items()},
            }
            for one in compared.budgets
        ],
        "peers": {peer: list(map(_offer, offers)) for peer, offers in compared.offers.items()},
        "files": msgspec.to_builtins(times.files),
        "behind": behind(compared),
    }


def _offer(offer: Offer) -> dict[str, Any]:
    return {"capacity": offer.capacity, "precision": offer.precision, "p50_ms": offer.ms, "r1": list(offer.r1.values())}
