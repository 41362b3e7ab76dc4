from __future__ import annotations

from pathlib import Path

import pytest

from prunnet_export._errors import InvalidInput, UnknownName, UsageError
from prunnet_export.benchmarks.matrix._settings import BudgetTable, ExportTable, read_matrix

DEVICE = '[[device]]\nlabel = "here"\naddress = "local"\ntargets = ["x86-onnxruntime"]\n'
SMALL = f'networks = ["demo"]\n[[budget]]\nms = 5\n{DEVICE}'


def written(folder: Path, text: str) -> Path:
    file = folder / "MATRIX.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_small_matrix(tmp_path: Path) -> None:
    matrix = read_matrix(written(tmp_path, SMALL))
    assert matrix.networks == ["demo"]
    assert [one.label for one in matrix.budget] == ["5ms"]
    assert matrix.device[0].targets == ["x86-onnxruntime"]
    assert matrix.export.words() == []


@pytest.mark.parametrize(
    ("table", "label"),
    [
        (BudgetTable(ms=2), "2ms"),
        (BudgetTable(ms=0.5, mb=1.25), "0.5ms-1.25mb"),
        (BudgetTable(ms=5, at="p99"), "5ms-p99"),
        (BudgetTable(ram_mb=200), "200mib-ram"),
        (BudgetTable(ms=5, name="kiosk"), "kiosk"),
    ],
)
def test_a_budget_has_a_name(table: BudgetTable, label: str) -> None:
    assert table.label == label


def test_options_of_an_export_have_the_names_of_the_command() -> None:
    assert BudgetTable(ms=2, ram_mb=1, at="p99").words() == ["--at=p99", "--budget-ms=2", "--budget-ram-mb=1"]
    assert ExportTable(min_recall=0, max_queries=5).words() == ["--max-queries=5", "--min-recall=0"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SMALL + "colour = 1\n", "unknown field `colour` - at `$.device[0]`"),
        ("netwoks = []\n" + SMALL, "unknown field `netwoks`"),
        (SMALL + "[export]\nbudget-ms = 1\n", "unknown field `budget-ms` - at `$.export`"),
        (SMALL.replace("ms = 5", "ms = -5"), "> 0.0 - at `$.budget[0].ms`"),
        (SMALL.replace("ms = 5", "ms = nan"), "> 0.0 - at `$.budget[0].ms`"),
        (SMALL.replace("ms = 5", 'ms = "5"'), "Expected `float | null`, got `str`"),
        (SMALL.replace('"here"', '"../here"'), "matching regex"),
        (SMALL.replace('["x86-onnxruntime"]', "[]"), "length >= 1"),
        ('networks = ["demo"]\n[[budget]]\nms = 5\n', "required field `device`"),
        (SMALL + DEVICE.replace('"here"', '"HERE"'), "two devices have the name 'here'"),
        (SMALL + "[[budget]]\nms = 5.0\n", "two budgets have the name '5ms'"),
        ("networks = [", "cannot be read"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text: str, said: str, tmp_path: Path) -> None:
    file = written(tmp_path, text)
    with pytest.raises(InvalidInput) as raised:
        read_matrix(file)
    assert said in raised.value.message
    assert str(file) in raised.value.message
    assert raised.value.hint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SMALL.replace('["demo"]', "[]"), "no network and no artifact"),
        (SMALL.replace("[[budget]]\nms = 5\n", ""), "has no budget"),
    ],
)
def test_a_matrix_without_cells(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        read_matrix(written(tmp_path, text))


def test_a_part_of_the_devices(tmp_path: Path) -> None:
    matrix = read_matrix(written(tmp_path, SMALL + DEVICE.replace('"here"', '"there"')))
    assert [one.label for one in matrix.only(()).device] == ["here", "there"]
    assert [one.label for one in matrix.only(["there"]).device] == ["there"]
    with pytest.raises(UnknownName, match="device 'ther'") as raised:
        matrix.only(["ther"])
    assert "there" in raised.value.hint
