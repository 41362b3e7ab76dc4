"""Files of measured runs."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.benchmarks.plan._options import RUNS
from prunnet_export.benchmarks.plan._runs import add_run, read_runs
from tests.benchmarks.plan._plans import synthetic_runs


def test_runs_are_added_and_read_again(tmp_path: Path) -> None:
    runs, file = synthetic_runs(2), tmp_path / "runs.jsonl"
    for run in runs:
        add_run(file, run)
    assert read_runs(file) == runs
    assert len(file.read_bytes().splitlines()) == len(runs)


@pytest.mark.parametrize("content", [b"{}\n", b"no json\n", b'\n{"format": "prunnet-plan-run"}\n', b"\xff\n"])
def test_another_file_is_refused_and_stays(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "runs.jsonl"
    file.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"line \d: not a measured run"):
        add_run(file, synthetic_runs(1)[0])
    assert file.read_bytes() == content


def test_a_shorter_trial_that_is_not_shorter_is_refused(tmp_path: Path) -> None:
    [run] = synthetic_runs(1, per_pair=1)
    content = msgspec.json.encode(run).replace(b'"shorter_steps":', b'"shorter_steps":9')
    (tmp_path / "runs.jsonl").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"line 1: not a measured run .*shorter trial"):
        read_runs(tmp_path / "runs.jsonl")


def test_a_file_of_an_older_version_is_called_that(tmp_path: Path) -> None:
    (tmp_path / "runs.jsonl").write_bytes(b'{"format":"prunnet-plan-run","version":1}')
    with pytest.raises(InvalidInput) as refused:
        read_runs(tmp_path / "runs.jsonl")
    assert refused.value.hint == "it is of an older version: repeat its plan with --record"


def test_the_runs_of_the_package_name_no_folder() -> None:
    runs = read_runs(RUNS)
    assert len({run.group for run in runs}) >= 4
    assert not [run for run in runs if "/" in run.data + run.teacher]
