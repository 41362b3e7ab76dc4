"""The real command, in processes of its own, on this machine's targets. It is killed in the middle and goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from prunnet_export.benchmarks._history import run_files
from prunnet_export.benchmarks._results import read_results
from tests._cli import Ran, command_file
from tests._junit import assert_junit
from tests.benchmarks.matrix._cells import SILENT, matrix_text
from tests.devices._sshd import wait_until
from tests.reports.test_junit_schema import SCHEMAS

pytestmark = pytest.mark.slow
HERE = ("here", "local", ["x86-onnxruntime", "x86-openvino"])
Environment = dict[str, str]


@pytest.fixture(scope="module")
def home(tiny_network: Path, tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three matrices: one that holds, one with a budget that cannot hold, one with a silent board."""
    home = tmp_path_factory.mktemp("acceptance")
    for name, devices, ms in (
        ("holds", [HERE], (1e5, 2e5)),
        ("tight", [("here", "local", ["x86-onnxruntime"]), SILENT], (1e-6,)),
        ("silent", [SILENT], (50,)),
    ):
        (home / f"{name}.toml").write_text(matrix_text(tiny_network, tiny_data, devices, ms=ms), encoding="utf-8")
    return home


def start(home: Path, environment: Environment, name: str, *words: str) -> subprocess.Popen[str]:
    command = [command_file("prunnet-bench"), "matrix", f"{name}.toml", f"--out={name}", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=home, env=environment, stdout=pipe, stderr=pipe, text=True)


def run(home: Path, environment: Environment, name: str, *words: str) -> Ran:
    process = start(home, environment, name, "--output-format=junit", *words)
    out, err = process.communicate(timeout=900)
    return Ran(process.returncode, out, err)


def test_killed_in_the_middle_it_has_the_same_cells_and_the_finished_ones_byte_for_byte(
    home: Path, environment: Environment
) -> None:
    unfinished, kept = home / "holds" / "unfinished.json", dict[str, bytes]()
    for number, count in ((signal.SIGKILL, 1), (signal.SIGTERM, 2)):
        process = start(home, environment, "holds")
        wait_until(lambda count=count: len(results(unfinished)) >= count or process.poll() is not None, seconds=600)  # type: ignore[misc]  # noqa: B023
        time.sleep(1)  # in the middle of the next cell
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        assert process.returncode in {130, -number}, errors
        assert "Traceback" not in errors
        found = results(unfinished)
        assert len(found) >= count
        assert {name: found[name] for name in kept} == kept
        kept = found
    ran = run(home, environment, "holds")
    assert ran.code == 0, ran.err
    [stored] = run_files(home / "holds" / "results")
    assert {name: one for name, one in results(stored).items() if name in kept} == kept
    assert [one.name for one in read_results(stored).results] == [
        f"{target}/tiny/{ms}ms@here" for target in HERE[2] for ms in (100000, 200000)
    ]
    names = {case.get("name", "") for case in assert_junit(ran.out)}
    assert all(f"{name}: latency budget" in names for name in results(stored))
    if SCHEMAS:
        import xmlschema

        xmlschema.XMLSchema(str(SCHEMAS[-1])).validate(ran.out)


def results(file: Path) -> dict[str, bytes]:
    """The results in a file as they are written there, by name."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return {}
    document = json.loads(content)
    found = {
        one["name"]: json.dumps(one, separators=(",", ":"), ensure_ascii=False).encode()
        for one in document.get("run", document)["results"]
    }
    assert all(one in content for one in found.values())
    return found


def test_a_budget_that_cannot_hold_counts_more_than_an_absent_device(home: Path, environment: Environment) -> None:
    ran = run(home, environment, "tight")
    assert ran.code == 1
    suite = assert_junit(ran.out)
    assert (suite.get("errors"), suite.get("skipped")) == ("0", "1")
    failed = {case.get("name") for case in suite if case.find("failure") is not None}
    cell = "x86-onnxruntime/tiny/1e-06ms@here"
    assert failed >= {f"{cell}: export", f"{cell}: latency budget"}  # an untrained network may fail more
    assert (home / "tight/artifacts/here/x86-onnxruntime/tiny/1e-06ms.rejected").is_dir()


def test_a_device_that_is_not_there(home: Path, environment: Environment) -> None:
    assert run(home, environment, "silent").code == 3
    ran = run(home, environment, "silent", "--allow-skip")
    assert ran.code == 0
    assert assert_junit(ran.out).get("skipped") == "1"
