from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from prunnet_export._errors import StorageError
from prunnet_export._lock import FolderLock


def test_a_lock_file_that_was_unlinked_meanwhile_locks_nobody_out(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path / "tiny"), FolderLock(tmp_path / "tiny")
    first.acquire()
    first.close()
    first.close()
    second.acquire()
    with pytest.raises(StorageError):
        first.acquire()
    second.close()
    assert not list(tmp_path.iterdir())


def _count(folder: Path, turns: int) -> None:
    for _ in range(turns):
        lock = FolderLock(folder)
        while True:
            try:
                lock.acquire()
                break
            except StorageError:
                continue
        counter = folder.parent / "counter"
        counter.write_text(str(int(counter.read_text()) + 1))
        lock.close()


def test_the_lock_excludes(tmp_path: Path) -> None:
    (tmp_path / "counter").write_text("0")
    source = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "import importlib.util as u\n"
        "spec = u.spec_from_file_location('writers', sys.argv[3]); m = u.module_from_spec(spec)\n"
        "spec.loader.exec_module(m); m._count(Path(sys.argv[1]), 100)\n"
    )
    workers = [subprocess.Popen([sys.executable, "-c", source, tmp_path / "tiny", ".", __file__]) for _ in range(2)]
    assert [worker.wait(60) for worker in workers] == [0, 0]
    assert (tmp_path / "counter").read_text() == "200"
