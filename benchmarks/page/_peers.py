"""The section about peers: search quality over measured latency, for each target."""

from __future__ import annotations

import statistics

from prunnet_export._numbers import percent
from prunnet_export.benchmarks.page._section import Section, graph_objects, label, new_figure, styles
from prunnet_export.benchmarks.page._sources import PeerOffer, PeersTarget, Sources
from prunnet_export.reports import Cell, Table

_DASHES = ("solid", "dot", "dash", "dashdot")


def peers(sources: Sources) -> list[Section]:
    """For each target of each table of ``peers``: R@1 over latency."""
    targets = [(name, table.data, target) for name, table in sources.peers for target in table.targets]
    return [_section(f"peers-{number}", *each) for number, each in enumerate(targets, 1)]


def _section(key: str, name: str, data: str, target: PeersTarget) -> Section:
    go, figure = graph_objects(), new_figure("p50 latency, ms", "cross-test R@1", height=520)
    precisions = list(dict.fromkeys(offer.precision for each in target.peers.values() for offer in each))
    for style, (peer, offers) in zip(styles(), target.peers.items(), strict=False):
        for precision, dash in zip(precisions, _DASHES, strict=False):
            chosen = sorted((one for one in offers if one.precision == precision), key=lambda one: one.capacity)
            if not chosen:
                continue
            figure.add_trace(
                go.Scatter(
                    name=label(peer if peer.endswith("alone") else f"{peer}, {precision}"),
                    x=[one.p50_ms for one in chosen],
                    y=[statistics.fmean(one.r1) for one in chosen],
                    error_y={"array": [_spread(one) for one in chosen], "thickness": 1, "width": 3},
                    text=[f"{percent(one.capacity)} {label(precision)}" for one in chosen],
                    mode="lines+markers",
                    marker={**style, "size": 9},
                    line={"color": style["color"], "dash": dash},
                    hovertemplate="%{text}<br>%{x:.3g} ms, %{y:.1%}<extra></extra>",
                )
            )
    figure.update_xaxes(type="log", minor={"showgrid": False})
    figure.update_yaxes(tickformat=".0%")
    rows: list[tuple[Cell, ...]] = [
        (peer, percent(one.capacity), one.precision, one.p50_ms, len(one.r1), statistics.fmean(one.r1),
         _spread(one) if len(one.r1) > 1 else None)
        for peer, offers in target.peers.items()
        for one in offers
    ]  # fmt: skip
    columns = ("peer", "capacity", "precision", "p50 ms", "seeds", "R@1", "deviation")
    text = (
        f"What people would do instead, with the same backbone, data and steps ({name}). Each point is an exported "
        f"file that {target.runtime} {target.runtime_version} ran. Up is a better search in the dense network's "
        "gallery, left is faster. Bars are the standard deviation over the seeds."
    )
    return Section(key, f"Peers: {data}, {target.target}", text, figure, more=(Table("", columns, tuple(rows)),))


def _spread(offer: PeerOffer) -> float:
    return statistics.stdev(offer.r1) if len(offer.r1) > 1 else 0.0
