"""Calibration files: read strictly, passed over where they are foreign, one device at a time."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.prediction import find_calibrations, read_calibration
from prunnet_export.prediction._table import tables_of_one_device
from tests.prediction._rows import rows, table

TABLE = table(rows(lambda _: 1.0))


def test_round_trip(tmp_path: Path) -> None:
    file = tmp_path / "t.json"
    file.write_bytes(msgspec.json.encode(TABLE))
    assert read_calibration(file) == TABLE


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[1]", msgspec.json.encode(TABLE).replace(b"0.01", b"x")])
def test_what_is_no_table(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "t.json"
    file.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"t\.json: not a calibration table"):
        read_calibration(file)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_calibration(tmp_path / "none.json")


def test_those_of_a_target_are_found(tmp_path: Path) -> None:
    assert find_calibrations(tmp_path / "none", "x86-onnxruntime") == []
    (tmp_path / "a.json").write_bytes(msgspec.json.encode(TABLE))
    (tmp_path / "b.json").write_bytes(msgspec.json.encode(table([], target="x86-openvino")))
    (tmp_path / "c.json").write_bytes(b'{"version": 1}')
    assert find_calibrations(tmp_path, "x86-onnxruntime") == [TABLE]


def test_the_device_with_the_most_rows() -> None:
    first, second = table(TABLE.rows[:3], device="1" * 12), table(TABLE.rows[:2], device="2" * 12)
    assert tables_of_one_device([first, second, second]) == [second, second]
    assert tables_of_one_device([]) == []
