"""The first and the last section: what passed, and on which machines with which versions."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path
from urllib.parse import quote

from prunnet_export._numbers import significant
from prunnet_export._text import printable
from prunnet_export.artifact import MANIFEST, manifest_skips
from prunnet_export.benchmarks.page._section import Section
from prunnet_export.benchmarks.page._sources import Sources
from prunnet_export.reports import Cell, Table

_WORDS = {"passed": "passed", "failed": "FAILED", "error": "ERROR", "skipped": "skipped"}


def overview(sources: Sources) -> Section:
    """The newest run: one row for each case, and one for each gate that did not pass."""
    rows: list[tuple[Cell, ...]] = []
    gates: list[tuple[Cell, ...]] = []
    run = sources.runs[-1] if sources.runs else None
    for result in run.results if run else ():
        latency, verified = result.latency, result.verification
        rows.append(
            (
                result.name,
                _WORDS[result.status],
                "" if result.subnetwork is None else str(result.subnetwork),
                result.device,
                None if latency is None else f"p{latency.percentile:g} {significant(latency.percentile_ms)}",
                None if latency is None else latency.upper_ms,
                None if result.budget is None else result.budget.latency_ms,
                None if latency is None else f"{latency.source}, n {latency.n}",
                None if verified is None else verified.cross_r1,
                result.message,
            )
        )
        gates += [(result.name, one.name, "pass" if one.passed else "FAIL", one.message) for one in result.checks]
        gates += [(result.name, one.name, "skip", one.message) for one in result.skips]
    if run is None:
        rows = [
            (
                one.name,
                one.manifest.status,
                str(one.manifest.subnetwork),
                "export",
                f"p{one.manifest.latency.percentile:g} {significant(one.manifest.latency.percentile_ms)}",
                one.manifest.latency.upper_ms,
                one.manifest.budget.latency_ms,
                f"{one.manifest.latency.source}, n {one.manifest.latency.n}",
                one.manifest.verification.cross_r1,
                "; ".join(one.manifest.reasons),
            )
            for one in sources.artifacts
        ]
        gates += [
            (one.name, gate.name, "pass" if gate.passed else "FAIL", gate.found())
            for one in sources.artifacts
            for gate in one.manifest.verification.gates
        ]
        gates += [
            (one.name, skip.name, "skip", skip.message)
            for one in sources.artifacts
            for skip in manifest_skips(one.manifest)
        ]
    columns = ("case", "result", "subnetwork", "device", "ms", "bound ms", "budget ms", "source", "cross R@1", "reason")
    when = f"The newest run, of {run.created}." if run else "No run was given: these are the figures of the exports."
    counts = {word: sum(row[1] == word for row in rows) for word in dict.fromkeys(row[1] for row in rows)}
    text = f"{when} {', '.join(f'{count} {word}' for word, count in counts.items())}."
    cases = Table("", columns, tuple(rows))
    every = Table("Gates", ("case", "gate", "result", "figure"), tuple(gates))
    return Section("overview", "Results", text, tables=(cases,), more=(every,))


def environment(sources: Sources, page: Path) -> Section:
    """Machines, versions, and links to the manifests of the artifacts."""
    rows: list[tuple[Cell, ...]] = []
    for result in sources.newest.values():
        engine = "" if result.latency is None else f"{result.latency.runtime} {result.latency.runtime_version}"
        threads = None if result.latency is None else result.latency.threads
        rows.append((result.name, "" if result.machine is None else str(result.machine), engine, threads))
    rows += [
        (one.name, str(one.manifest.device or ""), f"{one.manifest.runtime.name} {one.manifest.runtime.version}", None)
        for one in sources.artifacts
    ]
    tools = sources.runs[-1].tools if sources.runs else {}
    tables = [Table("", ("case", "machine", "engine", "threads"), tuple(rows))]
    if tools:
        tables.append(Table("Versions on the host", ("package", "version"), tuple(tools.items())))
    links = "".join(_link(one.folder / MANIFEST, one.name, page) for one in sources.artifacts)
    html = f"<ul>{links}</ul>" if links else ""
    return Section("environment", "Machines and versions", "", tables=tables, html=html)


def _link(file: Path, name: str, page: Path) -> str:
    """A link that works as long as page and artifact keep their places to each other."""
    relative = os.path.relpath(file.absolute(), page.absolute().parent)
    target = quote(relative.replace(os.sep, "/"), errors="surrogateescape")
    return f'<li><a href="{escape(target)}">manifest of {escape(printable(name))}</a></li>'
