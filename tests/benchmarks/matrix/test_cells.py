from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from prunnet_export._errors import InvalidInput, UnknownName, UsageError
from prunnet_export.benchmarks.matrix import _cells
from prunnet_export.benchmarks.matrix._cells import Plan, plan_cells
from prunnet_export.benchmarks.matrix._settings import read_matrix
from tests.benchmarks.matrix._cells import WriteMatrix

X86 = ("here", "local", ["x86-onnxruntime", "x86-openvino"])


def planned(file: Path) -> Plan:
    return plan_cells(read_matrix(file), file, artifacts=file.parent / "artifacts", results=file.parent / "results")


def test_targets_networks_budgets_and_devices(write_matrix: WriteMatrix, tmp_path: Path) -> None:
    plan = planned(write_matrix(X86, ("nano", "predicted", ["jetson"]), ms=(50, 5)))
    assert [cell.name for cell in plan.cells] == [
        "x86-onnxruntime/tiny/50ms@here",
        "x86-onnxruntime/tiny/5ms@here",
        "x86-openvino/tiny/50ms@here",
        "x86-openvino/tiny/5ms@here",
        "jetson-orin-nano/tiny/50ms@nano",
        "jetson-orin-nano/tiny/5ms@nano",
    ]
    first = plan.cells[0]
    assert first.artifact == tmp_path / "artifacts" / "here" / "x86-onnxruntime" / "tiny" / "50ms"
    assert (first.budget.latency_ms, first.budget.percentile, first.threads) == (50, 90, 1)
    assert "--device=local" in first.words


def test_boards_of_one_host_are_one_machine(write_matrix: WriteMatrix) -> None:
    boards = [("a", "ssh://me@board:22", ["raspberry-pi-5"]), ("b", "ssh://board?python=/x", ["raspberry-pi-4"])]
    assert {cell.machine for cell in planned(write_matrix(*boards, X86)).cells} == {"board", "local"}


def test_the_settings_are_those_that_figures_depend_on(write_matrix: WriteMatrix) -> None:
    before = planned(write_matrix(X86)).settings
    assert before["inputs"]["tiny"]
    assert planned(write_matrix(X86)).settings == before
    assert planned(write_matrix(X86, ms=(51,))).settings != before


def test_settings_do_not_depend_on_where_networks_and_images_lie(
    write_matrix: WriteMatrix, tiny_data: Path, tiny_network: Path, tmp_path: Path
) -> None:
    file = write_matrix(X86)
    before, text = planned(file).settings, file.read_text("utf-8")
    shutil.copytree(tiny_data, tmp_path / "mount" / "photos")
    shutil.copytree(tiny_network, tmp_path / "mount" / "tiny")
    file.write_text(text.replace(str(tiny_data), "mount/photos/").replace(str(tiny_network), "mount/tiny"), "utf-8")
    assert planned(file).settings == before
    image = min((tmp_path / "mount" / "photos" / "query").glob("*/*"))
    image.rename(image.with_name("other.png"))
    assert planned(file).settings != before
    file.write_text(text.replace(str(tiny_data), "missing"), "utf-8")
    assert planned(file).settings["export"]["data"] == "missing"


def test_paths_are_relative_to_the_file(write_matrix: WriteMatrix, tiny_data: Path, tmp_path: Path) -> None:
    file = write_matrix(X86)
    (tmp_path / "photos").symlink_to(tiny_data)
    file.write_text(file.read_text("utf-8").replace(str(tiny_data), "photos"), "utf-8")
    assert f"--data={tmp_path / 'photos'}" in planned(file).cells[0].words
    file.write_text(file.read_text("utf-8").replace("photos", "glyphs"), "utf-8")
    assert "--data=glyphs" in planned(file).cells[0].words


def test_the_bundled_network(write_matrix: WriteMatrix, tiny_network: Path) -> None:
    file = write_matrix(X86)
    file.write_text(file.read_text("utf-8").replace(str(tiny_network), "demo"), "utf-8")
    assert planned(file).cells[0].name == "x86-onnxruntime/demo/50ms@here"


def test_artifacts_that_exist(write_matrix: WriteMatrix, make_artifact: Callable[..., Path]) -> None:
    folder, more = make_artifact("dist/phone", target="x86-onnxruntime"), 'artifacts = ["dist/phone"]'
    with pytest.raises(UsageError, match="no device measures"):
        planned(write_matrix(("nano", "predicted", ["x86-onnxruntime"]), more=more))
    plan = planned(write_matrix(X86, more=more))
    [cell] = [cell for cell in plan.cells if not cell.words]
    assert (cell.name, cell.artifact) == (f"x86-onnxruntime/{cell.network}/phone@here", folder)
    assert cell.budget.size_mb == 12
    assert plan.settings["inputs"]["phone"]


def test_more_cells_than_the_file_of_a_run_holds(write_matrix: WriteMatrix, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_cells, "_MOST", 3)
    with pytest.raises(UsageError, match="has 4 cells"):
        planned(write_matrix(X86, ms=(5, 6)))


@pytest.mark.parametrize(
    ("old", "new", "kind", "said"),
    [
        ('"x86-onnxruntime"', '"x86-onyx"', UnknownName, "target 'x86-onyx'"),
        ('"local"', '"locla"', UnknownName, "device 'locla'"),
        ('"local"', '"ssh://a b"', InvalidInput, "no address"),
        ("ms = 50", "ms = inf", InvalidInput, "out of range"),
        ("ms = 50", 'ms = 5\nat = "p0"', InvalidInput, "no percentile"),
        ("ms = 50", 'name = "x"', UsageError, "no budget is given"),
        ("min-recall = 0", "min-recall = 3", click.UsageError, "--min-recall"),
        ("min-recall = 0", 'select = "luck"', click.UsageError, "--select"),
    ],
)
def test_wrong_values_are_found_before_anything_is_measured(
    old: str, new: str, kind: type[Exception], said: str, write_matrix: WriteMatrix
) -> None:
    file = write_matrix(X86)
    file.write_text(file.read_text("utf-8").replace(old, new), "utf-8")
    with pytest.raises(kind) as raised:
        planned(file)
    error = raised.value
    assert said in (error.format_message() if isinstance(error, click.UsageError) else str(error))


def test_a_folder_without_a_network(write_matrix: WriteMatrix, tiny_network: Path, tmp_path: Path) -> None:
    file = write_matrix(X86)
    file.write_text(file.read_text("utf-8").replace(str(tiny_network), "nosuch"), "utf-8")
    with pytest.raises(InvalidInput, match="holds no network"):
        planned(file)
    shutil.copytree(tiny_network, tmp_path / "my network")
    file.write_text(file.read_text("utf-8").replace("nosuch", "my network"), "utf-8")
    with pytest.raises(InvalidInput, match="'my network'"):
        planned(file)
