"""The page of the architecture names the rooms of the tree in their order, and only files that exist."""

from __future__ import annotations

import re
from pathlib import Path

from tests.test_rooms import FLOORS, ROOMS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "ARCHITECTURE.md").read_text("utf-8")


def test_the_rooms_are_those_of_the_tree_from_the_ground_up() -> None:
    table = PAGE.partition("## Rooms")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([a-z ]+) \| `([^`]+)` \| (.+) \|$", table, flags=re.MULTILINE)
    assert tuple(room for room, _, _ in rows) == ROOMS
    for room, folder, question in rows[1:]:
        assert folder == (f"{room}/" if room in FLOORS else f"prunnet_export/{room}/")
        assert question.endswith((".", "?"))


def test_every_file_and_folder_that_is_named_exists() -> None:
    named = re.findall(r"`((?:prunnet_export|training|targets|benchmarks|tests|examples|pyproject)[/.][^`*]*)`", PAGE)
    places = [name for name in named if "/" in name or name.endswith(".toml")]
    assert len(places) > 40
    assert not [name for name in places if not (ROOT / name).exists()]


def test_every_room_is_on_the_way_of_an_export_or_has_its_question() -> None:
    assert not [room for room in ROOMS if f"| {room} |" not in PAGE]
