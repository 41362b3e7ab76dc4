from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export._files import (
    copy_files,
    open_regular,
    read_bytes,
    remove_folder,
    remove_leftovers,
    replace_file,
    sha256,
)
from tests._asserts import assert_one_line
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


@pytest.mark.parametrize(
    "read",
    [
        lambda file: read_bytes(file, at_most=10),
        sha256,
        open_regular,
        lambda file: copy_files({file: file.with_name("x")}, inside=file.parent),
    ],
)
@pytest.mark.parametrize("kind", ["pipe", "device", "link to a pipe"])
def test_what_may_never_end_is_not_read(tmp_path: Path, read: Callable[[Path], object], kind: str) -> None:
    file = tmp_path / "file"
    if kind == "device":
        file.symlink_to("/dev/zero")
    else:
        os.mkfifo(tmp_path / "pipe")
        file.symlink_to("pipe") if kind == "link to a pipe" else (tmp_path / "pipe").rename(file)
    with pytest.raises(InvalidInput, match="is no regular file") as caught:
        read(file)
    assert_one_line(caught.value)


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 10)
    assert read_bytes(file, at_most=10) == b"x" * 10
    with pytest.raises(InvalidInput, match="larger than") as caught:
        read_bytes(file, at_most=9)
    assert_one_line(caught.value)
    with file.open("wb") as opened:
        os.truncate(opened.fileno(), 2**40)
    with pytest.raises(InvalidInput, match="larger than 1 GiB"):
        read_bytes(file, at_most=2**30)


def test_a_file_whose_size_the_system_does_not_say_is_read(tmp_path: Path) -> None:
    del tmp_path
    if Path("/proc/self/status").exists():
        assert read_bytes(Path("/proc/self/status"), at_most=2**20).startswith(b"Name:")
        with pytest.raises(InvalidInput, match="larger than"):
            read_bytes(Path("/proc/self/status"), at_most=10)


@pytest.mark.parametrize("path", ["with\0zero", "missing", "."])
def test_a_path_that_is_no_file_is_named(tmp_path: Path, path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_bytes(tmp_path / path, at_most=10)
    assert_one_line(caught.value)


def test_leftovers_of_a_killed_process_are_removed_and_nothing_else(tmp_path: Path) -> None:
    file, kept = tmp_path / "part[1].npz", [".part[1].npz.lock", ".part1.npz.0123456789ab", "part[1].npz"]
    for name in (*kept, ".part[1].npz.0123456789ab", ".part[1].npz.ffffffffffff"):
        (tmp_path / name).touch()
    remove_leftovers(file)
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted(kept)


def test_the_file_that_a_kill_leaves_is_a_leftover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(*_: object) -> None:
        monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)  # a killed process does not tidy up
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", kill)
        with pytest.raises(KeyboardInterrupt):
            replace_file(tmp_path / "x", b"new")
    monkeypatch.undo()
    assert [one.name[:3] for one in tmp_path.iterdir()] == [".x."]
    remove_leftovers(tmp_path / "x")
    assert not list(tmp_path.iterdir())
