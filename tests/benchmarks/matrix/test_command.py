"""The command, from MATRIX.toml to the exit code. Its cells run in this process; one of them is really measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import msgspec
import pytest

from prunnet_export.artifact import read_manifest
from prunnet_export.benchmarks import _remeasure
from prunnet_export.benchmarks._history import run_files
from prunnet_export.benchmarks._results import CheckEntry, Result, read_results
from prunnet_export.benchmarks.cli import command as bench
from prunnet_export.benchmarks.matrix import _command
from prunnet_export.benchmarks.matrix._bench import Bench
from prunnet_export.benchmarks.matrix._cells import Cell
from prunnet_export.benchmarks.matrix._state import State
from tests._cli import Ran, assert_error, call, tree
from tests._junit import assert_junit
from tests.benchmarks.matrix._cells import HERE, SILENT, WriteMatrix

Environment = dict[str, str]
Run = Callable[..., Ran]
RunCell = Callable[[Bench, Cell], Result]


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs cells in this process."""

    def run_cells(queues: Sequence[Sequence[Cell]], *, at_once: int) -> Generator[Result, None, None]:
        assert at_once
        for queue in queues:
            here = Bench()
            for cell in queue:
                yield here.run(cell)

    monkeypatch.setattr(_command, "run_cells", run_cells)


@pytest.fixture
def run(environment: Environment, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a matrix in the folder ``out``."""

    def run(*words: str | Path) -> Ran:
        return call(capfd, bench, environment, "matrix", f"--out={tmp_path / 'out'}", *words)

    return run


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Cells of this machine pass without being made, unless their budget is below 1 ms; the names of those that ran."""
    names: list[str] = []
    really = Bench._run

    def pretend(bench: Bench, cell: Cell) -> Result:
        if cell.address != "local":
            return really(bench, cell)
        names.append(cell.name)
        passed = (cell.budget.latency_ms or 0) >= 1
        check = CheckEntry(name="latency budget", passed=passed, message="p90 1 ms")
        status, code = ("passed", 0) if passed else ("failed", 1)
        return Result(name=cell.name, status=status, exit_code=code, checks=[check], samples_ms=[[1 / 3, len(names)]])  # type: ignore[arg-type]  # one of the two

    monkeypatch.setattr(Bench, "_run", pretend)
    return names


def test_a_matrix_of_this_machine(
    run: Run, write_matrix: WriteMatrix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_remeasure, "RUNS", 2)
    monkeypatch.setattr(_remeasure, "SAMPLES", 20)
    # The budget is so large that a busy machine does not make the verdict unclear, which would add runs.
    ran = run(write_matrix(HERE, ms=(1e5,)), "--output-format=junit", "--also", "json", tmp_path / "run.json")
    assert ran.code == 0, ran.err
    cell = "x86-onnxruntime/tiny/100000ms@here"
    names = {case.get("name", "") for case in assert_junit(ran.out)}
    assert {f"{cell}: export", f"{cell}: latency budget", f"{cell}: parity"} <= names
    [stored] = run_files(tmp_path / "out" / "results")
    kept = read_results(stored)
    assert json.loads((tmp_path / "run.json").read_text("utf-8")) == json.loads(msgspec.json.encode(kept))
    [result] = kept.results
    assert (result.status, result.latency and result.latency.source) == ("passed", "measured")
    assert result.anchor is not None
    assert len(result.samples_ms) == len(result.anchor.samples_ms) == 2
    assert result.machine is not None
    manifest = read_manifest(stored.parent / result.artifact)
    assert (manifest.status, manifest.target) == ("verified", result.target)
    assert kept.tools["onnxruntime"]
    assert sorted(entry.name for entry in (tmp_path / "out").iterdir()) == ["artifacts", "results"]


@pytest.mark.usefixtures("pretended")
def test_a_failed_gate_counts_more_than_an_absent_device(run: Run, write_matrix: WriteMatrix) -> None:
    ran = run(write_matrix(HERE, SILENT, ms=(0.5,)), "--output-format=junit")
    assert ran.code == 1
    suite = assert_junit(ran.out)
    assert (suite.get("failures"), suite.get("errors"), suite.get("skipped")) == ("1", "0", "1")


def test_a_device_that_is_not_there(run: Run, write_matrix: WriteMatrix, tmp_path: Path) -> None:
    words = (write_matrix(SILENT, ms=(50, 5)), "--output-format=junit")
    ran = run(*words)
    assert ran.code == 3
    suite = assert_junit(ran.out)
    assert (suite.get("tests"), suite.get("skipped")) == ("2", "2")
    error, hint = ran.err.splitlines()
    assert error.startswith("error: raspberry-pi-5/tiny/50ms@board: ")
    assert "--allow-skip" in hint
    allowed = run(*words, "--allow-skip")
    assert (allowed.code, allowed.err) == (0, "")
    assert assert_junit(allowed.out).get("skipped") == "2"
    first, second = map(read_results, run_files(tmp_path / "out" / "results"))
    assert {one.status for one in [*first.results, *second.results]} == {"skipped"}


def test_a_target_of_another_machine_is_skipped(run: Run, write_matrix: WriteMatrix) -> None:
    ran = run(write_matrix(("here", "local", ["jetson"])))
    assert ran.code == 3
    assert "skip  jetson-orin-nano/tiny/50ms@here: jetson-orin-nano does not run here" in ran.out


def test_an_interrupted_run_goes_on(
    run: Run, pretended: list[str], write_matrix: WriteMatrix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, record = tmp_path / "out", State.record

    def record_one(state: State, result: Result) -> None:
        record(state, result)
        raise KeyboardInterrupt

    file = write_matrix(HERE, ms=(50, 60, 70))
    for count in (1, 2):
        with monkeypatch.context() as patched:
            patched.setattr(State, "record", record_one)
            assert run(file).code == 130
        results = json.loads((out / "unfinished.json").read_bytes())["run"]["results"]
        assert len(results) == count
    assert [entry.name for entry in out.iterdir()] == ["unfinished.json"]
    assert run(file).code == 0
    assert pretended == [f"x86-onnxruntime/tiny/{ms}ms@here" for ms in (50, 60, 70)]
    [stored] = run_files(out / "results")
    assert [one.name for one in read_results(stored).results] == pretended
    for result in results:
        assert json.dumps(result, separators=(",", ":")).encode() in stored.read_bytes()


@pytest.mark.usefixtures("pretended")
def test_a_changed_file_is_not_mixed_with_an_unfinished_run(
    run: Run, write_matrix: WriteMatrix, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(State, "finish", interrupt)
        assert run(write_matrix(HERE, ms=(50, 60))).code == 130
    file = write_matrix(HERE, ms=(50, 70))
    ran = run(file)
    assert_error(ran, 2)
    assert "budget.1.ms: 60.0 before, 70.0 now" in ran.err
    assert run(file, "--restart").code == 0


def interrupt(_state: State) -> None:
    raise KeyboardInterrupt


def test_a_cell_that_cannot_be_made_is_an_error(run: Run, write_matrix: WriteMatrix, tiny_data: Path) -> None:
    file = write_matrix(HERE)
    file.write_text(file.read_text("utf-8").replace(str(tiny_data), "nosuch"), "utf-8")
    ran = run(file, "--output-format=json", "--allow-skip")
    assert ran.code == 2
    [error] = json.loads(ran.out)["errors"]
    assert (error["name"], error["exit_code"]) == ("x86-onnxruntime/tiny/50ms@here", 2)
    assert "nosuch" in error["message"]


@pytest.mark.parametrize("words", [("nosuch.toml",), ("MATRIX.toml", "--device=nowhere")])
def test_wrong_usage_leaves_nothing(
    words: tuple[str, ...], run: Run, write_matrix: WriteMatrix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_matrix(HERE)
    monkeypatch.chdir(tmp_path)
    assert_error(run(*words), 2)
    assert tree(tmp_path) == ["MATRIX.toml"]
