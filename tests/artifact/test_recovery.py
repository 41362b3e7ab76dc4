from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from prunnet_export._lock import FolderLock
from prunnet_export.artifact import read_manifest, restore, verify_files

MakeArtifact = Callable[..., Path]
MOVED = ".{}.old-0123456789ab"


@pytest.mark.parametrize("suffix", ["", ".rejected"])
def test_an_artifact_that_was_moved_and_not_replaced_returns(suffix: str, make_artifact: MakeArtifact) -> None:
    made = make_artifact()
    folder = made.with_name(f"tiny{suffix}")
    made.rename(made.with_name(MOVED.format(folder.name)))
    restore(folder)
    verify_files(folder, read_manifest(folder))
    assert [entry.name for entry in folder.parent.iterdir()] == [folder.name]


def test_what_is_there_stays(make_artifact: MakeArtifact) -> None:
    folder = make_artifact()
    older = folder.with_name(MOVED.format("tiny"))
    older.mkdir()
    restore(folder)
    assert older.exists()
    assert read_manifest(folder)


def test_a_writer_is_not_disturbed(make_artifact: MakeArtifact) -> None:
    folder = make_artifact()
    moved = folder.rename(folder.with_name(MOVED.format("tiny")))
    lock = FolderLock(folder)
    lock.acquire()
    restore(folder)
    assert moved.exists()
    lock.close()


def test_nothing_is_made_where_nothing_was(tmp_path: Path) -> None:
    for folder in (tmp_path / "none", tmp_path / "no" / "none", Path("/")):
        restore(folder)
    assert not list(tmp_path.iterdir())
