"""The page of peers has what its command prints from the stored records. Nothing is trained or measured."""

from __future__ import annotations

import shlex
from pathlib import Path
from unittest.mock import patch

import pytest

from prunnet_export.benchmarks.cli import command
from prunnet_export.benchmarks.peers import _exported, _latency
from prunnet_export.benchmarks.peers._settings import PEERS
from tests._cli import call, environment, tree

__all__ = ["environment"]

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "peers.md").read_text("utf-8").splitlines()
SHOWN = [line for line in PAGE if line.startswith("prunnet-bench peers")]


def written(folder: Path) -> dict[str, int]:
    """When each file was written."""
    return {name: (folder / name).stat().st_mtime_ns for name in tree(folder)}


@pytest.mark.parametrize("shown", SHOWN, ids=lambda line: line.rpartition("/")[2])
def test_the_page_has_what_the_command_prints(
    shown: str, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    words = shlex.split(shown)[1:]
    folder = ROOT / words[words.index("--out") + 1]
    before = written(folder)
    with (
        patch.object(_exported.Exporter, "_files", side_effect=AssertionError),
        patch.object(_latency, "measure_latency", side_effect=AssertionError),
    ):
        ran = call(capfd, command, environment, *words, "--output-format=markdown")
    assert ran.code == 0, ran.err
    rows = [line for line in ran.out.splitlines() if line.startswith("| ")]
    assert len(rows) > 3 * len(PEERS)
    assert [row for row in rows if row not in PAGE] == []
    for line in ran.out.splitlines():
        if "not ahead of" in line:
            assert f"- {line.strip()}" in PAGE
    assert written(folder) == before


def test_there_is_a_command() -> None:
    assert SHOWN
