"""The page of compared methods has the figures of the stored runs, and the commands that made them."""

from __future__ import annotations

import shlex
from pathlib import Path
from unittest.mock import Mock, patch

import msgspec
import pytest

from prunnet_export import datasets
from prunnet_export._errors import Interrupted
from prunnet_export.benchmarks import _methods_data, _methods_table
from prunnet_export.benchmarks._methods import Run
from prunnet_export.benchmarks._methods_match import MatchRun
from prunnet_export.benchmarks._methods_match_table import matching_report
from prunnet_export.benchmarks._methods_runs import SETTINGS_FILE
from prunnet_export.benchmarks._methods_table import methods_report
from prunnet_export.benchmarks.cli import command
from prunnet_export.benchmarks.methods import MATCHING, METHODS, Settings
from prunnet_export.reports import Report, render
from tests._inputs import retrieval_data

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "methods.md").read_text("utf-8").splitlines()
FOLDERS = sorted(file.parent for file in (DOCS / "methods").glob(f"*/{SETTINGS_FILE}"))


def settings_of(folder: Path) -> Settings:
    return msgspec.json.decode((folder / SETTINGS_FILE).read_bytes(), type=Settings)


def report_of(folder: Path) -> Report:
    """The report on all runs of a folder."""
    settings = settings_of(folder)
    known = METHODS if settings.match is None else MATCHING
    files = [folder / f"{method}-{seed}.json" for method in known for seed in range(10)]
    contents = [file.read_bytes() for file in files if file.exists()]
    assert len(contents) == len(list(folder.glob("*-[0-9].json")))
    if settings.match is None:
        runs = [msgspec.json.decode(content, type=Run) for content in contents]
        return methods_report(settings, folder.name, folder, runs)
    matching = [msgspec.json.decode(content, type=MatchRun) for content in contents]
    return matching_report(settings, folder.name, folder, matching)


def test_there_are_runs() -> None:
    assert {"fashion-mnist", "glyphs"} <= {folder.name for folder in FOLDERS}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_tables_are_those_of_the_runs(folder: Path) -> None:
    printed = render(report_of(folder), "markdown")
    rows = [line for line in printed.splitlines() if line.startswith("| ")]
    assert [row for row in rows if row not in PAGE] == []


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_command_has_the_settings_of_the_runs(folder: Path) -> None:
    [shown] = [line for line in PAGE if line.startswith("prunnet-bench methods") and line.endswith(f"/{folder.name}")]
    stored = settings_of(folder)
    with (
        # The images are not here either.
        patch.object(_methods_data, "open_dataset", return_value=retrieval_data()),
        patch.object(datasets, "default_input", return_value=(224, "crop")),
        # The teacher is not here, so its name and hash are not compared.
        patch.object(
            _methods_table, "GalleryTeacher", return_value=Mock(settings=stored.match, dim=stored.embedding_dim)
        ),
        patch.object(
            _methods_table, "compare" if stored.match is None else "compare_matching", side_effect=KeyboardInterrupt
        ) as compare,
        pytest.raises(Interrupted),
    ):
        command(shlex.split(shown)[1:], standalone_mode=False)
    settings, _, out = compare.call_args.args
    # Some runs are older than the widths of today. The command shows them; see test_methods.py.
    settings = msgspec.structs.replace(settings, images_sha256=stored.images_sha256, widths=stored.widths)
    assert msgspec.json.encode(settings) == msgspec.json.encode(stored)
    assert DOCS.parent / out == folder
