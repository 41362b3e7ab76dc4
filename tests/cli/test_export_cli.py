from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from prunnet_export.artifact import read_manifest
from prunnet_export.benchmarks.cli import command as bench
from prunnet_export.cli._command import command as export
from tests._cli import Ran, assert_error, call, shell, tree

Environment = dict[str, str]
Run = Callable[..., Ran]


@pytest.fixture
def run(environment: Environment, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process."""
    return lambda command, *args: call(capfd, command, environment, *args)


@pytest.fixture(scope="module")
def arguments(tiny_network: Path, tiny_data: Path) -> list[str]:
    """Arguments of an export whose gates an untrained network can pass."""
    return [
        "--target=x86-onnxruntime",
        f"--network={tiny_network}",
        f"--data={tiny_data}",
        "--min-recall=0",
        "--threads=1",
    ]


@pytest.fixture(scope="module")
def exported(
    arguments: list[str], environment: Environment, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Ran, Path]:
    """One whole export, and the folder of its artifact."""
    place = tmp_path_factory.mktemp("export") / "dist" / "tiny"
    ran = shell(environment, "prunnet-export", *arguments, "--budget-ms=1000", f"--out={place}", "--output-format=json")
    return ran, place


def test_an_export_that_fits(exported: tuple[Ran, Path]) -> None:
    ran, place = exported
    assert ran.code == 0, ran.err
    assert not [line for line in ran.err.splitlines() if not line.startswith("warning: the coefficient of")]
    report = json.loads(ran.out)
    assert report["chosen"]["capacity"] == 1
    assert report["chosen"]["pattern"] == "channel"
    assert 0 < report["latency"]["p90_ms"] <= report["latency"]["upper_ms"] <= 1000
    assert report["latency"]["n"] >= 30
    assert report["latency"]["source"] == "measured"
    verification = report["verification"]
    assert verification["cross_r1"] == verification["teacher_self_r1"]
    assert report["artifact"]["path"] == str(place)
    assert report["artifact"]["status"] == report["status"] == "verified"
    assert tree(place.parent) == [
        "tiny", "tiny/.gitattributes", "tiny/README.md", "tiny/golden", "tiny/golden/input.png",
        "tiny/golden/output.f32", "tiny/golden/pixels.u8", "tiny/manifest.json", "tiny/model.onnx",
        "tiny/verification.npz",
    ]  # fmt: skip


EDGE = """
import json, sys

BLOCKED = ("torch", "timm", "onnx", "onnxscript", "torch_pruning", "safetensors", "matplotlib", "openvino")

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None

sys.meta_path.insert(0, Blocker())
from prunnet_export import load

artifact = load(sys.argv[1], threads=1)
embeddings = artifact.embed(sys.argv[2:])
assert not set(BLOCKED) & set(sys.modules)
print(json.dumps(embeddings.tolist()))
"""


def test_a_device_without_torch_embeds_with_it(
    exported: tuple[Ran, Path], tiny_data: Path, environment: Environment
) -> None:
    images = sorted((tiny_data / "query").rglob("*.png"))
    ran = shell(environment, sys.executable, "-c", EDGE, exported[1], *images)
    assert ran.code == 0, ran.err
    embeddings = np.array(json.loads(ran.out))
    assert embeddings.shape == (len(images), 16)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)


def test_the_artifact_is_proved_again_from_its_files(exported: tuple[Ran, Path], environment: Environment) -> None:
    ran = shell(environment, "prunnet-bench", exported[1], "--output-format", "json")
    assert ran.code == 0, ran.err
    report = json.loads(ran.out)
    [artifact] = report["artifacts"]
    assert artifact["path"] == str(exported[1])
    assert artifact["verification"]["cross_r1"] == json.loads(exported[0].out)["verification"]["cross_r1"]
    assert all(check["passed"] for check in report["checks"])


DEVICE = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "timm", "onnx", "safetensors"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None

sys.meta_path.insert(0, Blocker())
from prunnet_export.benchmarks.cli import main
main()
"""


def test_the_artifact_is_proved_again_on_a_device(exported: tuple[Ran, Path], environment: Environment) -> None:
    ran = shell(environment, sys.executable, "-c", DEVICE, exported[1], "--output-format", "json")
    assert ran.code == 0, ran.err
    said = {check["name"].partition(": ")[2]: check["message"] for check in json.loads(ran.out)["checks"]}
    assert {"parity", "cross-test recall", "placement"} <= set(said)
    assert "counted at the export" in said["zeros kept"]
    assert "onnx is not installed: zeros and weights are not read again, only the file's hash is checked" in ran.err


@pytest.fixture
def copied(exported: tuple[Ran, Path], tmp_path: Path) -> Path:
    """A copy of the artifact that a test may damage."""
    place = tmp_path / "copy"
    place.mkdir()
    shutil.copytree(exported[1], place, dirs_exist_ok=True)
    return place


@pytest.mark.parametrize("name", ["model.onnx", "verification.npz", "README.md", "golden/output.f32"])
def test_one_flipped_byte_is_found(
    name: str, copied: Path, environment: Environment, capfd: pytest.CaptureFixture[str]
) -> None:
    content = bytearray((copied / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copied / name).write_bytes(content)
    ran = call(capfd, bench, environment, copied)
    assert_error(ran, 2)
    assert name in ran.err


@pytest.mark.parametrize("output_format", ["table", "json", "junit"])  # tests/reports renders the others
def test_output_formats_of_an_export(
    output_format: str, arguments: list[str], exported: tuple[Ran, Path], run: Run, tmp_path: Path
) -> None:
    assert exported[0].code == 0  # its builds are in the cache by now
    where = tmp_path / "out"
    ran = run(export, *arguments, "--budget-ms=1000", "--out", where, "--output-format", output_format)
    assert ran.code == 0, ran.err
    assert str(where) in ran.out or output_format == "junit"
    assert "cross-test recall" in ran.out
    if output_format == "json":
        json.loads(ran.out)
    if output_format == "junit":
        assert {suite.tag for suite in ET.fromstring(ran.out).iter()} >= {"testsuite", "testcase"}  # noqa: S314  # ours
    assert ran.out == ran.out.rstrip("\n") + "\n"
    if output_format == "table":
        assert "measured" in ran.out
        assert f"prunnet-bench {where}" in ran.out.splitlines()[-1]
    assert "\x1b" not in ran.out + ran.err


@pytest.fixture(scope="module")
def rejected(
    arguments: list[str], environment: Environment, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Ran, Path]:
    """An export in which no candidate fits, and the folder that was given."""
    place = tmp_path_factory.mktemp("rejected") / "tiny"
    ran = shell(
        environment, "prunnet-export", *arguments, "--budget-ms=0.001", f"--out={place}", "--output-format=json"
    )
    return ran, place


def test_an_export_that_nothing_fits(rejected: tuple[Ran, Path]) -> None:
    ran, place = rejected
    assert ran.code == 1, ran.err
    errors = [line for line in ran.err.splitlines() if not line.startswith("warning:")]
    assert [line.split(":")[0] for line in errors] == ["error", "hint"]
    report = json.loads(ran.out)
    assert report["status"] == "rejected"
    assert report["artifact"]["path"] == f"{place}.rejected"
    fastest = report["fastest"]
    assert fastest["upper_ms"] == min(entry["upper_ms"] for entry in report["frontier"])
    assert f"the fastest measured is {fastest['pattern']} {fastest['capacity']:.1%}" in errors[0]
    assert "would fit --budget-ms" in errors[1]
    manifest = read_manifest(place.with_name("tiny.rejected"))
    assert manifest.status == "rejected"
    assert "no capacity fits p90 <= 0.001 ms" in manifest.reasons[0]
    assert not place.exists()


def test_what_was_rejected_fails_again(
    rejected: tuple[Ran, Path], environment: Environment, capfd: pytest.CaptureFixture[str]
) -> None:
    ran = call(capfd, bench, environment, "latency", rejected[1].with_name("tiny.rejected"))
    assert ran.code == 1, ran.err
    assert "latency budget" in ran.err
    assert "FAIL" in ran.out


def test_a_dry_run_measures_and_writes_nothing(
    arguments: list[str], environment: Environment, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cache = {**environment, "PRUNNET_EXPORT_CACHE": str(tmp_path / "cache")}
    where = tmp_path / "out"
    ran = call(capfd, export, cache, *arguments, "--budget-ms=2", "--out", where, "--dry-run", "--output-format=json")
    assert ran.code == 0, ran.err
    report = json.loads(ran.out)
    assert report["dry_run"]
    assert [one["capacity"] for one in report["candidates"]][-1] == 1
    assert not [name for name in tree(tmp_path) if name != "cache"]
    human = call(capfd, export, cache, *arguments, "--budget-ms=2", "--out", where, "--dry-run")
    assert human.code == 0
    assert "nothing was measured or written" in human.out


def test_the_project_names_the_network_and_the_data(
    tiny_network: Path, tiny_data: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = f"[tool.prunnet-export]\nnetwork = '{tiny_network}'\ndata = '{tiny_data}'\n"
    (tmp_path / "pyproject.toml").write_text(settings)
    monkeypatch.chdir(tmp_path)
    words = ("--target=x86-onnxruntime", "--budget-ms=2", "--dry-run", "--output-format=json")
    ran = run(export, *words)
    assert ran.code == 0, ran.err
    report = json.loads(ran.out)
    assert report["network"]["path"] == str(tiny_network)
    assert report["data"] == f"folder {tiny_data.name}"
    assert "pyproject.toml" in report["network"]["because"]


def test_a_pattern_without_gain_is_said_to_have_none(
    arguments: list[str], environment: Environment, capfd: pytest.CaptureFixture[str]
) -> None:
    ran = call(capfd, export, environment, *arguments, "--budget-ms=2", "--pattern=unstructured", "--dry-run")
    assert ran.code == 0, ran.err
    assert "onnxruntime ignores unstructured zeros" in ran.err


def test_a_gallery_that_names_no_network_is_warned_of(
    arguments: list[str], environment: Environment, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "gallery.npy"
    np.save(file, np.eye(16, dtype=np.float32))
    ran = call(capfd, export, environment, *arguments, "--budget-ms=2", "--gallery", file, "--dry-run")
    assert ran.code == 0, ran.err
    assert f"{file} does not name its network" in ran.err


def test_a_bare_export_without_data_says_what_it_needs(
    arguments: list[str], environment: Environment, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [word for word in arguments if not word.startswith("--data")]
    ran = call(capfd, export, environment, *words, "--budget-ms=2", "--out", tmp_path / "out")
    assert_error(ran, 2)
    assert "--data" in ran.err
