from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from prunnet_export._errors import InvalidInput, StorageError, UsageError
from prunnet_export.benchmarks._history import run_files
from prunnet_export.benchmarks._results import Result, read_results
from prunnet_export.benchmarks.matrix._state import State, results_folder, tools_of

ORDER = ("a", "b", "c")
SETTINGS: dict[str, object] = {"budget": [{"ms": 5.0}], "device": [{"label": "here", "targets": ["x", "y"]}]}
TOOLS = {"numpy": "2.0"}


def begun(out: Path, **changed: object) -> State:
    fields = {"settings": SETTINGS, "order": ORDER, "tools": TOOLS, "restart": False, **changed}
    return State(out, **fields)  # type: ignore[arg-type]  # as given


def result(name: str, seconds: float = 1.25) -> Result:
    return Result(name=name, status="passed", seconds=seconds, samples_ms=[[0.1, 0.2 + seconds / 3]])


def test_a_killed_run_goes_on_byte_for_byte(tmp_path: Path) -> None:
    state = begun(tmp_path)
    for name in ("c", "a"):
        state.record(result(name))
    before = {one.name: msgspec.json.encode(one) for one in state.run.results}
    again = begun(tmp_path)
    assert list(again.finished) == ["a", "c"]
    again.record(result("b", 7))
    file = again.finish()
    run = read_results(file)
    assert [one.name for one in run.results] == list(ORDER)
    assert {one.name: msgspec.json.encode(one) for one in run.results if one.name != "b"} == before
    assert run.created == state.run.created
    assert [file] == run_files(results_folder(tmp_path))
    assert [entry.name for entry in tmp_path.iterdir()] == ["results"]


def test_a_run_that_was_killed_at_its_very_end_is_stored_once(tmp_path: Path) -> None:
    state = begun(tmp_path)
    for name in ORDER:
        state.record(result(name))
    kept = (tmp_path / "unfinished.json").read_bytes()
    file = state.finish()
    stored = file.read_bytes()
    (tmp_path / "unfinished.json").write_bytes(kept)
    assert begun(tmp_path).finish() == file
    assert file.read_bytes() == stored


def test_a_skipped_cell_is_tried_again(tmp_path: Path) -> None:
    state = begun(tmp_path)
    state.record(Result(name="a", status="skipped", exit_code=3))
    state.record(result("b"))
    assert list(begun(tmp_path).finished) == ["b"]
    assert read_results(state.finish()).results[0].status == "skipped"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"settings": {**SETTINGS, "budget": [{"ms": 6.0}]}}, "budget.0.ms: 5.0 before, 6.0 now"),
        (
            {"settings": {**SETTINGS, "device": [{"label": "here", "targets": ["x"]}]}},
            'device.0.targets.1: "y" before, absent now',
        ),
        ({"settings": {**SETTINGS, "inputs": {"demo": "1"}}}, 'inputs.demo: absent before, "1" now'),
        ({"tools": {"numpy": "2.1"}}, 'versions.numpy: "2.0" before, "2.1" now'),
    ],
)
def test_other_settings_are_not_mixed(changed: dict[str, object], said: str, tmp_path: Path) -> None:
    begun(tmp_path).record(result("a"))
    with pytest.raises(UsageError) as raised:
        begun(tmp_path, **changed)
    assert said in raised.value.message
    assert "--restart" in raised.value.hint
    assert not begun(tmp_path, **changed, restart=True).finished


def test_a_damaged_file_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "unfinished.json").write_bytes(b'{"format": "prunnet-bench-matrix"')
    with pytest.raises(InvalidInput) as raised:
        begun(tmp_path)
    assert "--restart" in raised.value.hint
    begun(tmp_path, restart=True)


def test_a_name_in_the_file_leads_nowhere_else(tmp_path: Path) -> None:
    begun(tmp_path).record(result("a"))
    file = tmp_path / "unfinished.json"
    file.write_bytes(file.read_bytes().replace(b'"file":"', b'"file":"../'))
    with pytest.raises(InvalidInput):
        begun(tmp_path)


def test_a_result_that_cannot_be_stored(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(StorageError):
        begun(tmp_path / "out").record(result("a"))


def test_the_versions_are_those_of_the_runtimes() -> None:
    assert {"prunnet-export", "numpy", "onnxruntime"} <= set(tools_of(["x86-onnxruntime"]))
    assert "onnxruntime" not in tools_of(["x86-mnn"])
