"""A folder of results: each run is a new file, and the newest is found by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunnet_export._errors import InvalidInput, StorageError
from prunnet_export.benchmarks._history import append_run, make_results_folder, run_files
from prunnet_export.benchmarks._results import Result, read_results

RESULT = Result(name="tiny", status="passed")


def test_runs_are_appended_and_never_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "results"
    files = [append_run(folder, [RESULT], created="2026-11-29T18:17:28Z") for _ in range(5)]
    assert len(set(files)) == 5
    assert sorted(files) == run_files(folder)
    run = read_results(files[0])
    assert (run.created, run.results) == ("2026-11-29T18:17:28Z", [RESULT])
    assert run.tools["prunnet-export"]


def test_the_newest_comes_last(tmp_path: Path) -> None:
    newest = append_run(tmp_path, [RESULT], created="2027-01-01T00:00:00Z")
    oldest = append_run(tmp_path, [RESULT], created="2025-12-31T23:59:59Z")
    assert run_files(tmp_path) == [oldest, newest]


def test_other_files_are_left_out(tmp_path: Path) -> None:
    file = append_run(tmp_path, [RESULT])
    (tmp_path / "notes.json").write_text("{}")
    (tmp_path / f".{file.name}.0123456789ab").write_text("half a fil")
    assert run_files(tmp_path) == [file]


def test_a_folder_without_runs(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="holds no run"):
        run_files(tmp_path)
    with pytest.raises(InvalidInput, match="cannot read"):
        run_files(tmp_path / "nosuch")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        make_results_folder(tmp_path / "file" / "results")
