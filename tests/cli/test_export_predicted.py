"""The real command for a target that is not here: its latency is predicted and named so, a twin is verified."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import onnx
import pytest

from prunnet_export.artifact import read_manifest, verify_files
from prunnet_export.cli._command import command as export
from tests._cli import assert_error, call, shell, tree

Environment = dict[str, str]
pytestmark = pytest.mark.skipif(platform.machine() == "aarch64", reason="the target may be this machine")


@pytest.fixture(scope="module")
def words(tiny_network: Path, tiny_data: Path) -> list[str]:
    """Arguments of an export for a Jetson; recall has no limit, because the network is untrained."""
    given = [f"--network={tiny_network}", f"--data={tiny_data}", "--min-recall=0", "--output-format=json"]
    return ["--target=jetson", "--budget-ms=15", "--precision=fp16", *given]


def test_a_jetson_from_afar(words: list[str], environment: Environment, tmp_path: Path) -> None:
    place = tmp_path / "dist"
    ran = shell(environment, "prunnet-export", *words, f"--out={place}")
    assert ran.code == 0, ran.err
    assert "latencies are predicted, not measured" in ran.err
    report = json.loads(ran.out)
    assert (report["status"], report["built"], report["device"]) == ("verified", False, None)
    assert report["latency"]["source"] == "predicted"
    assert report["latency"]["n"] == 0
    assert {row["source"] for row in report["frontier"]} == {"predicted"}
    assert {row["pattern"] for row in report["frontier"]} == {"channel", "2:4", "channel+2:4"}
    assert report["verified_by"]["name"] == "onnxruntime"
    manifest = read_manifest(place)
    verify_files(place, manifest)
    weights = {tensor.data_type for tensor in onnx.load(place / manifest.entry).graph.initializer if tensor.dims}
    assert onnx.TensorProto.FLOAT16 in weights


def test_what_has_to_be_measured_is_not_predicted(
    words: list[str], environment: Environment, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ran = call(capfd, export, environment, *words, "--require-measured", f"--out={tmp_path / 'dist'}")
    assert_error(ran, 3, in_json=True)
    assert "jetson-orin-nano cannot be measured here" in ran.err
    assert tree(tmp_path) == []


def test_an_artifact_is_not_finished_on_another_machine(
    words: list[str], environment: Environment, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "dist"
    assert call(capfd, export, environment, *words, "--pattern=channel", f"--out={place}").code == 0
    before = tree(tmp_path)
    ran = call(capfd, export, environment, "finish", place)
    assert_error(ran, 3)
    assert "cannot be finished here" in ran.err
    assert tree(tmp_path) == before


def test_a_target_of_which_nothing_is_known(
    tiny_network: Path, tiny_data: Path, environment: Environment, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = (f"--network={tiny_network}", f"--data={tiny_data}", "--budget-ms=5", f"--out={tmp_path / 'dist'}")
    ran = call(capfd, export, environment, "--target=x86-onnxruntime", "--device=predicted", *given)
    assert ran.code == 3
    assert [line.partition(":")[0] for line in ran.err.splitlines()] == ["warning", "error", "hint"]
    assert "prunnet-bench calibrate --target x86-onnxruntime" in ran.err
    assert tree(tmp_path) == []
