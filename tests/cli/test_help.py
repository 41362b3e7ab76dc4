from __future__ import annotations

import json
import re
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from xml.etree import ElementTree as ET

import click
import pytest

from prunnet_export.benchmarks.cli import command as bench
from prunnet_export.cli._command import command as export
from prunnet_export.cli._options import FORMATS
from prunnet_export.precision import BF16, FP16, FP32, INT8
from prunnet_export.reports._render import OUTPUT_FORMATS
from tests._cli import assert_error, call, shell

Environment = dict[str, str]
HEAVY = {"torch", "timm", "torch_pruning", "onnx", "onnxscript", "onnxruntime", "openvino", "safetensors", "matplotlib"}
COMMANDS = {
    "prunnet-export": "prunnet_export.cli",
    "prunnet-train": "prunnet_export.training.cli",
    "prunnet-bench": "prunnet_export.benchmarks.cli",
}

WATCHED = """
import atexit, importlib, json, sys
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))
module, sys.argv = sys.argv[1], sys.argv[2:]
importlib.import_module(module).main()
"""


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_imports_neither_torch_nor_a_runtime(name: str, option: str, environment: Environment) -> None:
    ran = shell(environment, sys.executable, "-c", WATCHED, COMMANDS[name], name, option)
    assert ran.code == 0, ran.err
    assert ran.out.startswith(f"Usage: {name}" if option == "--help" else f"{name}, version ")
    modules = set(json.loads(ran.err))
    assert "click" in modules
    assert not modules & {*HEAVY, "numpy", "PIL"}


def test_the_help_of_the_gates_says_whose_gallery_it_is_and_every_default() -> None:
    texts = {one.name: one.help for one in export.params if isinstance(one, click.Option) and one.help is not None}
    assert "the R@1 of the teacher's self-test" in texts["min_recall"]
    assert "the teacher's 10 nearest" in texts["min_overlap"]
    for precision in (FP32, FP16, BF16, INT8):
        [part] = [one for one in re.split(",|default:", texts["min_parity"]) if precision.name in one]
        assert f"{precision.parity:g} for" in part


def test_a_broken_plug_in_is_shown_and_breaks_nothing_else(
    environment: Environment, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = entry_points

    def with_a_broken_one(*, group: str) -> list[EntryPoint]:
        found = list(real(group=group))
        if group == "prunnet_export.targets":
            found.append(EntryPoint("broken", "no_such_module:TARGET", group))
        return found

    monkeypatch.setattr("prunnet_export._imports.entry_points", with_a_broken_one)
    ran = call(capfd, export, environment, "--list-targets", "--output-format", "json")
    states = {one["name"]: one["state"] for one in json.loads(ran.out)["targets"]}
    assert ran.code == 0
    assert "cannot be loaded from no_such_module:TARGET" in states["broken"]
    assert states["x86-onnxruntime"] == "runs here"
    refused = call(capfd, export, environment, "--target", "broken", "--budget-ms", "1")
    assert_error(refused, 2)
    assert "cannot be loaded" in refused.err


@pytest.mark.parametrize("name", COMMANDS)
def test_the_console_scripts_are_installed(name: str, environment: Environment) -> None:
    ran = shell(environment, name, "-h")
    assert (ran.code, ran.err) == (0, "")
    assert "--help" in ran.out


@pytest.mark.parametrize("word", ["check", "latency", "compat", "calibrate", "gallery", "matrix"])
def test_every_command_of_bench_explains_itself(
    word: str, environment: Environment, capfd: pytest.CaptureFixture[str]
) -> None:
    ran = call(capfd, bench, environment, word, "--help")
    assert (ran.code, ran.err) == (0, "")
    assert "--output-format" in ran.out


def test_the_exit_codes_are_documented(environment: Environment, capfd: pytest.CaptureFixture[str]) -> None:
    told = " ".join(call(capfd, export, environment, "--help").out.split())
    for part in ("0 inside the budget and verified", "1 a gate failed", "2 usage", "3 device", "70 a bug", "130 int"):
        assert part in told


def test_the_formats_on_offer_are_those_that_render() -> None:
    assert set(FORMATS) == set(OUTPUT_FORMATS)


@pytest.mark.parametrize("output_format", FORMATS)
@pytest.mark.parametrize(
    ("option", "words"),
    [("--list-targets", ("x86-onnxruntime", "x86-openvino")), ("--doctor", ("numpy", "onnxruntime"))],
)
def test_surveys_in_every_format(
    option: str, words: tuple[str, ...], output_format: str, environment: Environment, capfd: pytest.CaptureFixture[str]
) -> None:
    ran = call(capfd, export, environment, option, "--output-format", output_format)
    assert (ran.code, ran.err) == (0, "")
    if output_format in {"table", "json", "markdown"}:
        assert all(word in ran.out for word in words)
    if output_format == "junit":
        ET.fromstring(ran.out)  # noqa: S314  # ours
    assert "\x1b" not in ran.out


def test_targets_as_a_document(environment: Environment, capfd: pytest.CaptureFixture[str]) -> None:
    ran = call(capfd, export, environment, "--list-targets", "--output-format=json")
    targets = {target["name"]: target for target in json.loads(ran.out)["targets"]}
    target = targets["x86-onnxruntime"]
    assert target["runtime"] == "onnxruntime"
    assert target["patterns"] == ["channel"]
    assert target["state"] == "runs here"
    assert target["runtime_version"]


def test_the_doctor_knows_versions_and_places(
    environment: Environment, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cache = {**environment, "PRUNNET_EXPORT_CACHE": str(tmp_path / "cache")}
    found = json.loads(call(capfd, export, cache, "--doctor", "--output-format=json").out)
    assert found["packages"]["numpy"]
    engines = {"onnxruntime", "openvino", "mnn", "tensorrt", "tensorrt-rtx", "coremltools", "ai-edge-litert"}
    tools = {"torch", "timm", "torch-pruning", "onnx", "onnxscript", "nncf", "litert-torch", "ethos-u-vela"}
    assert engines | tools <= set(found["packages"])
    assert found["cache"] == str(tmp_path / "cache")
    assert found["python"] == sys.version.split()[0]


def test_debug_shows_the_traceback(environment: Environment, capfd: pytest.CaptureFixture[str]) -> None:
    quiet = call(capfd, export, environment, "--target=toaster", "--budget-ms=1")
    assert_error(quiet, 2)
    loud = call(capfd, export, environment, "--target=toaster", "--budget-ms=1", "--debug")
    assert loud.code == 2
    assert "Traceback" in loud.err
    assert loud.err.splitlines()[-2:] == quiet.err.splitlines()
