from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path

import msgspec
import pytest

from prunnet_export._errors import Unreachable
from prunnet_export.artifact import ArtifactWriter, Manifest, load
from prunnet_export.benchmarks import _check, _remeasure
from prunnet_export.benchmarks._history import run_files
from prunnet_export.benchmarks._results import read_results
from prunnet_export.benchmarks.cli import command as bench
from prunnet_export.devices import Device
from prunnet_export.devices._protocol import Reply, Request
from prunnet_export.runtimes import find_runtime
from tests._cli import assert_error, call

Environment = dict[str, str]


def test_latency_alone_needs_no_reference(
    make_artifact: Callable[..., Path], environment: Environment, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = make_artifact()
    ran = call(capfd, bench, environment, "latency", folder, "--threads=1", "--output-format=json")
    assert (ran.code, ran.err) == (0, "")
    [artifact] = json.loads(ran.out)["artifacts"]
    assert artifact["verification"] is None
    assert artifact["latency"]["threads"] == 1
    assert artifact["latency"]["n"] >= 30


def test_several_artifacts_in_one_report(
    make_artifact: Callable[..., Path],
    manifest: Manifest,
    environment: Environment,
    capfd: pytest.CaptureFixture[str],
) -> None:
    tight = msgspec.structs.replace(manifest.budget, latency_ms=1e-6)
    folders = [make_artifact("dist/fits"), make_artifact("dist/slow", budget=tight)]
    ran = call(capfd, bench, environment, "latency", *folders, "--output-format=json")
    assert ran.code == 1
    assert ran.err.startswith("error: slow: latency budget")
    verdicts = {check["name"]: check["passed"] for check in json.loads(ran.out)["checks"]}
    assert verdicts["fits: latency budget"]
    assert not verdicts["slow: latency budget"]


def test_an_artifact_that_is_replaced_meanwhile_is_measured_to_its_end(
    make_artifact: Callable[..., Path],
    tiny_model: Callable[..., Path],
    manifest: Manifest,
    environment: Environment,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = make_artifact()
    dims, stop = (8, 24), threading.Event()

    def write(dim: int, number: int) -> None:
        network = msgspec.structs.replace(manifest.network, embedding_dim=dim)
        with ArtifactWriter(folder) as writer:
            shutil.copy(models[dim], writer.folder / "model.onnx")
            writer.finish(msgspec.structs.replace(manifest, network=network, size_mb=number / 1e6, files={}))

    def replace_all_the_time() -> None:
        for number in count(1):
            if stop.is_set():
                return
            write(dims[number % 2], number)

    models = {dim: tiny_model(dim=dim, name=f"{dim}.onnx") for dim in dims}
    writing = threading.Thread(target=replace_all_the_time)
    writing.start()
    try:
        for _ in range(3):
            ran = call(capfd, bench, environment, "latency", folder, "--threads=1", "--output-format=json")
            assert ran.code == 0, ran.err
            [line] = ran.err.splitlines()
            assert line.startswith(f"warning: {folder} was replaced meanwhile")
    finally:
        stop.set()
        writing.join()
    assert load(folder).dim in dims


@pytest.mark.parametrize("words", [(), ("check",)])
def test_a_path_is_short_for_check(
    words: tuple[str, ...],
    make_artifact: Callable[..., Path],
    environment: Environment,
    capfd: pytest.CaptureFixture[str],
) -> None:
    ran = call(capfd, bench, environment, *words, make_artifact())
    assert_error(ran, 2)
    assert "verification.npz is missing" in ran.err  # that is what check looks for, and latency does not


def test_a_command_wins_over_a_folder_of_its_name(
    tmp_path: Path, environment: Environment, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "latency").mkdir()
    monkeypatch.chdir(tmp_path)
    ran = call(capfd, bench, environment, "latency")
    assert_error(ran, 2)
    assert "ARTIFACT" in ran.err


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_damaged_artifact_leaves_the_report_of_the_others(
    place: int,
    make_artifact: Callable[..., Path],
    manifest: Manifest,
    environment: Environment,
    capfd: pytest.CaptureFixture[str],
) -> None:
    tight = msgspec.structs.replace(manifest.budget, latency_ms=1e-6)
    damaged = make_artifact("dist/damaged")
    (damaged / "manifest.json").write_bytes(b"{")
    folders = [make_artifact("dist/fits"), make_artifact("dist/slow", budget=tight)]
    folders.insert(place, damaged)
    ran = call(capfd, bench, environment, "latency", *folders, "--output-format=json")
    assert ran.code == 2  # before the 1 of the gate that failed
    document = json.loads(ran.out)
    assert [artifact["path"] for artifact in document["artifacts"]] == [str(f) for f in folders if f != damaged]
    assert not all(check["passed"] for check in document["checks"])
    [failure] = document["errors"]
    assert (failure["name"], failure["exit_code"]) == (str(damaged), 2)
    lines = ran.err.splitlines()
    assert lines == [f"error: {failure['message']}", f"hint: {failure['hint']}; 1 of 3 artifacts were not checked"]


class SilentBoard(Device):
    """A board that does not answer."""

    asked = 0

    def run(self, _request: Request, *, timeout: float = 0) -> Reply:  # noqa: ARG002  # the interface
        self.asked += 1
        raise Unreachable("the board does not answer", hint="is it on?")


def test_a_board_that_does_not_answer_is_asked_once(
    make_artifact: Callable[..., Path],
    environment: Environment,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    board = SilentBoard()
    monkeypatch.setattr(_check, "find_device", lambda _name: board)
    folders = [make_artifact("dist/a"), make_artifact("dist/b")]
    ran = call(capfd, bench, environment, "check", *folders, "--output-format=json")
    assert (ran.code, board.asked) == (3, 1)
    document = json.loads(ran.out)
    assert not document["artifacts"]
    assert [failure["name"] for failure in document["errors"]] == [str(folder) for folder in folders]
    assert ran.err.splitlines()[0] == "error: the board does not answer"


def test_a_failed_gate_is_worse_than_a_runtime_that_is_absent(
    make_artifact: Callable[..., Path],
    manifest: Manifest,
    environment: Environment,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tight = msgspec.structs.replace(manifest.budget, latency_ms=1e-6)
    folders = [make_artifact("dist/absent", runtime="openvino"), make_artifact("dist/slow", budget=tight)]
    monkeypatch.setattr(type(find_runtime("openvino")), "obstacle", lambda _runtime: "another processor")
    ran = call(capfd, bench, environment, "latency", *folders, "--output-format=json")
    assert [failure["exit_code"] for failure in json.loads(ran.out)["errors"]] == [3]
    assert ran.code == 1
    error, hint = ran.err.splitlines()
    assert error.startswith("error: slow: latency budget")
    assert hint.endswith("; 1 of 2 artifacts were not checked")


def test_a_run_is_stored(
    make_artifact: Callable[..., Path],
    environment: Environment,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(_remeasure, "RUNS", 2)  # for the time that the test takes
    results, folder = tmp_path / "results", make_artifact()
    words = ("latency", folder, tmp_path / "nosuch", "--threads=1", "--results", results)
    assert [call(capfd, bench, environment, *words).code for _ in range(2)] == [2, 2]
    files = run_files(results)
    assert len(files) == 2
    for file in files:
        measured, missing = read_results(file).results
        assert (measured.name, measured.status, measured.artifact) == ("tiny", "passed", str(folder))
        assert measured.anchor is not None
        assert (missing.name, missing.status, missing.exit_code) == ("nosuch", "error", 2)


def test_a_folder_of_results_that_cannot_be_made_is_found_before_anything_is_measured(
    make_artifact: Callable[..., Path],
    environment: Environment,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(_check, "remeasure", None)
    ran = call(capfd, bench, environment, "latency", make_artifact(), "--results", tmp_path / "file" / "results")
    assert_error(ran, 2)
    assert "cannot write" in ran.err


def test_an_artifact_that_is_missing_is_worse_than_a_runtime_that_is(
    make_artifact: Callable[..., Path],
    environment: Environment,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    folder = make_artifact()
    monkeypatch.setattr(type(find_runtime("onnxruntime")), "obstacle", lambda _runtime: "another processor")
    ran = call(capfd, bench, environment, "latency", folder, tmp_path / "nosuch", "--output-format=json")
    assert [failure["exit_code"] for failure in json.loads(ran.out)["errors"]] == [3, 2]
    assert ran.code == 2
