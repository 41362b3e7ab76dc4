from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from prunnet_export import _temporary
from prunnet_export._temporary import TemporaryFolder
from tests._interrupting import interrupted_at_each_moment

HOLD = """
import sys
from prunnet_export._temporary import TemporaryFolder
with TemporaryFolder("test") as folder:
    (folder / "file").touch()
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def hold(parent: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "TMPDIR": str(parent)}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    assert Path(process.stdout.readline().strip()).is_dir()
    return process


def test_it_is_private_and_goes_with_its_block(parent: Path) -> None:
    with TemporaryFolder("test") as folder:
        assert folder.parent == parent
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "sub").mkdir()
        (folder / "sub" / "file").write_bytes(b"x")
    assert not list(parent.iterdir())


def test_it_goes_with_its_object(parent: Path) -> None:
    kept = TemporaryFolder("test")
    assert kept.path.is_dir()
    del kept
    assert not list(parent.iterdir())


def test_what_a_killed_process_left_goes_and_what_is_in_use_stays(parent: Path) -> None:
    with hold(parent) as killed, hold(parent) as living:
        killed.kill()
        killed.wait()
        assert len(list(parent.iterdir())) == 2
        with TemporaryFolder("test") as folder:
            assert len(list(parent.iterdir())) == 2
            assert folder.is_dir()
        assert len(list(parent.iterdir())) == 1
        living.communicate("")
    assert not list(parent.iterdir())


def test_other_files_stay(parent: Path) -> None:
    names = ["prunnet-test", "prunnet-test-0123456789abcdef", "other-test-0123456789abcdef.tmp"]
    for name in names:
        (parent / name).mkdir()
    (parent / "prunnet-test-0123456789abcdef.tmp").write_bytes(b"a file")
    (parent / "prunnet-link-0123456789abcdef.tmp").symlink_to(parent / "prunnet-test")
    with TemporaryFolder("test"):
        pass
    assert len(list(parent.iterdir())) == len(names) + 2


def test_a_file_system_without_locks_loses_nothing(parent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(9, os.strerror(9))

    monkeypatch.setattr("fcntl.flock", refuse)
    with TemporaryFolder("test") as first, TemporaryFolder("test") as second:
        assert first.is_dir()
        assert second.is_dir()
    assert not list(parent.iterdir())


def test_another_process_that_removes_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lock, removed = _temporary._lock, list[Path]()

    def meddle(folder: Path, *, wait: bool) -> list[int]:
        held = lock(folder, wait=wait)
        if not removed:
            removed.append(folder)
            folder.rmdir()
        return held

    monkeypatch.setattr(_temporary, "_lock", meddle)
    with TemporaryFolder("test") as folder:
        assert removed == [folder]
        assert folder.is_dir()


def test_an_interrupt_at_any_moment_leaves_nothing(parent: Path) -> None:
    def use() -> None:
        with TemporaryFolder("test") as folder:
            (folder / "file").touch()

    for _ in interrupted_at_each_moment(use):
        pass
    with TemporaryFolder("test"):
        pass
    assert not list(parent.iterdir())
