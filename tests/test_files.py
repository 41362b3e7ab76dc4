from __future__ import annotations

import stat
from pathlib import Path

import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export._files import copy_files, remove_folder, replace_file
from tests._interrupting import interrupted_at_each_moment


def test_an_interrupt_at_any_moment_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"old")
    moments = 0
    for _ in interrupted_at_each_moment(lambda: replace_file(file, b"new")):
        moments += 1
        assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
        assert file.read_bytes() in {b"old", b"new"}
        file.write_bytes(b"old")
    assert moments > 5
    assert file.read_bytes() == b"new"


def test_a_replaced_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    usual = tmp_path / "usual"
    usual.write_bytes(b"")
    replace_file(tmp_path / "file", b"new")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == stat.S_IMODE(usual.stat().st_mode)


def test_an_interrupt_at_any_moment_of_removing_a_folder_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "folder"

    def fill() -> None:
        (folder / "inner").mkdir(parents=True)
        (folder / "inner" / "file").write_bytes(b"content")

    fill()
    for _ in interrupted_at_each_moment(lambda: remove_folder(folder)):
        assert not folder.exists()
        fill()
    assert not folder.exists()


def test_a_folder_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    remove_folder(tmp_path / "nothing")


def test_copies_stay_inside(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x")
    home = tmp_path / "home"
    home.mkdir()
    (home / "link").symlink_to(tmp_path)
    copy_files({tmp_path / "source": home / "sub" / "file"}, inside=home)
    assert (home / "sub" / "file").read_bytes() == b"x"
    for place in (home / ".." / "file", home / "link" / "file", tmp_path / "file"):
        with pytest.raises(InvalidInput, match="leads out of"):
            copy_files({tmp_path / "source": place}, inside=home)
    assert not (tmp_path / "file").exists()
