"""Sections about milliseconds: the frontier, the candidates of the search, the distributions, and the history."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from prunnet_export.artifact import Manifest, VerificationEntry
from prunnet_export.benchmarks._results import Result
from prunnet_export.benchmarks.page._section import Section, graph_objects, label, new_figure, styles
from prunnet_export.benchmarks.page._sources import Sources
from prunnet_export.budget import Budget
from prunnet_export.measuring import LatencyReport
from prunnet_export.reports import Cell, Table

_POINTS = 200  # of a distribution


@dataclass(frozen=True)
class _Point:
    """A point of the frontier."""

    target: str
    name: str
    latency: LatencyReport
    accuracy: float
    dense: bool = False


def frontier(sources: Sources) -> Section | None:
    """Latency against cross-test R@1 for each target, with budgets as lines; None if nothing is known of both.

    Where labels are missing, the overlap with the dense network's neighbours stands for R@1.
    """
    for measure, of in (("cross-test R@1", _cross_r1), ("neighbour overlap", _overlap)):
        points = list(_points(sources, of))
        if points:
            return _frontier(points, measure, sources)
    return None


def _frontier(points: list[_Point], measure: str, sources: Sources) -> Section:
    go, figure = graph_objects(), new_figure("latency at the budget's percentile, ms", measure)
    for style, target in zip(styles(), dict.fromkeys(point.target for point in points), strict=False):
        chosen = sorted(
            (one for one in points if one.target == target), key=lambda one: (one.latency.percentile_ms, one.accuracy)
        )
        figure.add_trace(
            go.Scatter(
                name=label(target),
                x=[one.latency.percentile_ms for one in chosen],
                y=[one.accuracy for one in chosen],
                text=[label(one.name) for one in chosen],
                mode="lines+markers",
                marker={**style, "size": [14 if one.dense else 10 for one in chosen]},
                line={"color": style["color"], "dash": "dot"},
                hovertemplate="%{text}<br>%{x:.3g} ms, %{y:.1%}<extra></extra>",
            )
        )
    budgets = sorted({one.latency_ms for one in _budgets(sources) if one.latency_ms is not None})
    for budget in budgets:
        figure.add_vline(x=budget, line={"dash": "dash", "width": 1, "color": "gray"})
        # On a logarithmic axis, the place of a text is a logarithm, unlike that of a line.
        figure.add_annotation(
            x=math.log10(budget), y=1, yref="paper", yanchor="bottom", showarrow=False, text=f"budget {budget:g} ms"
        )
    figure.update_yaxes(tickformat=".1%")
    figure.update_xaxes(type="log", minor={"showgrid": False})
    rows: list[tuple[Cell, ...]] = [
        (one.target, one.name, one.latency.percentile_ms, f"p{one.latency.percentile:g}", one.latency.source,
         one.latency.n, one.accuracy)
        for one in points
    ]  # fmt: skip
    columns = ("target", "artifact", "ms", "percentile", "source", "n", measure)
    text = (
        "Each point is an exported file that was verified; the largest marker is the dense network. "
        f"Up is a better search, left is faster. Dashed lines are budgets. {_sources_of(points)}"
    )
    return Section("frontier", "Latency and search quality", text, figure, more=(Table("", columns, tuple(rows)),))


def _sources_of(points: list[_Point]) -> str:
    found = sorted({point.latency.source for point in points})
    return (
        f"Latencies are {' or '.join(found)}; the table says which." if len(found) > 1 else f"Latencies are {found[0]}."
    )


def _points(sources: Sources, of: Callable[[VerificationEntry], float | None]) -> Iterator[_Point]:
    newest = sources.newest
    seen: set[str] = set()
    for result in newest.values():
        accuracy = None if result.verification is None else of(result.verification)
        if result.latency is not None and not result.latency.emulated and accuracy is not None:
            seen.add(result.name)
            yield _Point(result.target, result.name, result.latency, accuracy)
    dense: set[tuple[str, str]] = set()
    for one in sources.artifacts:
        manifest, accuracy = one.manifest, of(one.manifest.verification)
        if accuracy is not None and not manifest.latency.emulated and one.name not in seen:
            yield _Point(manifest.target, one.name, manifest.latency, accuracy)
        whole = _dense(manifest)
        if whole is not None and of is _cross_r1 and (manifest.target, manifest.network.sha256) not in dense:
            dense.add((manifest.target, manifest.network.sha256))
            yield _Point(manifest.target, f"dense ({manifest.target})", *whole, dense=True)


def _dense(manifest: Manifest) -> tuple[LatencyReport, float] | None:
    accuracy = manifest.verification.teacher_self_r1
    own = manifest.network.teacher is None
    return (manifest.dense_latency, accuracy) if own and manifest.dense_latency and accuracy is not None else None


def _cross_r1(verification: VerificationEntry) -> float | None:
    return verification.cross_r1


def _overlap(verification: VerificationEntry) -> float | None:
    gate = verification.gate("neighbour overlap")
    return None if gate is None else gate.value


def _budgets(sources: Sources) -> Iterator[Budget]:
    yield from (one.manifest.budget for one in sources.artifacts)
    yield from (one.budget for one in sources.newest.values() if one.budget is not None)


def candidates(sources: Sources) -> Section | None:
    """What each search measured: latency against capacity; None without a search."""
    go, figure = graph_objects(), new_figure("median latency, ms", "capacity")
    rows: list[tuple[Cell, ...]] = []
    style = styles()
    for one in sources.artifacts:
        entries = one.manifest.frontier
        for kind in dict.fromkeys((entry.pattern, entry.precision) for entry in entries):
            chosen = sorted(
                (entry for entry in entries if (entry.pattern, entry.precision) == kind), key=lambda entry: entry.p50_ms
            )
            marker = next(style)
            figure.add_trace(
                go.Scatter(
                    name=label(f"{one.name}: {' '.join(kind)}"),
                    x=[entry.p50_ms for entry in chosen],
                    y=[entry.capacity for entry in chosen],
                    mode="lines+markers",
                    marker={
                        "color": marker["color"],
                        "size": 9,
                        "symbol": [marker["symbol"] + ("" if entry.inside else "-open") for entry in chosen],
                    },
                    line={"color": marker["color"], "width": 1},
                    hovertemplate="%{y:.1%}, %{x:.3g} ms<extra></extra>",
                )
            )
            rows += [
                (one.name, *kind, f"{entry.capacity:.1%}", entry.p50_ms, entry.upper_ms, entry.size_mb,
                 "inside" if entry.inside else "outside", entry.source, entry.n)
                for entry in chosen
            ]  # fmt: skip
    if not rows:
        return None
    figure.update_yaxes(tickformat=".0%", rangemode="tozero")
    figure.update_xaxes(type="log", minor={"showgrid": False})
    columns = (
        "artifact", "pattern", "precision", "capacity", "p50 ms", "bound ms", "MB", "budget", "source", "n",
    )  # fmt: skip
    text = "All candidates that the searches built. Open markers are outside of the budget."
    return Section("candidates", "Candidates of the search", text, figure, more=(Table("", columns, tuple(rows)),))


def distributions(sources: Sources) -> Section | None:
    """The share of inferences that took at most so long, for each case; None without samples."""
    go, figure = graph_objects(), new_figure("ms", "share of inferences")
    rows: list[tuple[Cell, ...]] = []
    shares = np.linspace(0, 1, _POINTS)
    for style, result in zip(styles(), filter(_timed, sources.newest.values()), strict=False):
        samples = np.concatenate(result.samples_ms)
        # Every point is a sample: nothing is interpolated.
        times = np.quantile(samples, shares, method="inverted_cdf")
        figure.add_trace(
            go.Scatter(
                name=label(result.name),
                x=times.tolist(),
                y=shares.tolist(),
                mode="lines",
                line={"color": style["color"], "shape": "hv"},
                hovertemplate="%{y:.0%} within %{x:.3g} ms<extra></extra>",
            )
        )
        found = [float(np.quantile(samples, share, method="inverted_cdf")) for share in (0.5, 0.9, 0.99)]
        rows.append((result.name, result.device, *found, float(samples.max()), len(samples), len(result.samples_ms)))
    if not rows:
        return None
    figure.update_yaxes(tickformat=".0%", range=[0, 1.02])
    figure.update_xaxes(type="log", minor={"showgrid": False})
    columns = ("case", "device", "p50 ms", "p90 ms", "p99 ms", "longest ms", "n", "processes")
    text = "The newest samples of each case, of all processes together. A steep line means a steady latency."
    return Section("distributions", "Distribution of latencies", text, figure, more=(Table("", columns, tuple(rows)),))


def history(sources: Sources) -> Section | None:
    """The median of each case over the runs, as a multiple of the anchor; None with fewer than two runs."""
    go, figure = graph_objects(), new_figure("run", "median latency / the anchor's")
    rows: list[tuple[Cell, ...]] = []
    names = dict.fromkeys(result.name for run in sources.runs for result in run.results)
    for style, name in zip(styles(), names, strict=False):
        found = [
            (run.created, ratio, result)
            for run in sources.runs
            for result in run.results
            if result.name == name and (ratio := _to_anchor(result)) is not None
        ]
        figure.add_trace(
            go.Scatter(
                name=label(name),
                x=[created for created, _, _ in found],
                y=[ratio for _, ratio, _ in found],
                mode="lines+markers",
                marker={**style, "size": 9},
                line={"color": style["color"]},
                hovertemplate="%{x}<br>%{y:.3g} x the anchor<extra></extra>",
            )
        )
        rows += [
            (
                created,
                name,
                result.status,
                result.device,
                None if result.latency is None else result.latency.p50_ms,
                ratio,
            )
            for created, ratio, result in found
        ]
    if len({row[0] for row in rows}) <= 1:
        return None
    figure.update_yaxes(rangemode="tozero")
    columns = ("run", "case", "result", "device", "p50 ms", "/ anchor")
    text = (
        "The anchor is a model that never changes. It is timed in turns with each artifact, so a machine that is slow "
        "for a while does not look like a slower artifact. prunnet-bench diff says which changes are more than noise."
    )
    return Section("history", "History", text, figure, more=(Table("", columns, tuple(rows)),))


def _timed(result: Result) -> bool:
    """Whether there are samples, and not those of an emulator, which say nothing about the device."""
    return bool(result.samples_ms) and (result.latency is None or not result.latency.emulated)


def _to_anchor(result: Result) -> float | None:
    if result.anchor is None or not _timed(result):
        return None
    own, anchor = (float(np.median(np.concatenate(runs))) for runs in (result.samples_ms, result.anchor.samples_ms))
    return own / anchor
