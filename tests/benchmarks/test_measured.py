"""An artifact as a result: its samples, its anchor, its checks, or the error."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from prunnet_export._errors import InvalidInput, PrunnetError, Unreachable
from prunnet_export.artifact import Manifest
from prunnet_export.benchmarks import _remeasure
from prunnet_export.benchmarks._measured import artifact_path, case_names, error_result, measured_result
from prunnet_export.benchmarks._remeasure import SAMPLES, remeasure
from prunnet_export.benchmarks._results import Result
from prunnet_export.building import ANCHOR
from prunnet_export.devices import Device, LocalDevice
from prunnet_export.devices._protocol import LatencyRequest, Reply, Request
from prunnet_export.runtimes import find_runtime


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PRUNNET_EXPORT_CACHE", str(tmp_path / "cache"))
    _remeasure._without_anchor.cache_clear()
    yield
    _remeasure._without_anchor.cache_clear()


def measure(folder: Path, device: Device | None = None, *, home: Path | None = None, anchor: bool = True) -> Result:
    machine = device or LocalDevice()
    try:
        found = remeasure(folder, machine, threads=1, verify_too=False, anchor=anchor)
    except PrunnetError as error:
        return error_result(error, name="case", label="local", seconds=1.0, folder=folder, home=home)
    return measured_result(found, machine, name="case", label="local", seconds=1.0, home=home)


def test_the_anchor_is_measured_in_turns_with_the_artifact(
    make_artifact: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, asked = 3, list[str]()
    monkeypatch.setattr(_remeasure, "RUNS", runs)  # for the time that the test takes

    class Watched(LocalDevice):
        def run(self, request: Request, *, timeout: float = 60) -> Reply:
            if isinstance(request, LatencyRequest):
                asked.append("anchor" if "cache" in request.model else "artifact")
            return super().run(request, timeout=timeout)

    result = measure(make_artifact(), Watched(), home=tmp_path)
    assert asked == ["anchor", *["artifact", "anchor"] * runs]  # the first is a try
    assert (result.name, result.status, result.exit_code, result.artifact) == ("case", "passed", 0, "dist/tiny")
    assert result.anchor is not None
    assert (result.anchor.name, result.anchor.runtime) == (ANCHOR, "onnxruntime")
    assert [len(run) for run in result.samples_ms] == [SAMPLES] * runs
    assert [len(run) for run in result.anchor.samples_ms] == [SAMPLES] * runs
    assert result.latency is not None
    assert (result.latency.n, result.latency.runs) == (runs * SAMPLES, runs)
    assert result.machine == LocalDevice().fingerprint()
    assert {check.name for check in result.checks} == {"latency budget", "size budget"}
    assert msgspec.json.decode(msgspec.json.encode(result), type=Result) == result


def test_a_failed_gate(make_artifact: Callable[..., Path], manifest: Manifest) -> None:
    tight = msgspec.structs.replace(manifest.budget, latency_ms=1e-6)
    result = measure(make_artifact(budget=tight), anchor=False)
    assert (result.status, result.exit_code, result.anchor) == ("failed", 1, None)
    assert result.message.startswith("latency budget: ")


def test_errors_are_results_too(make_artifact: Callable[..., Path], tmp_path: Path) -> None:
    missing = measure(tmp_path / "nosuch")
    assert (missing.status, missing.exit_code) == ("error", 2)
    assert missing.message
    assert missing.hint

    class Silent(LocalDevice):
        def run(self, _request: Request, *, timeout: float = 0) -> Reply:  # noqa: ARG002  # the interface
            raise Unreachable("the board does not answer", hint="is it on?")

    absent = measure(make_artifact(), Silent())
    assert (absent.status, absent.exit_code, absent.message) == ("skipped", 3, "the board does not answer")


@pytest.mark.parametrize("reason", ["it does not compile", "it is not built", "it does not run"])
def test_without_an_anchor_there_is_one_warning(
    reason: str, make_artifact: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_arguments: object, **_more: object) -> None:
        raise InvalidInput("the compiler is missing")

    folder = make_artifact()
    monkeypatch.setattr(_remeasure, "RUNS", 1)
    if reason == "it does not compile":
        monkeypatch.setattr(_remeasure, "build_anchor", refuse)
    elif reason == "it does not run":
        monkeypatch.setattr(_remeasure, "measure_samples", refuse)
    else:
        runtime = type(find_runtime("onnxruntime"))
        monkeypatch.setattr(runtime, "built", lambda _runtime, model: "cache" not in str(model.file))
    with caplog.at_level(logging.WARNING):
        results = [measure(folder), measure(folder)]
    assert [(result.status, result.anchor) for result in results] == [("passed", None)] * 2
    [record] = caplog.records
    assert record.getMessage().startswith("anchor-1 is not measured with onnxruntime (")


def test_names_of_cases() -> None:
    assert case_names([Path("a/x"), Path("b/y/")]) == ["x", "y"]
    assert case_names([Path("a/x"), Path("b/x"), Path("y")]) == ["a/x", "b/x", "y"]
    assert case_names([Path()]) == [Path.cwd().name]


def test_the_path_of_an_artifact() -> None:
    assert artifact_path(Path("results/cells/a"), Path("results")) == "cells/a"
    assert artifact_path(Path("dist/a"), Path("results")) == "dist/a"
    assert artifact_path(Path("dist/a"), None) == "dist/a"
