from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path

import msgspec
import pytest

from prunnet_export.artifact import ArtifactWriter, Manifest, load
from prunnet_export.benchmarks.cli import command as bench
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
