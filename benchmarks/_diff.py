"""``prunnet-bench diff``: what became slower or worse between two runs, or two artifacts, by more than noise."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from prunnet_export._console import fail_line
from prunnet_export._errors import GateFailed, InvalidInput
from prunnet_export.benchmarks._diff_cases import CaseDiff, Figure, compare_case
from prunnet_export.benchmarks._diff_latency import Change
from prunnet_export.benchmarks._diff_sides import Side, is_artifact, measure_artifacts, read_runs
from prunnet_export.devices import find_device
from prunnet_export.reports import Report, Skip, Table, print_report


@dataclass(frozen=True)
class DiffOptions:
    """The options of ``diff``, as its help describes them."""

    old: Path
    new: Path
    threshold_percent: float
    device: str
    threads: int | None
    output_format: str


def diff(options: DiffOptions) -> int:
    """Compare two runs or two artifacts, and print the report; returns the exit code.

    Raises:
        InvalidInput: a side cannot be read, the sides are of different kinds, or no case is on both sides.
        MissingExtra: the runtime of an artifact is not installed.
        Unreachable: the runtime of an artifact cannot run here, or the device does not answer.
    """
    if not math.isfinite(options.threshold_percent):
        raise InvalidInput(f"--threshold-percent {options.threshold_percent}", hint="give a number of per cent")
    artifacts = [is_artifact(path) for path in (options.old, options.new)]
    if artifacts[0] != artifacts[1]:
        raise InvalidInput(
            f"{options.old} and {options.new} are an artifact and a stored run", hint="give two of the same kind"
        )
    if all(artifacts):
        device = find_device(options.device)
        old, new = measure_artifacts(options.old, options.new, device, label=options.device, threads=options.threads)
    else:
        old, new = read_runs(options.old, options.new)
    both = [name for name in new.results if name in old.results]
    if not both:
        raise InvalidInput(
            f"no case is in both {options.old} and {options.new}",
            hint=f"the first has {_names(old.results)}; the second has {_names(new.results)}",
        )
    threshold, in_turns = options.threshold_percent / 100, all(artifacts)
    cases = [
        compare_case(old.results[name], new.results[name], threshold=threshold, in_turns=in_turns) for name in both
    ]
    report = _report(old, new, cases, threshold_percent=options.threshold_percent)
    print_report(report, options.output_format)
    failed = [check for check in report.checks if not check.passed]
    if failed:
        fail_line(f"{failed[0].name}: {failed[0].message}", f"{len(failed)} of {len(report.checks)} checks failed")
    return GateFailed.exit_code if failed else 0


def _report(old: Side, new: Side, cases: Sequence[CaseDiff], *, threshold_percent: float) -> Report:
    only = {
        "only_old": [name for name in old.results if name not in new.results],
        "only_new": [name for name in new.results if name not in old.results],
    }
    checks = tuple(replace(check, name=f"{case.name}: {check.name}") for case in cases for check in case.checks)
    skips = tuple(Skip(f"{case.name}: latency", _unjudged(case)) for case in cases if _unjudged(case))
    footer = [f"{case.name}: {note}" for case in cases for note in case.notes if note not in _unjudged(case)]
    footer += [f"only before: {_names(only['only_old'])}"] if only["only_old"] else []
    footer += [f"only now: {_names(only['only_new'])}"] if only["only_new"] else []
    footer.append(f"before: {old.label}; now: {new.label}; a change of {threshold_percent:g} % or less does not count")
    latencies = tuple(_latency_row(case, change) for case in cases for change in case.latency.changes)
    figures = tuple(_figure_row(case, figure) for case in cases for figure in case.figures if _known(figure))
    columns = ("case", "percentile", "ms before", "ms now", "ratio", "95 % interval", "anchor's ratio", "verdict")
    tables = (
        Table("latency, relative to the anchor", columns, latencies),
        Table("figures", ("case", "figure", "before", "now", "change"), figures),
    )
    return Report(
        title="prunnet-bench diff",
        tables=tuple(table for table in tables if table.rows),
        checks=checks,
        document={
            "old": old.label,
            "new": new.label,
            "threshold_percent": threshold_percent,
            "cases": [_case_document(case) for case in cases],
            **only,
            "checks": list(map(asdict, checks)),
        },
        footer=tuple(footer),
        skips=skips,
    )


def _unjudged(case: CaseDiff) -> str:
    """Why the latency of a case was not judged; empty if it was."""
    if case.latency.verdict != "not judged" or any(check.name == "measured" for check in case.checks):
        return ""
    return case.latency.reason or "; ".join(case.notes) or "not judged"


def _latency_row(case: CaseDiff, change: Change) -> tuple[str | float | None, ...]:
    ratio = change.ratio
    return (
        case.name,
        f"p{change.percentile:g}",
        change.old_ms,
        change.new_ms,
        f"{ratio.value:.3f}",
        f"{ratio.low:.3f} to {ratio.high:.3f}",
        None if case.latency.anchor is None else f"{case.latency.anchor:.3f}",
        change.verdict,
    )


def _figure_row(case: CaseDiff, figure: Figure) -> tuple[str | float | None, ...]:
    old, new = figure.old, figure.new
    change = None if old is None or new is None else f"{new - old:+.3g}"
    return case.name, figure.name, old, new, change


def _known(figure: Figure) -> bool:
    return figure.old is not None or figure.new is not None


def _case_document(case: CaseDiff) -> dict[str, Any]:
    latency = case.latency
    return {
        "name": case.name,
        "latency": {
            "verdict": latency.verdict,
            "reason": latency.reason,
            "changes": list(map(asdict, latency.changes)),
            "anchor_ratio": latency.anchor,
            "disturbed": latency.disturbed,
        },
        "figures": [asdict(figure) for figure in case.figures if _known(figure)],
        "checks": list(map(asdict, case.checks)),
        "notes": list(case.notes),
    }


def _names(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
