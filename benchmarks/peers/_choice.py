"""What each peer offers at a latency: its largest network that is about as fast or faster."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prunnet_export._numbers import percent
from prunnet_export.benchmarks.peers._exported import ExportedRun
from prunnet_export.benchmarks.peers._latency import Latencies
from prunnet_export.benchmarks.peers._settings import DENSE_ALONE, OURS

EQUAL = 1.05
"""Latencies up to this ratio count as equal. Files of one shape differ so much in repeated measurements."""


@dataclass(frozen=True)
class Offer:
    """A file that a peer can deploy.

    Attributes:
        capacity: The asked capacity; 1 is the dense network.
        precision: Name of the precision.
        ms: Median latency, milliseconds.
        r1: Cross-test R@1 by seed.
    """

    capacity: float
    precision: str
    ms: float
    r1: Mapping[int, float]

    def __str__(self) -> str:
        return f"{percent(self.capacity)} {self.precision}"


@dataclass(frozen=True)
class Budget:
    """A latency, and what each peer offers there; None if all of its files are slower.

    Attributes:
        ms: The latency, milliseconds.
        set_by: The capacity and precision whose files have this median latency.
        offers: Offers by the name of the peer.
    """

    ms: float
    set_by: str
    offers: Mapping[str, Offer | None]


def offers_of(runs: Sequence[ExportedRun], latencies: Latencies) -> dict[str, list[Offer]]:
    """The offers of each peer for one target, the largest capacity first, the most exact of two equal ones first.

    A file that was refused with one of the seeds is no offer. One more peer, e.g. ``int8 alone``, is the dense network
    in the fastest precision, not cut.
    """
    found: dict[str, list[Offer]] = {}
    for method in dict.fromkeys(run.method for run in runs):
        of_method = [run for run in runs if run.method == method]
        cases = dict.fromkeys((file.capacity, file.precision) for run in of_method for file in run.files)
        offers = []
        for capacity, precision in cases:
            r1 = {
                run.seed: file.r1
                for run in of_method
                for file in run.files
                if (file.capacity, file.precision) == (capacity, precision) and file.r1 is not None
            }
            timed = latencies.of(method, capacity, precision)
            if timed is not None and len(r1) == len(of_method):
                offers.append(Offer(capacity, precision, timed.p50_ms, r1))
        precisions = list(dict.fromkeys(precision for _, precision in cases))
        offers.sort(key=lambda one: (-one.capacity, precisions.index(one.precision)))
        if method == DENSE_ALONE and len(precisions) > 1:  # what quantising alone gives
            fastest = precisions[-1]
            found[f"{fastest} alone"] = [one for one in offers if (one.capacity, one.precision) == (1, fastest)]
        found[method] = offers
    return found


def budgets_of(offers: Mapping[str, Sequence[Offer]], capacities: Sequence[float]) -> list[Budget]:
    """The budgets, the largest first: for each capacity and precision, the median latency of all peers' files.

    Args:
        offers: The offers by the name of the peer.
        capacities: The capacities at which every peer has a network.
    """
    precisions = dict.fromkeys(one.precision for one in offers[OURS])
    limits: dict[str, float] = {}
    for capacity in (1.0, *capacities):
        for precision in precisions:
            same = [
                one
                for each in offers.values()
                for one in each
                if (one.capacity, one.precision) == (capacity, precision)
            ]
            if same:
                limits[str(same[0])] = statistics.median(one.ms for one in same)
    ordered = sorted(limits.items(), key=lambda item: -item[1])
    return [
        Budget(
            ms, name, {peer: next((one for one in each if one.ms <= EQUAL * ms), None) for peer, each in offers.items()}
        )
        for name, ms in ordered
    ]


def lead(ours: Offer, other: Offer) -> list[float]:
    """How far our R@1 is ahead, by seed."""
    return [ours.r1[seed] - other.r1[seed] for seed in sorted(ours.r1.keys() & other.r1.keys())]
