from __future__ import annotations

import errno
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunnet_export._cache_folder import cache_folder
from prunnet_export._errors import InvalidInput, StorageError
from prunnet_export._files import sha256
from prunnet_export.building import BuildCache, _cache
from tests._asserts import assert_one_line
from tests._cli import tree
from tests._interrupting import interrupted_at_each_moment

Make = Callable[[Path], tuple[str, ...]]


class Maker:
    """Writes one file, and counts how often."""

    def __init__(self, content: bytes = b"model") -> None:
        self.content = content
        self.times = 0

    def __call__(self, folder: Path) -> tuple[str, ...]:
        assert not list(folder.iterdir())
        self.times += 1
        (folder / "model.bin").write_bytes(self.content)
        (folder / "model.json").write_bytes(b"{}")
        return ("model.bin", "model.json")


def never(_folder: Path) -> tuple[str, ...]:
    raise AssertionError("made twice")


def entries(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


def test_made_once_and_found_again_by_another_process(tmp_path: Path) -> None:
    folder, names = BuildCache(tmp_path / "a" / "b").get({"x": 1, "y": [2, None]}, Maker())
    assert names == ("model.bin", "model.json")
    assert (folder / "model.bin").read_bytes() == b"model"
    assert BuildCache(tmp_path / "a" / "b").get({"y": [2, None], "x": 1}, never) == (folder, names)
    assert entries(tmp_path / "a" / "b") == {folder.name}


@given(
    st.lists(st.dictionaries(st.sampled_from("abc"), st.none() | st.integers(0, 2) | st.text(max_size=2)), max_size=6)
)
def test_different_parts_are_different_entries(
    tmp_path_factory: pytest.TempPathFactory, parts: list[dict[str, object]]
) -> None:
    cache = BuildCache(tmp_path_factory.mktemp("cache"))
    found = [cache.get(one, Maker())[0] for one in parts]
    for one, folder in zip(parts, found, strict=True):
        assert [other == one for other in parts] == [other == folder for other in found]


def _flip(file: Path) -> None:
    file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:])


def _replace(place: Path, make: Callable[[Path], object]) -> None:
    """Puts something else in the place of a file or folder."""
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink()
    make(place)


def _list(place: Path, name: str, **fields: object) -> None:
    """An index with the right hash of one file, which may be outside."""
    (place / "link").symlink_to(place.parents[1] / "secret")
    (place / "linked").symlink_to(place.parents[1])
    document = {"names": [name], "sha256": {name: sha256(place / name)}} | fields
    (place / "files.json").write_text(json.dumps(document))


def test_an_entry_elsewhere_is_not_followed(tmp_path: Path) -> None:
    place, _ = BuildCache(tmp_path / "a").get({"x": 1}, Maker(b"evil"))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / place.name).symlink_to(place)
    found, _ = BuildCache(tmp_path / "b").get({"x": 1}, Maker(b"good"))
    assert (found / "model.bin").read_bytes() == b"good"
    assert (place / "model.bin").read_bytes() == b"evil"


@pytest.mark.parametrize(
    "damage",
    [
        lambda place: _flip(place / "model.bin"),
        lambda place: (place / "model.json").unlink(),
        lambda place: (place / "files.json").unlink(),
        lambda place: (place / "files.json").write_text("not json"),
        lambda place: (place / "files.json").write_text("[]"),
        lambda place: (place / "files.json").write_text('{"names": ["x"], "sha256": {}}'),
        lambda place: (place / "files.json").write_bytes(b"\xff\xfe"),
        lambda place: (place / "files.json").write_text("[" * 100_000),
        lambda place: _replace(place / "files.json", os.mkfifo),
        lambda place: _replace(place / "files.json", Path.mkdir),
        lambda place: _replace(place / "model.bin", lambda file: file.symlink_to(place / "model.json")),
        lambda place: _list(place, "model.bin", names=[]),
        lambda place: _list(place, "../../secret"),
        lambda place: _list(place, str(place.parent.parent / "secret")),
        lambda place: _list(place, "link"),
        lambda place: _list(place, "linked/secret"),
        lambda place: _list(place, "model.bin", names=[["model.bin"]]),
        lambda place: _list(place, "model.bin", names="model.bin"),
        lambda place: _list(place, "model.bin", more=1),
        lambda place: _replace(place, lambda gone: gone.write_bytes(b"file")),
        lambda place: _replace(place, os.mkfifo),
    ],
)
def test_a_damaged_entry_is_made_again(damage: Callable[[Path], object], tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    tmp_path /= "cache"
    cache, make = BuildCache(tmp_path), Maker()
    place, names = cache.get({"x": 1}, make)
    damage(place)
    assert cache.get({"x": 1}, make) == (place, names)
    assert make.times == 2
    assert (place / "model.bin").read_bytes() == b"model"
    assert entries(tmp_path) == {place.name}


def test_two_makers_of_one_entry(tmp_path: Path) -> None:
    both = threading.Barrier(2)
    found = []

    def make(folder: Path) -> tuple[str, ...]:
        names = Maker()(folder)
        both.wait(30)
        return names

    def work() -> None:
        found.append(BuildCache(tmp_path).get({"x": 1}, make))

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert len(found) == 2
    assert found[0] == found[1]
    assert (found[0][0] / "model.bin").read_bytes() == b"model"
    assert entries(tmp_path) == {found[0][0].name}


def test_an_entry_that_another_process_makes_in_the_last_moment(tmp_path: Path) -> None:
    place, names = BuildCache(tmp_path).get({"x": 1}, Maker())
    seen, is_dir, read = [], Path.is_dir, _cache._read_names

    def read_later(entry: Path) -> tuple[str, ...] | None:
        seen.append(entry)
        return None if len(seen) <= 2 else read(entry)  # it was not there at the start and after the making

    def is_dir_later(path: Path) -> bool:
        return path != place and is_dir(path)

    with patch.object(_cache, "_read_names", read_later), patch.object(Path, "is_dir", is_dir_later):
        assert BuildCache(tmp_path).get({"x": 1}, Maker()) == (place, names)
    assert len(seen) == 3
    assert entries(tmp_path) == {place.name}


def test_an_entry_that_another_process_made_meanwhile_is_not_pulled_away(tmp_path: Path) -> None:
    opened = []

    def slow(folder: Path) -> tuple[str, ...]:
        place, _ = BuildCache(tmp_path).get({"x": 1}, Maker())
        opened.append((place / "model.bin").stat().st_ino)
        return Maker()(folder)

    place, names = BuildCache(tmp_path).get({"x": 1}, slow)
    assert names == ("model.bin", "model.json")
    assert [(place / "model.bin").stat().st_ino] == opened


def test_a_place_that_is_taken_by_a_file_is_an_error_and_not_a_missing_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_self: Path, _target: Path) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    cache = BuildCache(tmp_path)
    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(StorageError, match="no space"):
        cache.get({"x": 1}, Maker())
    assert not tree(tmp_path)


@pytest.mark.parametrize("taken", ["file", "file/below"])
def test_a_folder_that_cannot_be_written_is_replaced_by_a_temporary_one(taken: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    cache, make = BuildCache(tmp_path / taken), Maker()
    folder, _ = cache.get({"x": 1}, make)
    assert cache.get({"x": 1}, make)[0] == folder
    assert make.times == 1
    assert tmp_path not in folder.parents
    assert tree(tmp_path) == ["file"]
    temporary = cache.folder
    del cache
    assert not temporary.exists()


def test_a_read_only_folder_is_replaced_by_a_temporary_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as patch:
        patch.setattr("tempfile.TemporaryFile", fail)
        cache = BuildCache(tmp_path)
    assert cache.folder != tmp_path
    assert cache.get({"x": 1}, Maker())[0].parent == cache.folder


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_full_disk_is_a_storage_error_and_leaves_no_partials(code: int, tmp_path: Path) -> None:
    def make(folder: Path) -> tuple[str, ...]:
        (folder / "model.bin").write_bytes(b"half")
        raise OSError(code, os.strerror(code))

    with pytest.raises(StorageError, match="cannot write") as caught:
        BuildCache(tmp_path).get({"x": 1}, make)
    assert_one_line(caught.value)
    assert not tree(tmp_path)


@pytest.mark.parametrize("error", [KeyboardInterrupt, InvalidInput("no", hint="yes"), MemoryError])
def test_other_errors_pass_through_and_leave_no_partials(error: BaseException, tmp_path: Path) -> None:
    def make(folder: Path) -> tuple[str, ...]:
        (folder / "model.bin").write_bytes(b"half")
        raise error

    with pytest.raises((KeyboardInterrupt, InvalidInput, MemoryError)):
        BuildCache(tmp_path).get({"x": 1}, make)
    assert not tree(tmp_path)


def test_an_interrupt_at_any_moment_leaves_no_partials(tmp_path: Path) -> None:
    for _ in interrupted_at_each_moment(lambda: BuildCache(tmp_path).get({"x": 1}, Maker())):
        assert not [name for name in tree(tmp_path) if ".partial-" in name]
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    content = bytes(1000)
    for index in range(4):
        place, _ = BuildCache(tmp_path).get({"x": index}, Maker(content))
        os.utime(place, (index + 1, index + 1))
    BuildCache(tmp_path).get({"x": 0}, never)  # used just now
    BuildCache(tmp_path, limit=4000).get({"x": 4}, Maker(content))
    make = Maker(content)
    for index in (0, 3, 4):
        BuildCache(tmp_path).get({"x": index}, never)
    for index in (1, 2):
        BuildCache(tmp_path).get({"x": index}, make)
    assert make.times == 2


def test_nothing_that_is_in_use_goes(tmp_path: Path) -> None:
    cache = BuildCache(tmp_path, limit=10)
    places = [cache.get({"x": index}, Maker(bytes(100)))[0] for index in range(3)]
    assert all((place / "model.bin").exists() for place in places)
    # Another process may be using them, until they are old.
    BuildCache(tmp_path, limit=10).get({"x": 3}, Maker(bytes(100)))
    assert all((place / "model.bin").exists() for place in places)
    for place in places:
        os.utime(place, (1, 1))
    BuildCache(tmp_path, limit=10).get({"x": 4}, Maker(bytes(100)))
    assert not any(place.exists() for place in places)


def test_only_entries_go(tmp_path: Path) -> None:
    table = tmp_path / "calibration" / "table.json"
    table.parent.mkdir()
    table.write_bytes(bytes(5000))
    (tmp_path / "note.txt").write_bytes(bytes(5000))
    os.utime(table.parent, (1, 1))
    place, _ = BuildCache(tmp_path, limit=2000).get({"x": 1}, Maker())
    os.utime(place, (1, 1))
    BuildCache(tmp_path, limit=1).get({"x": 2}, Maker())
    assert table.exists()
    assert (tmp_path / "note.txt").exists()
    assert len(entries(tmp_path)) == 3


def test_what_killed_builds_left_goes_after_a_while(tmp_path: Path) -> None:
    for name, age in ((".partial-old", 3 * 24 * 3600), (".partial-new", 60)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").write_bytes(b"half")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    BuildCache(tmp_path).get({"x": 1}, Maker())
    assert not (tmp_path / ".partial-old").exists()
    assert (tmp_path / ".partial-new" / "half").exists()


def test_the_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PRUNNET_EXPORT_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "prunnet-export"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache_folder() == Path("/home/somebody/.cache/prunnet-export")
    monkeypatch.setenv("PRUNNET_EXPORT_CACHE", "/elsewhere")
    assert cache_folder() == Path("/elsewhere")
