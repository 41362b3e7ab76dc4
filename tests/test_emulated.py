"""An emulated machine runs and verifies files. Its times are shown as such, and never held against a budget."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from prunnet_export.artifact import Manifest, manifest_checks, read_manifest, verify_files
from prunnet_export.datasets import open_dataset
from prunnet_export.network import load_checkpoint
from tests._cli import assert_error, environment, shell, tiny_data, tiny_network
from tests._shims import with_shim
from tests.search._exports import Workshop, predicted_export

__all__ = ["environment", "tiny_data", "tiny_network"]


@pytest.fixture
def emulated(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The environment of a command whose processor is emulated."""
    return with_shim(environment, "_as_emulated", tmp_path / "shim")


@pytest.fixture(scope="module")
def exported(tiny_network: Path, tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact with a predicted latency and alternatives, and a budget that no emulator would hold."""
    folder = tmp_path_factory.mktemp("exported")
    workshop = Workshop(load_checkpoint(tiny_network), open_dataset(str(tiny_data)), folder / "builds")
    return predicted_export(workshop).run(folder / "dist").folder


@pytest.fixture
def artifact(exported: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return shutil.copytree(exported, tmp_path / "dist")


def sources(document: Any) -> set[str]:
    """Every value of a field ``source`` that says where a time or a peak of memory is from."""
    if isinstance(document, list):
        return set().union(*map(sources, document))
    if not isinstance(document, dict):
        return set()
    own = {document["source"]} if isinstance(document.get("source"), str) else set()
    return own.union(*map(sources, document.values()))


def skipped(document: dict[str, Any]) -> set[str]:
    """The names of the limits and gates that a report says were not looked at, without the artifact's name."""
    return {one["name"].rpartition(": ")[2] for one in document["skipped"]}


def test_finish_does_not_choose(artifact: Path, emulated: dict[str, str]) -> None:
    before = read_manifest(artifact)
    assert before.alternatives
    ran = shell(emulated, "prunnet-export", "finish", artifact, "--threads=1", "--output-format=json")
    assert ran.code == 0, ran.err
    after = read_manifest(artifact)
    verify_files(artifact, after)
    assert (after.status, after.latency.source, after.memory) == ("verified", "emulated", None)
    assert after.latency.n > 0
    assert after.subnetwork == before.subnetwork
    assert (after.alternatives, after.frontier) == (before.alternatives, before.frontier)
    assert after.device is not None
    assert after.device.emulator == "shim"
    assert "Not measured: these are the times of an emulator" in (artifact / "README.md").read_text("utf-8")
    document = json.loads(ran.out)
    assert "latency budget" in skipped(document)
    assert sources(document["latency"]) == {"emulated"}
    assert sources(document["frontier"]) == {"predicted"}
    names = {check.name for check in manifest_checks(after)}
    assert "parity" in names
    assert "latency budget" not in names


def test_the_real_device_still_chooses(
    artifact: Path, emulated: dict[str, str], environment: dict[str, str], tmp_path: Path
) -> None:
    assert shell(emulated, "prunnet-export", "finish", artifact, "--threads=1").code == 0
    others = len(read_manifest(artifact).alternatives)
    _with_budget(artifact, latency_ms=1e-6)
    ran = shell(environment, "prunnet-export", "finish", artifact, "--threads=1", f"--out={tmp_path / 'real'}")
    assert ran.code == 1, ran.err  # no candidate takes so little time
    assert "emulated" not in ran.out  # the emulator's time is no expectation
    real = read_manifest(next(tmp_path.glob("real*")))
    assert real.latency.source == "measured"
    assert len(real.frontier) == 1 + others


def test_a_rejection_does_not_call_its_time_measured(artifact: Path, emulated: dict[str, str], tmp_path: Path) -> None:
    _with_budget(artifact, size_mb=1e-6)
    ran = shell(emulated, "prunnet-export", "finish", artifact, "--threads=1", f"--out={tmp_path / 'out'}")
    assert ran.code == 1
    assert "measured" not in ran.err
    assert "hint: export again with other limits" in ran.err


def _with_budget(artifact: Path, **limits: float) -> None:
    """Give an artifact another budget."""
    file = artifact / "manifest.json"
    manifest = msgspec.json.decode(file.read_bytes(), type=Manifest)
    budget = msgspec.structs.replace(manifest.budget, **limits)
    file.write_bytes(msgspec.json.encode(msgspec.structs.replace(manifest, budget=budget)))


def test_bench_shows_its_times_and_judges_none(artifact: Path, emulated: dict[str, str], tmp_path: Path) -> None:
    _with_budget(artifact, latency_ms=1e-6)
    ran = shell(emulated, "prunnet-bench", artifact, f"--results={tmp_path / 'results'}", "--output-format=json")
    assert ran.code == 0, ran.err
    document = json.loads(ran.out)
    [one] = document["artifacts"]
    assert (one["latency"]["source"], one["peak_mb"]) == ("emulated", None)
    assert one["latency"]["n"] > 0
    assert skipped(document) >= {"latency budget"}
    assert all(check["passed"] for check in document["checks"])
    assert '"source": "measured"' not in ran.out
    ran = shell(emulated, "prunnet-bench", "latency", artifact)
    assert ran.code == 0, ran.err
    assert "emulated now" in ran.out
    assert "measured" not in ran.out
    [run] = (tmp_path / "results").glob("*.json")
    assert '"measured"' not in run.read_text("utf-8")
    again = shutil.copyfile(run, tmp_path / "again.json")
    ran = shell(emulated, "prunnet-bench", "diff", run, again)
    assert ran.code == 0, ran.err
    assert "the processor was emulated: its latency is not compared" in ran.out


@pytest.mark.parametrize("device", ["auto", "local"])
def test_what_has_to_be_measured(
    device: str, tiny_network: Path, tiny_data: Path, emulated: dict[str, str], tmp_path: Path
) -> None:
    words = [
        *("--target=x86-onnxruntime", f"--network={tiny_network}", f"--data={tiny_data}", "--budget-ms=1000"),
        *("--precision=fp32", "--min-recall=0", f"--device={device}", f"--out={tmp_path / 'out'}"),
    ]
    ran = shell(emulated, "prunnet-export", *words, "--require-measured", "--output-format=json")
    assert_error(ran, 3, in_json=True)
    assert "emulated (shim)" in ran.err
    assert not (tmp_path / "out").exists()
    ran = shell(emulated, "prunnet-export", *words)  # this target has no data sheet to predict with
    assert_error(ran, 3)
    assert "x86-onnxruntime cannot be measured here: no time is a measurement on" in ran.err
    assert "--calibration FILE" in ran.err


@pytest.mark.parametrize("words", [
    ["calibrate", "--target=x86-onnxruntime", "--backbone=resnet18"],
    ["training-cost"],
    ["peers", "--data=glyphs", "--steps=10"],
    ["plan", "IMAGES", "--match=VECTORS", "--backbone=resnet18"],
])  # fmt: skip
def test_commands_that_only_measure_refuse(
    words: list[str], tiny_data: Path, emulated: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    places = {"IMAGES": str(tiny_data), "--match=VECTORS": f"--match={tmp_path / 'absent.npz'}"}
    ran = shell(emulated, "prunnet-bench", *(places.get(word, word) for word in words), cwd=tmp_path / "empty")
    assert_error(ran, 3)
    assert "nothing can be measured on" in ran.err
    assert "emulated (shim)" in ran.err


def test_scripts_that_only_measure_refuse(emulated: dict[str, str], artifact: Path, tmp_path: Path) -> None:
    for script, word in (("gallery_search", tmp_path), ("query_path", artifact)):
        ran = shell(emulated, sys.executable, "-m", f"prunnet_export.benchmarks.{script}", word, cwd=tmp_path)
        assert_error(ran, 3)
        assert "emulated (shim)" in ran.err


def test_a_matrix_counts_the_cell_apart(artifact: Path, emulated: dict[str, str], tmp_path: Path) -> None:
    _with_budget(artifact, latency_ms=1e-6)
    file = tmp_path / "matrix.toml"
    device = '[[device]]\nlabel = "here"\naddress = "local"\ntargets = ["x86-onnxruntime"]\n'
    file.write_text(f'artifacts = ["{artifact}"]\n{device}')
    ran = shell(emulated, "prunnet-bench", "matrix", file, "--output-format=json", cwd=tmp_path)
    assert ran.code == 0, ran.err
    document = json.loads(ran.out)
    [cell] = document["results"]
    assert (cell["status"], cell["latency"]["source"]) == ("passed", "emulated")
    assert "latency budget" in skipped(document)
    assert "latency budget" not in {check["name"] for check in cell["checks"]}
