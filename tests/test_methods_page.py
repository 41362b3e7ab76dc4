"""The page of compared methods has the figures of the stored runs, and the commands that made them."""

from __future__ import annotations

import shlex
from pathlib import Path
from unittest.mock import patch

import msgspec
import pytest

from prunnet_export._errors import Interrupted
from prunnet_export.benchmarks import _methods_table
from prunnet_export.benchmarks._methods import SETTINGS_FILE, Run
from prunnet_export.benchmarks._methods_table import methods_report
from prunnet_export.benchmarks.cli import command
from prunnet_export.benchmarks.methods import METHODS, Settings
from prunnet_export.reports import render
from tests._inputs import retrieval_data

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "methods.md").read_text("utf-8").splitlines()
FOLDERS = sorted(file.parent for file in (DOCS / "methods").glob(f"*/{SETTINGS_FILE}"))


def settings_of(folder: Path) -> Settings:
    return msgspec.json.decode((folder / SETTINGS_FILE).read_bytes(), type=Settings)


def runs_of(folder: Path) -> list[Run]:
    files = (folder / f"{method}-{seed}.json" for method in METHODS for seed in range(10))
    return [msgspec.json.decode(file.read_bytes(), type=Run) for file in files if file.exists()]


def test_there_are_runs() -> None:
    assert [folder.name for folder in FOLDERS] == ["fashion-mnist", "glyphs"]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_tables_are_those_of_the_runs(folder: Path) -> None:
    runs = runs_of(folder)
    assert len(runs) == len(list(folder.glob("*-[0-9].json")))
    printed = render(methods_report(settings_of(folder), folder.name, folder, runs), "markdown")
    rows = [line for line in printed.splitlines() if line.startswith("| ")]
    assert [row for row in rows if row not in PAGE] == []


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_command_has_the_settings_of_the_runs(folder: Path) -> None:
    [shown] = [line for line in PAGE if line.startswith("prunnet-bench methods") and line.endswith(f"/{folder.name}")]
    with (
        patch.object(_methods_table, "open_dataset", return_value=retrieval_data()),
        patch.object(_methods_table, "compare", side_effect=KeyboardInterrupt) as compare,
        pytest.raises(Interrupted),
    ):
        command(shlex.split(shown)[1:], standalone_mode=False)
    settings, _, out = compare.call_args.args
    assert msgspec.json.encode(settings) == msgspec.json.encode(settings_of(folder))
    assert DOCS.parent / out == folder
