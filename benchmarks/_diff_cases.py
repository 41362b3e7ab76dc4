"""The comparison of two results of one case: its latency, its gates, and its figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prunnet_export.benchmarks._diff_latency import LatencyDiff, Timing, compare_latency
from prunnet_export.benchmarks._results import Result
from prunnet_export.devices import Fingerprint
from prunnet_export.measuring import LatencyReport
from prunnet_export.reports import Check

_LATENCY_BUDGET = "latency budget"
_MACHINE = ("cpu", "cores", "arch", "quota")  # fields of a fingerprint that make another kind of machine
_PERCENTILE = 90.0


@dataclass(frozen=True)
class Figure:
    """A figure before and now; None if it is not known."""

    name: str
    old: float | None
    new: float | None


@dataclass(frozen=True)
class CaseDiff:
    """The comparison of one case.

    Attributes:
        name: Name of the case.
        latency: The change of its latency.
        figures: Its other figures.
        checks: What passed before, and whether it does now.
        notes: What the reader has to know about the conditions.
    """

    name: str
    latency: LatencyDiff
    figures: tuple[Figure, ...]
    checks: tuple[Check, ...]
    notes: tuple[str, ...]


def compare_case(old: Result, new: Result, *, threshold: float, in_turns: bool) -> CaseDiff:
    """Compare two results of one case.

    Args:
        old: The result before.
        new: The result now.
        threshold: The smallest change of a latency that counts, e.g. 0.05 for 5 %.
        in_turns: Whether both were measured in turns.

    Raises:
        InvalidInput: a sample is not positive.
    """
    if not (_done(old) and _done(new)):
        return _undone(old, new)
    obstacle = _obstacle(old, new, in_turns=in_turns)
    notes: list[str] = []
    if obstacle:
        latency = LatencyDiff("not judged", obstacle)
    else:
        notes += _conditions(old, new, in_turns=in_turns)
        both_anchored = old.anchor is not None and new.anchor is not None and old.anchor.name == new.anchor.name
        at = _PERCENTILE if new.budget is None else new.budget.percentile
        before, after = (
            Timing(one.samples_ms, one.anchor.samples_ms if both_anchored and one.anchor else None)
            for one in (old, new)
        )
        latency = compare_latency(before, after, at=at, threshold=threshold, in_turns=in_turns)
    checks = []
    if latency.verdict != "not judged":
        checks.append(Check("latency", latency.verdict != "slower", f"{latency.verdict}: {latency}"))
    checks += _gates(old, new, latency)
    notes += [latency.reason] if latency.reason else []
    return CaseDiff(new.name, latency, tuple(_figures(old, new)), tuple(checks), tuple(notes))


def _done(result: Result) -> bool:
    return result.status in {"passed", "failed"}


def _undone(old: Result, new: Result) -> CaseDiff:
    """The comparison of a case that could not be made on one side. An error after a result is a regression."""
    latency = LatencyDiff("not judged")
    if _done(old) and new.status == "error":
        check = Check("measured", False, f"it was measured before, and now there is an error: {new.message}")
        return CaseDiff(new.name, latency, (), (check,), ())
    reasons = [f"{one.status} {when}: {one.message}" for one, when in ((old, "before"), (new, "now")) if not _done(one)]
    return CaseDiff(new.name, latency, (), (), tuple(reasons))


def _obstacle(old: Result, new: Result, *, in_turns: bool) -> str:
    """Why two latencies cannot be compared; empty if they can."""
    before, after = old.latency, new.latency
    if before is None or after is None or not old.samples_ms or not new.samples_ms:
        return "there are no samples on both sides: its latency is not compared"
    if before.emulated or after.emulated:
        return "the processor was emulated: its latency is not compared"
    return _unlike_terms(before, after, in_turns=in_turns) or _unlike_machines(old.machine, new.machine)


def _unlike_terms(before: LatencyReport, after: LatencyReport, *, in_turns: bool) -> str:
    """Which terms of two latencies differ, so that they cannot be compared; empty if none does."""
    if before.runtime != after.runtime and not in_turns:
        return f"{before.runtime} before and {after.runtime} now: its latency is not compared"
    if before.threads != after.threads:
        return f"{_threads(before.threads)} before and {_threads(after.threads)} now: its latency is not compared"
    if before.query != after.query:
        return f"{before.query} before and {after.query} now: its latency is not compared"
    return ""


def _unlike_machines(old: Fingerprint | None, new: Fingerprint | None) -> str:
    """What differs between two machines, so that their latencies cannot be compared; empty if nothing does."""
    if old is None or new is None:
        return ""
    differences = [
        f"{name} {getattr(old, name)} before and {getattr(new, name)} now"
        for name in _MACHINE
        if getattr(old, name) != getattr(new, name)
    ]
    return f"another kind of machine ({', '.join(differences)}): its latency is not compared" if differences else ""


def _conditions(old: Result, new: Result, *, in_turns: bool) -> Iterator[str]:
    """Conditions that differ, or are not known, although the latencies are compared."""
    before, after = old.latency, new.latency
    if before is None or after is None:
        return
    versions = [f"{one.runtime} {one.runtime_version}" for one in (before, after)]
    if versions[0] != versions[1]:
        yield f"{versions[0]} before and {versions[1]} now" + (
            "" if in_turns else ": a change that slows the anchor too does not show"
        )
    if in_turns:
        return
    if old.anchor is None or new.anchor is None:
        yield "without an anchor on both sides, changes of the machine count too"
    elif old.anchor.name != new.anchor.name:
        yield f"{old.anchor.name} before and {new.anchor.name} now: changes of the machine count too"
    if old.machine is None or new.machine is None:
        yield "the machine is not known"
    elif old.machine.id != new.machine.id:
        yield from _software(old.machine, new.machine)


def _software(old: Fingerprint, new: Fingerprint) -> Iterator[str]:
    for name in ("system", "python"):
        if getattr(old, name) != getattr(new, name):
            yield f"{name} {getattr(old, name)} before and {getattr(new, name)} now"


def _threads(threads: int | None) -> str:
    return "the runtime's own threads" if threads is None else f"{threads} threads"


def _gates(old: Result, new: Result, latency: LatencyDiff) -> Iterator[Check]:
    """A check for each check of both sides. It fails if that one passed before and does not now.

    A latency close to its budget may pass and fail by chance. So that check counts only if the latency is not judged.
    """
    before = {check.name: check for check in old.checks}
    for check in new.checks:
        if check.name not in before:
            continue
        lost = before[check.name].passed and not check.passed
        if check.name == _LATENCY_BUDGET and lost and latency.verdict in {"same", "faster"}:
            yield Check(check.name, True, f"{check.message}; over the budget by no more than noise")
        elif lost:
            yield Check(check.name, False, f"it passed before: {check.message}")
        else:
            yield Check(check.name, True, check.message if check.passed else f"it failed before too: {check.message}")


def _figures(old: Result, new: Result) -> Iterator[Figure]:
    yield Figure("size MB", old.size_mb, new.size_mb)
    yield Figure("peak MiB", old.peak_mb, new.peak_mb)
    before, after = old.verification, new.verification
    if before is None or after is None:
        return
    for name, field in (("cross-test R@1", "cross_r1"), ("cross-test mAP", "cross_map"), ("self-test R@1", "self_r1")):
        yield Figure(name, getattr(before, field), getattr(after, field))
    values = {gate.name: gate.value for gate in before.gates}
    yield from (Figure(gate.name, values[gate.name], gate.value) for gate in after.gates if gate.name in values)
