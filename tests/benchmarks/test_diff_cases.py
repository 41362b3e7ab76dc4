"""Two results of one case: gates, figures, and conditions that differ."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from prunnet_export.benchmarks._diff_cases import CaseDiff, compare_case
from prunnet_export.benchmarks._results import CheckEntry, Result
from prunnet_export.budget import Budget
from tests.benchmarks._runs import MACHINE, anchor, failing, result, samples

replaced = msgspec.structs.replace


def compare(old: Result, new: Result, *, in_turns: bool = False) -> CaseDiff:
    return compare_case(old, new, threshold=0.05, in_turns=in_turns)


def failed(case: CaseDiff) -> list[str]:
    return [check.name for check in case.checks if not check.passed]


def test_the_same_result_again() -> None:
    case = compare(result(), result())
    assert (case.name, case.latency.verdict, case.notes, failed(case)) == ("tiny", "same", (), [])
    assert [check.name for check in case.checks] == ["latency", "latency budget", "parity"]


def test_a_slower_artifact() -> None:
    assert failed(compare(result(5), result(6))) == ["latency"]
    assert failed(compare(result(6), result(5))) == []


def test_a_gate_that_is_lost_and_one_that_failed_before() -> None:
    lost = compare(result(), failing(result(), "parity"))
    assert failed(lost) == ["parity"]
    [message] = [check.message for check in lost.checks if not check.passed]
    assert message == "it passed before: as asked"
    assert failed(compare(failing(result(), "parity"), failing(result(), "parity"))) == []
    assert failed(compare(failing(result(), "parity"), result())) == []


def test_a_gate_of_one_side_is_not_compared() -> None:
    more = CheckEntry(name="spread", passed=False, message="0.1")
    new = replaced(result(), checks=[*result().checks, more])
    assert failed(compare(result(), new)) == []


def test_a_latency_at_its_budget_may_fail_by_noise() -> None:
    assert failed(compare(result(5), failing(result(5.02), "latency budget"))) == []
    assert failed(compare(result(5), failing(result(6), "latency budget"))) == ["latency", "latency budget"]
    unjudged = failing(replaced(result(5), samples_ms=[]), "latency budget")
    assert failed(compare(result(5), unjudged)) == ["latency budget"]


def test_figures_with_their_change() -> None:
    verification = result().verification
    assert verification is not None
    worse = replaced(verification, cross_r1=0.8, self_map=None)
    new = replaced(result(), size_mb=1.5, peak_mb=None, verification=worse)
    figures = {figure.name: (figure.old, figure.new) for figure in compare(result(), new).figures}
    assert figures["size MB"] == (1.25, 1.5)
    assert figures["peak MiB"] == (12.5, None)
    assert figures["cross-test R@1"] == (0.91, 0.8)
    assert figures["parity"] == (0.99999, 0.99999)
    assert "parity" not in {figure.name for figure in compare(result(), replaced(new, verification=None)).figures}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"machine": replaced(MACHINE, cpu="Another", id="1" * 12)}, "another kind of machine (cpu A CPU before"),
        ({"machine": replaced(MACHINE, quota=1.5, id="1" * 12)}, "another kind of machine (quota None before"),
        ({"threads": 2}, "1 threads before and 2 threads now"),
        ({"threads": None}, "1 threads before and the runtime's own threads now"),
        ({"runtime": "openvino"}, "onnxruntime before and openvino now"),
    ],
)
def test_latencies_that_cannot_be_compared(fields: dict[str, Any], reason: str) -> None:
    case = compare(result(5), result(9, **fields))
    assert case.latency.verdict == "not judged"
    assert "latency" not in {check.name for check in case.checks}
    [note] = case.notes
    assert note.startswith(reason)
    assert failed(compare(result(5), failing(result(9, **fields), "parity"))) == ["parity"]


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        (
            {"runtime_version": "2.0"},
            "onnxruntime 1.32.0 before and onnxruntime 2.0 now: a change that slows the anchor",
        ),
        ({"machine": replaced(MACHINE, system="Linux 7", id="1" * 12)}, "system Linux 6.1 before and Linux 7 now"),
        ({"machine": None}, "the machine is not known"),
        ({"anchor": None}, "without an anchor on both sides"),
        ({"anchor": anchor(name="anchor-2")}, "anchor-1 before and anchor-2 now"),
    ],
)
def test_conditions_that_the_reader_has_to_know(fields: dict[str, Any], note: str) -> None:
    case = compare(result(5), result(6, **fields))
    assert failed(case) == ["latency"]
    [found] = case.notes
    assert found.startswith(note)


def test_artifacts_in_turns_need_no_anchor_and_may_have_other_runtimes() -> None:
    old, new = result(5, anchor=None), result(6, anchor=None, runtime="openvino")
    case = compare(old, new, in_turns=True)
    assert failed(case) == ["latency"]
    assert case.notes == ("onnxruntime 1.32.0 before and openvino 1.32.0 now",)


def test_the_percentile_is_the_one_of_the_new_budget() -> None:
    case = compare(result(), result(budget=Budget(latency_ms=9, percentile=95)))
    assert [change.percentile for change in case.latency.changes] == [5, 50, 95]
    assert [change.percentile for change in compare(result(), result(budget=None)).latency.changes] == [5, 50, 90]


def test_predicted_latencies_have_no_samples() -> None:
    case = compare(result(), replaced(result(), samples_ms=[], anchor=None))
    assert case.latency.verdict == "not judged"
    assert case.notes[0].startswith("there are no samples on both sides")


def test_an_error_after_a_result_is_a_regression() -> None:
    error = Result(name="tiny", status="error", exit_code=2, message="the manifest is missing")
    case = compare(result(), error)
    assert failed(case) == ["measured"]
    assert case.checks[0].message.endswith("now there is an error: the manifest is missing")
    for old, new in ((error, error), (error, result())):
        assert compare(old, new).checks == ()


def test_a_skipped_case_is_neither_passed_nor_failed() -> None:
    skipped = Result(name="tiny", status="skipped", exit_code=3, message="the board does not answer")
    case = compare(result(), skipped)
    assert (case.checks, case.figures) == ((), ())
    assert case.notes == ("skipped now: the board does not answer",)


def test_a_machine_that_became_busy_is_said() -> None:
    busy = result(9, samples_ms=samples(9, disturbed=0.5), anchor=anchor(disturbed=0.5))
    case = compare(result(), busy)
    assert failed(case) == []
    assert case.notes[0].endswith("measure again")


def test_latencies_of_other_queries_are_not_compared() -> None:
    before = result()
    assert before.latency is not None
    after = replaced(before, latency=replaced(before.latency, batch=8))
    case = compare(before, after)
    assert case.latency.verdict == "not judged"
    assert "batch 1, scope compute before and batch 8, scope compute now" in case.latency.reason
