"""The page about the runtimes has the same facts as their classes."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from prunnet_export.runtimes import find_runtime

PAGE = Path(__file__).parents[1] / "docs" / "runtimes.md"
PATTERNS = ("channel", "2:4", "channel+2:4", "block", "unstructured")


def runtimes() -> list[str]:
    """The runtimes of this package, without those of other installed packages."""
    found = entry_points(group="prunnet_export.runtimes")
    return sorted({point.name for point in found if point.value.startswith("prunnet_export.")})


def gains() -> list[str]:
    """A row for each runtime."""
    head = ["| runtime | " + " | ".join(f"`{pattern}`" for pattern in PATTERNS) + " |", "| --- " * 6 + "|"]
    cells = {name: ["no" if find_runtime(name).ignored(p) else "yes" for p in PATTERNS] for name in runtimes()}
    return head + [f"| `{name}` | " + " | ".join(cells[name]) + " |" for name in cells]


def sentences() -> list[str]:
    """A row for each sentence that the tool can print, with the patterns that it is printed for."""
    said: dict[str, list[str]] = {}
    for name in runtimes():
        for pattern in PATTERNS:
            if sentence := find_runtime(name).ignored(pattern):
                patterns = said.setdefault(sentence, [])
                patterns += [word for word in [f"`{pattern}`"] if word not in patterns]  # runtimes may share it
    rows = [f"| {', '.join(patterns)} | {sentence} |" for sentence, patterns in said.items()]
    return ["| `--pattern` | the tool says |", "| --- | --- |", *rows]


@pytest.mark.parametrize("table", [gains, sentences], ids=lambda table: table.__name__)
def test_the_tables_are_those_of_the_classes(table: object) -> None:
    assert callable(table)
    expected = table()
    text = PAGE.read_text("utf-8").splitlines()
    start = text.index(expected[0]) if expected[0] in text else 0
    assert text[start : start + len(expected)] == expected
    assert text[start + len(expected)] == ""


def test_every_runtime_has_its_why() -> None:
    [why] = re.findall(r"\n## Why\n(.*?)(?=\n## |\Z)", PAGE.read_text("utf-8"), flags=re.DOTALL)
    explained = [name for line in why.splitlines() if line.startswith("- ") for name in _names(line)]
    assert sorted(explained) == runtimes()


def _names(line: str) -> list[str]:
    """The runtimes that stand before an item's colon."""
    return re.findall(r"`([^`]+)`", line.partition(":")[0])
