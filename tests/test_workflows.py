"""The workflows, the action, and the example of a repository that uses them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from prunnet_export import __version__
from prunnet_export.benchmarks.cli import command as bench
from prunnet_export.benchmarks.matrix._cells import plan_cells
from prunnet_export.benchmarks.matrix._settings import read_matrix
from tests._tools import TOOLS, needs

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "ci-matrix"
WORKFLOWS = sorted([*ROOT.glob(".github/workflows/*.yml"), *EXAMPLE.glob(".github/workflows/*.yml")])
BASH = shutil.which("bash") or "bash"
LINTER = TOOLS / "node_modules" / "@tktco" / "node-actionlint" / "build" / "run-lint.js"


def read(file: Path) -> dict[Any, Any]:
    document = yaml.safe_load(file.read_text("utf-8"))
    assert isinstance(document, dict)
    return document


ACTION = read(ROOT / "action.yml")
REUSABLE = read(ROOT / ".github" / "workflows" / "hardware-matrix.yml")
NIGHTLY = read(EXAMPLE / ".github" / "workflows" / "nightly.yml")


def triggers(workflow: dict[Any, Any]) -> Any:
    """The triggers; YAML 1.1 takes the key ``on`` for a truth value."""
    return workflow[True]


def used(document: object) -> list[str]:
    """Every action that a document uses."""
    if isinstance(document, dict):
        own = [document["uses"]] if isinstance(document.get("uses"), str) else []
        return own + [one for value in document.values() for one in used(value)]
    return [one for value in document for one in used(value)] if isinstance(document, list) else []


@pytest.mark.parametrize("file", [*WORKFLOWS, ROOT / "action.yml"], ids=lambda file: str(file.relative_to(ROOT)))
def test_actions_of_others_have_a_tag(file: Path) -> None:
    for name in used(read(file)):
        assert name.startswith("./") or re.search(r"@v\d+(\.\d+)*$", name), name


def test_the_example_uses_the_version_of_this_tree() -> None:
    ours = [name for name in used(NIGHTLY) if name.startswith("OWNER/")]
    assert len(ours) == 2
    assert {name.rpartition("@")[2] for name in ours} == {f"v{__version__}"}
    assert NIGHTLY["jobs"]["every-device"]["with"]["tool-ref"] == f"v{__version__}"


def test_the_page_shows_what_the_example_has() -> None:
    page = (ROOT / "docs" / "matrix.md").read_text("utf-8")
    shown = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)]
    assert used(shown) == [name for name in used(NIGHTLY) if name.startswith("OWNER/")]
    called = dict(NIGHTLY["jobs"]["every-device"]["with"])
    del called["allow-skip"]
    assert shown[1]["jobs"]["every-device"]["with"] == called


@pytest.mark.parametrize("block", range(2))
def test_the_files_that_the_page_shows_can_be_read(block: int, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "matrix.md").read_text("utf-8")
    text = re.findall(r"```toml\n(.*?)```", page, flags=re.DOTALL)[block]
    (tmp_path / "MATRIX.toml").write_text(text, encoding="utf-8")
    matrix = read_matrix(tmp_path / "MATRIX.toml")
    assert matrix.budget[0].label == ("20ms", "kiosk")[block]


def test_the_example_gives_inputs_that_exist() -> None:
    called = NIGHTLY["jobs"]["every-device"]["with"]
    inputs = triggers(REUSABLE)["workflow_call"]["inputs"]
    assert set(called) <= set(inputs)
    assert {name for name, one in inputs.items() if one.get("required")} <= set(called)
    [_, ours] = NIGHTLY["jobs"]["here"]["steps"]
    assert set(ours["with"]) <= set(ACTION["inputs"])
    labels = {one.label for one in read_matrix(EXAMPLE / "MATRIX.toml").device}
    hosted = [one["device"] for one in json.loads(called["hosted"])]
    assert {*hosted, *json.loads(called["boards"]), ours["with"]["device"]} <= labels


def test_the_jobs_give_inputs_that_the_action_has() -> None:
    for job in REUSABLE["jobs"].values():
        *_, step = job["steps"]
        assert set(step["with"]) <= set(ACTION["inputs"])


def test_the_matrix_of_the_example_is_one(tmp_path: Path) -> None:
    file = EXAMPLE / "MATRIX.toml"
    cells = plan_cells(read_matrix(file), file, artifacts=tmp_path / "artifacts", results=tmp_path / "results").cells
    assert {cell.device for cell in cells} == {"x86", "arm64", "pi-5", "predicted"}


def scripts() -> dict[str, str]:
    return {step["name"]: step["run"] for step in ACTION["runs"]["steps"] if "run" in step}


@pytest.mark.parametrize("name", scripts())
def test_the_scripts_of_the_action_are_shell(name: str) -> None:
    done = subprocess.run([BASH, "-n"], input=scripts()[name], text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "${{" not in scripts()[name]  # an input in a script could be a command; inputs come as variables


def test_the_device_side_is_tried_on_other_systems() -> None:
    jobs = read(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]
    device = jobs["device"]
    assert {*device["needs"]} <= jobs.keys()
    assert device["strategy"]["matrix"]["system"] == ["windows-latest", "macos-latest"]
    script = "\n".join(step.get("run", "") for step in device["steps"])
    assert re.findall(r"pip install .*", script) == ['pip install "$(ls dist/*.whl)[onnxruntime]"']
    assert {"prunnet-bench", "prunnet-export finish", "prunnet_export.load"} <= set(
        re.findall(r"prunnet-bench|prunnet-export finish|prunnet_export\.load", script)
    )


def test_the_action_gives_options_that_the_command_has() -> None:
    script = scripts()["Run the matrix"]
    options = set(re.findall(r"(?<![\w-])--[a-z-]+", script))
    known = {word for option in bench.commands["matrix"].params for word in option.opts}
    assert options <= known
    assert {"--also", "--allow-skip", "--device", "--out"} <= options


def test_the_action_ends_as_the_command_does(tmp_path: Path) -> None:
    """The script runs with a command in place of ours that prints its words and ends with 1."""
    fake = tmp_path / "prunnet-export" / "bin" / "prunnet-bench"
    fake.parent.mkdir(parents=True)
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\necho "| table |" > out/report.md\nexit 1\n')
    fake.chmod(0o755)
    environment = {
        "PATH": "/usr/bin:/bin",
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "MATRIX": "MATRIX.toml",
        "DEVICE": "the pi",
        "OUT": "out",
        "ALLOW_SKIP": "true",
    }
    script = scripts()["Run the matrix"]
    done = subprocess.run(
        [BASH, "-e", "-o", "pipefail", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout.split("\n")[-4:] == ["--device", "the pi", "--allow-skip", ""]
    assert (tmp_path / "summary").read_text() == "| table |\n"


@pytest.mark.slow
@needs("ACTIONLINT", there=LINTER.exists())
@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: str(file.relative_to(ROOT)))
def test_actionlint_finds_nothing(file: Path) -> None:
    assert lint(file.read_text("utf-8")) == []


@pytest.mark.slow
@needs("ACTIONLINT", there=LINTER.exists())
def test_actionlint_finds_something_where_there_is_something() -> None:
    text = WORKFLOWS[0].read_text("utf-8").replace("runs-on: ubuntu-latest", "runs-on: ubuntu-newest")
    assert any("ubuntu-newest" in finding for finding in lint(text))


def lint(text: str) -> list[str]:
    """What actionlint says of a workflow."""
    node = shutil.which("node")
    assert node is not None, "node is not installed"
    source = (
        "const { runLint } = require(process.argv[1]);"
        "const text = require('fs').readFileSync(0, 'utf8');"
        "runLint(text, '<stdin>').then(found => console.log(JSON.stringify(found)));"
    )
    done = subprocess.run(
        [node, "-e", source, str(LINTER)], input=text, capture_output=True, text=True, check=True, timeout=60
    )
    return [one["message"] for one in json.loads(done.stdout) if one["message"]]
