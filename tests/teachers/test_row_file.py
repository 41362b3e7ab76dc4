from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunnet_export._errors import StorageError
from prunnet_export.teachers._row_file import RowFile


@given(st.lists(st.integers(0, 19), max_size=30, unique=True), st.lists(st.integers(0, 19), max_size=30))
def test_rows_are_read_as_they_were_written(put: list[int], get: list[int]) -> None:
    with TemporaryDirectory() as folder:
        check_rows(Path(folder) / "rows", put, get)


def check_rows(place: Path, put: list[int], get: list[int]) -> None:
    file = RowFile(place, count=20, width=3, create=True, write=True)
    expected = np.zeros((20, 3), np.uint8)
    expected[put] = np.random.default_rng(0).integers(1, 256, (len(put), 3))
    file.write(np.array(put, np.int64), expected[put])
    np.testing.assert_array_equal(file.read(np.array(get, np.int64)), expected[get])
    file.close()


def test_a_system_that_moves_few_bytes_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(handle: int, buffers: Sequence[memoryview], offset: int) -> int:
        return os.pwrite(handle, buffers[0][:2], offset)

    file = RowFile(tmp_path / "rows", count=4, width=3, create=True, write=True)
    monkeypatch.setattr(os, "pwritev", slowly)
    content = np.arange(12, dtype=np.uint8).reshape(4, 3)
    file.write(np.arange(4), content)
    np.testing.assert_array_equal(file.read(np.arange(4)), content)
    file.close()


def test_rows_that_are_not_there(tmp_path: Path) -> None:
    file = RowFile(tmp_path / "rows", count=4, width=3, create=True, write=True)
    for row in (-1, 4):
        with pytest.raises(IndexError):
            file.read(np.array([row]))
    os.truncate(tmp_path / "rows", 5)
    with pytest.raises(StorageError, match="another size"):
        file.read(np.array([1]))
    file.close()
    for name in ("rows", "none"):
        with pytest.raises(StorageError, match=name):
            RowFile(tmp_path / name, count=4, width=3)
