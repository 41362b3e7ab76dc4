"""The command: its sides, formats and exit codes, and input that is wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from prunnet_export.benchmarks import _diff, _diff_sides
from prunnet_export.benchmarks._history import append_run
from prunnet_export.benchmarks._remeasure import RUNS
from prunnet_export.benchmarks._results import Result
from prunnet_export.benchmarks.cli import command as bench
from prunnet_export.devices import LocalDevice
from prunnet_export.devices._protocol import LatencyReply, LatencyRequest, Reply, Request
from tests._cli import Ran, assert_error, call
from tests.benchmarks._runs import failing, result

Environment = dict[str, str]
Diff = Callable[..., Ran]


@pytest.fixture
def diff(environment: Environment, capfd: pytest.CaptureFixture[str]) -> Diff:
    """Runs ``prunnet-bench diff``."""
    return lambda *words: call(capfd, bench, environment, "diff", *words)


@pytest.fixture
def store(tmp_path: Path) -> Callable[..., Path]:
    """Stores results as a run."""

    def append(folder: str, *results: Result, created: str = "2026-11-29T18:00:00Z") -> Path:
        return append_run(tmp_path / folder, results, created=created)

    return append


def test_noise_is_silent(diff: Diff, store: Callable[..., Path]) -> None:
    ran = diff(store("old", result()), store("new", result(5.1)))
    assert (ran.code, ran.err) == (0, "")
    assert "pass  tiny: latency: same: p5 1.020x" in ran.out


def test_a_regression_in_every_format(diff: Diff, store: Callable[..., Path]) -> None:
    old = store("old", result(), result(name="other"))
    new = store("new", failing(result(6), "parity"), result(name="other"))
    ran = diff(old, new, "--output-format=json")
    assert ran.code == 1
    error, hint = ran.err.splitlines()
    assert error.startswith("error: tiny: latency: slower: p5 1.200x")
    assert hint == "hint: 2 of 6 checks failed"
    document = json.loads(ran.out)
    assert [case["latency"]["verdict"] for case in document["cases"]] == ["slower", "same"]
    [fastest, *_] = document["cases"][0]["latency"]["changes"]
    assert fastest["ratio"]["low"] <= fastest["ratio"]["value"] <= fastest["ratio"]["high"]
    assert [check["name"] for check in document["checks"] if not check["passed"]] == ["tiny: latency", "tiny: parity"]
    junit = diff(old, new, "--output-format=junit").out
    assert '<testsuite name="prunnet-bench diff" tests="6" failures="2" errors="0"' in junit
    assert "::error title=prunnet-bench diff%3A tiny%3A latency::slower" in diff(old, new, "--output-format=github").out
    assert "- **FAIL** tiny: latency" in diff(old, new, "--output-format=markdown").out
    table = diff(old, new).out
    assert "cross-test R@1" in table
    assert str(old) in table


def test_the_newest_run_of_a_folder(diff: Diff, store: Callable[..., Path], tmp_path: Path) -> None:
    store("old", result(5), created="2026-11-28T00:00:00Z")
    store("old", result(5), created="2026-11-29T00:00:00Z")
    store("new", result(5), created="2026-11-30T00:00:00Z")
    store("new", result(9), created="2026-11-30T00:00:01Z")
    assert diff(tmp_path / "old", tmp_path / "new").code == 1
    assert diff(tmp_path / "new", tmp_path / "new").code == 1  # its newest two
    assert diff(tmp_path / "old", tmp_path / "old").code == 0


def test_cases_of_one_side_are_listed(diff: Diff, store: Callable[..., Path]) -> None:
    old = store("old", result(), result(name="gone"))
    new = store("new", result(), result(name="made"))
    ran = diff(old, new)
    assert ran.code == 0
    assert "only before: gone\nonly now: made\n" in ran.out
    document = json.loads(diff(old, new, "--output-format=json").out)
    assert (document["only_old"], document["only_new"]) == (["gone"], ["made"])


def test_the_threshold(diff: Diff, store: Callable[..., Path]) -> None:
    old, new = store("old", result(5)), store("new", result(6))
    assert diff(old, new, "--threshold-percent=25").code == 0
    assert_error(diff(old, new, "--threshold-percent=-1"), 2)
    assert_error(diff(old, new, "--threshold-percent=nan"), 2)


def test_two_artifacts_are_measured_in_turns(
    diff: Diff, make_artifact: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Table(LocalDevice):
        """The second of two models takes other milliseconds than the first."""

        asked, second_ms = 0, 5.0

        def run(self, request: Request, *, timeout: float = 60) -> Reply:
            if isinstance(request, LatencyRequest):
                self.asked += 1
                ms = 5.0 if self.asked % 2 else self.second_ms
                return LatencyReply(samples=[ms] * 60, runtime_version="1")
            return super().run(request, timeout=timeout)

    table = Table()
    monkeypatch.setattr(_diff, "find_device", lambda _name: table)
    old, new = make_artifact("dist/old"), make_artifact("dist/new")
    for second_ms, code in ((5.0, 0), (5.5, 1), (4.0, 0)):
        table.asked, table.second_ms = 0, second_ms
        ran = diff(old, new, "--output-format=json")
        assert ran.code == code, ran.err
        assert table.asked == 2 * RUNS
    [case] = json.loads(ran.out)["cases"]
    assert (case["name"], case["latency"]["verdict"]) == ("new", "faster")
    assert {figure["name"] for figure in case["figures"]} >= {"size MB", "peak MiB", "cross-test R@1"}


def test_two_artifacts_on_this_machine(
    diff: Diff, make_artifact: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_diff_sides, "RUNS", 6)
    ran = diff(make_artifact("dist/old"), make_artifact("dist/new"), "--threads=1", "--threshold-percent=900")
    assert (ran.code, ran.err) == (0, "")


def test_artifacts_that_used_other_numbers_of_threads(
    diff: Diff, make_artifact: Callable[..., Path], manifest: object
) -> None:
    latency = msgspec.structs.replace(manifest.latency, threads=1)  # type: ignore[attr-defined]  # a Manifest
    ran = diff(make_artifact("dist/old"), make_artifact("dist/new", latency=latency))
    assert_error(ran, 2)
    assert "add --threads" in ran.err


def test_sides_of_two_kinds(diff: Diff, store: Callable[..., Path], make_artifact: Callable[..., Path]) -> None:
    for words in ((make_artifact(), store("new", result())), (store("new", result()), make_artifact())):
        ran = diff(*words)
        assert_error(ran, 2)
        assert "two of the same kind" in ran.err


def test_no_case_is_on_both_sides(diff: Diff, store: Callable[..., Path]) -> None:
    ran = diff(store("old", result(name="a")), store("new", result(name="b")))
    assert_error(ran, 2)
    assert "the first has a; the second has b" in ran.err


def test_folders_without_two_runs(diff: Diff, store: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    file = store("one", result())
    for words in ((tmp_path / "empty", file), (file, tmp_path / "empty"), (file.parent, file.parent)):
        assert_error(diff(*words), 2)


def test_a_file_that_is_no_run(diff: Diff, store: Callable[..., Path], tmp_path: Path) -> None:
    good = store("old", result())
    content = good.read_bytes()
    bad = tmp_path / "bad.json"
    for wrong in (
        b"",
        content[: len(content) // 2],
        content.replace(b'"version":1', b'"version":2', 1),
        content.replace(b'"format":"prunnet-bench-run"', b'"format":"another"', 1),
        content.replace(b'"size_mb":1.25', b'"size_mb":NaN', 1),
        content.replace(b'"size_mb":1.25', b'"size_mb":1e999', 1),
        content.replace(b'"samples_ms":[[', b'"samples_ms":[[-', 1),
        content.replace(b'"samples_ms":[[', b'"samples_ms":[[],[', 1),
        content.replace(b'"samples_ms":[[', b'"samples_ms":[[1e300,', 1),
        content.replace(b'"results":[', b'"results":[7,', 1),
        b"\xff\xfe",
        b"[" * 100_000,
    ):
        assert wrong != content
        bad.write_bytes(wrong)
        for words in ((bad, good), (good, bad)):
            assert_error(diff(*words), 2)
    ran = diff(bad, tmp_path / "nosuch")
    assert_error(ran, 2)
    os.mkfifo(tmp_path / "pipe")
    assert_error(diff(tmp_path / "pipe", good), 2)


def test_a_version_that_is_not_known_is_named(diff: Diff, store: Callable[..., Path]) -> None:
    old, new = store("old", result()), store("new", result())
    new.write_bytes(new.read_bytes().replace(b'"version":1', b'"version":2', 1))
    ran = diff(old, new)
    assert_error(ran, 2)
    assert "version 2" in ran.err


def test_a_case_that_is_there_twice(diff: Diff, store: Callable[..., Path]) -> None:
    ran = diff(store("old", result(), result()), store("new", result()))
    assert_error(ran, 2)
    assert "holds two results 'tiny'" in ran.err
