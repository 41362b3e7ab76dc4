from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import msgspec
import pytest

from prunnet_export.artifact import Manifest
from prunnet_export.benchmarks._results import AnchorEntry, CheckEntry, Result, Run, SkipEntry
from prunnet_export.benchmarks.matrix._report import counts, matrix_report
from prunnet_export.reports import render


@pytest.fixture
def run(manifest: Manifest) -> Run:
    """A cell that was measured and failed, one that was predicted, one with an error, and one that was skipped."""
    predicted = msgspec.structs.replace(manifest.latency, source="predicted", n=0, runs=0)
    return Run(
        created="2026-01-02T03:04:05Z",
        results=[
            Result(
                name="a@here",
                status="failed",
                exit_code=1,
                latency=manifest.latency,
                subnetwork=manifest.subnetwork,
                verification=manifest.verification,
                anchor=AnchorEntry(name="an", runtime="x", runtime_version="1", samples_ms=[[10.0, 10.0], [10.0]]),
                checks=[
                    CheckEntry(name="latency budget", passed=True, message="5 ms"),
                    CheckEntry(name="parity", passed=False, message="0.1"),
                ],
            ),
            Result(
                name="b@away",
                status="passed",
                latency=predicted,
                checks=[CheckEntry(name="latency budget (predicted)", passed=True, message="predicted")],
                skips=[SkipEntry(name="memory budget", message="not predicted")],
            ),
            Result(name="c@here", status="error", exit_code=2, message="no such folder", hint="look again"),
            Result(name="d@board", status="skipped", exit_code=3, message="it does not answer", hint="is it on?"),
        ],
    )


def test_a_test_case_for_each_gate_of_each_cell(run: Run) -> None:
    [suite] = ET.fromstring(render(matrix_report(run, []), "junit"))  # noqa: S314  # ours
    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "6",
        "failures": "1",
        "errors": "1",
        "skipped": "2",
    }
    assert [(case.get("name"), case[0].tag) for case in suite] == [
        ("a@here: latency budget", "system-out"),
        ("a@here: parity", "failure"),
        ("b@away: latency budget (predicted)", "system-out"),
        ("c@here", "error"),
        ("d@board", "skipped"),
        ("b@away: memory budget", "skipped"),
    ]


def test_what_was_predicted_is_counted_apart(run: Run) -> None:
    assert counts(run.results) == (
        "4 cells: 1 measured (0 passed, 1 failed), 1 predicted (1 passed, 0 failed), 1 with an error, 1 skipped"
    )


def test_the_table_shows_each_cell_and_the_checks_that_failed(run: Run) -> None:
    text = render(matrix_report(run, ["stored: there"], every_check=False), "table")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    assert [row[:2] for row in rows[1:]] == [
        ["a@here", "failed"],
        ["b@away", "passed"],
        ["c@here", "error"],
        ["d@board", "skipped"],
    ]
    measured = dict(zip(rows[0], rows[1], strict=True))
    assert (measured["source"], measured["cross R@1"]) == ("measured", "91.0%")
    assert run.results[0].latency is not None
    assert float(measured["x anchor"].removesuffix("x")) == pytest.approx(run.results[0].latency.p50_ms / 10, rel=0.01)
    assert rows[2][rows[0].index("source")] == "predicted"
    assert "FAIL  a@here: parity" in text
    assert "pass  " not in text
    assert text.endswith("stored: there\n")


def test_the_document_is_the_run(run: Run) -> None:
    document = json.loads(render(matrix_report(run, []), "json"))
    assert [one["name"] for one in document.pop("errors")] == ["c@here"]
    assert [one["name"] for one in document.pop("skipped")] == ["d@board", "b@away: memory budget"]
    assert document == msgspec.to_builtins(run)
