from __future__ import annotations

import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from prunnet_export import InvalidInput, PrunnetError
from prunnet_export._errors import StorageError, Unreachable
from prunnet_export._lock import FolderLock
from prunnet_export.teachers import TeacherSettings, VectorCache, open_teacher, teacher_vectors
from prunnet_export.teachers import _fill as fill
from prunnet_export.training.data._files import FileSplit
from prunnet_export.views import view
from tests.teachers._teachers import SIDE, ColourTeacher, onnx_teacher, photos, write_photos

COUNT = 20
ROOT = Path(__file__).parents[2]


@pytest.fixture
def split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileSplit:
    """Twenty photographs in files, embedded eight at a time."""
    monkeypatch.setattr(fill, "BLOCK", 8)
    return FileSplit(write_photos(tmp_path / "photos", COUNT), [0] * COUNT, root=tmp_path)


def contents(cache: VectorCache) -> dict[str, bytes]:
    """The bytes of all files of a cache that is closed after it."""
    cache.close()
    return {file.name: file.read_bytes() for file in sorted(cache.folder.iterdir())}


def test_vectors_are_those_of_the_teacher(split: FileSplit, tmp_path: Path) -> None:
    teacher = ColourTeacher()
    seen: list[tuple[int, int, str]] = []
    cache = teacher_vectors(
        teacher, split, flip=False, folder=tmp_path / "c", batch_size=3, progress=lambda *now: seen.append(now)
    )
    assert (cache.count, cache.dim, cache.views) == (COUNT, 9, 1)
    chosen = [17, 3, 3, 0]
    np.testing.assert_allclose(cache.take(0, chosen), teacher.embed([photos(COUNT)[i] for i in chosen]), rtol=1e-6)
    hashes = [hashlib.sha256(Path(split.names[index]).read_bytes()).hexdigest() for index in chosen]
    assert cache.image_sha256(chosen) == hashes
    assert seen == [(8, 20, "colours.onnx"), (16, 20, "colours.onnx"), (20, 20, "colours.onnx")]
    assert cache.take(0, []).shape == (0, 9)
    for number, index in ((1, 0), (0, 20), (0, -1)):
        with pytest.raises(IndexError):
            cache.take(number, [index])
    cache.close()


def test_each_view_has_its_vectors(split: FileSplit, tmp_path: Path) -> None:
    teacher = ColourTeacher()
    cache = teacher_vectors(teacher, split, flip=True, folder=tmp_path / "c", views=3, seed=5, batch_size=7)
    for number in range(3):
        images = [view(split.image(i), seed=5, view=number, index=i, flip=True) for i in range(COUNT)]
        np.testing.assert_allclose(cache.take(number, range(COUNT)), teacher.embed(images), rtol=1e-6)
    assert not np.allclose(cache.take(0, range(COUNT)), cache.take(1, range(COUNT)))
    cache.close()


def test_nothing_is_embedded_twice(split: FileSplit, tmp_path: Path) -> None:
    first = contents(teacher_vectors(ColourTeacher(), split, flip=False, folder=tmp_path / "c"))
    teacher = ColourTeacher()
    assert contents(teacher_vectors(teacher, split, flip=True, folder=tmp_path / "c", seed=3)) == first
    assert teacher.embedded == 0
    for changes in ({"views": 2}, {"views": 2, "flip": True}, {"views": 2, "seed": 1}):
        teacher_vectors(teacher, split, **{"flip": False, "folder": tmp_path / "c", **changes}).close()  # type: ignore[arg-type]
    assert teacher.embedded == 3 * 2 * COUNT
    other = ColourTeacher("b" * 64)
    teacher_vectors(other, split, flip=False, folder=tmp_path / "c").close()
    assert other.embedded == COUNT


def test_only_an_image_that_changed_is_embedded_again(split: FileSplit, tmp_path: Path) -> None:
    teacher_vectors(ColourTeacher(), split, flip=False, folder=tmp_path / "c").close()
    photos(1)[0].rotate(90).save(split.names[13])
    os.utime(split.names[4])
    teacher = ColourTeacher()
    cache = teacher_vectors(teacher, split, flip=False, folder=tmp_path / "c")
    assert teacher.embedded == 2
    np.testing.assert_allclose(cache.take(0, [13, 14]), teacher.embed([split.image(13), split.image(14)]), rtol=1e-6)
    assert cache.image_sha256([13]) == [hashlib.sha256(Path(split.names[13]).read_bytes()).hexdigest()]
    cache.close()


def test_images_in_memory_are_known_by_their_bytes(tmp_path: Path) -> None:
    from tests._inputs import array_split

    teacher = ColourTeacher()
    for changed in (None, None, 3):
        split = array_split(6)
        if changed is not None:
            split._images[changed] ^= 255
        teacher_vectors(teacher, split, flip=False, folder=tmp_path / "c").close()
    assert teacher.embedded == 6 + 0 + 1


def test_worker_processes_give_the_same_bytes(split: FileSplit, tmp_path: Path) -> None:
    alone = contents(teacher_vectors(ColourTeacher(), split, flip=True, folder=tmp_path / "a", views=2))
    shared = teacher_vectors(ColourTeacher(), split, flip=True, folder=tmp_path / "b", views=2, workers=2)
    assert contents(shared) == alone


def test_worker_processes_open_an_onnx_teacher(split: FileSplit, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    teacher = open_teacher(
        str(onnx_teacher(tmp_path / "m.onnx")), settings=TeacherSettings(crop=SIDE, mean=(0, 0, 0), std=(1, 1, 1))
    )
    alone, shared = (
        teacher_vectors(teacher, split, flip=False, folder=tmp_path / f"c{workers}", workers=workers)
        for workers in (0, 2)
    )
    # One thread or several may add in another order.
    np.testing.assert_allclose(shared.take(0, range(COUNT)), alone.take(0, range(COUNT)), rtol=1e-5, atol=1e-6)
    alone.close()
    shared.close()


KILLED = """
import sys
from prunnet_export.teachers import _fill, teacher_vectors
from prunnet_export.training.data._files import FileSplit
from tests.teachers._teachers import ColourTeacher

if __name__ == "__main__":
    _fill.BLOCK = 8
    folder, workers, *names = sys.argv[1:]
    teacher_vectors(
        ColourTeacher(seconds=0.3), FileSplit(names, [0] * len(names), root=_fill.Path(folder).parent), flip=False,
        folder=_fill.Path(folder), workers=int(workers), progress=lambda done, *_: print(done, flush=True),
    )
"""


@pytest.mark.parametrize("workers", [0, 1])
def test_a_killed_run_continues_with_the_same_bytes(split: FileSplit, tmp_path: Path, workers: int) -> None:
    whole = contents(teacher_vectors(ColourTeacher(), split, flip=False, folder=tmp_path / "whole"))
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    command = [sys.executable, str(script), str(tmp_path / "c"), str(workers), *split.names]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "8\n"
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        run.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{child}").exists() for child in children):  # they notice it after their block
        assert time.monotonic() < deadline
        time.sleep(0.02)
    teacher = ColourTeacher()
    assert contents(teacher_vectors(teacher, split, flip=False, folder=tmp_path / "c")) == whole
    assert 0 < teacher.embedded <= COUNT - 8


def test_ctrl_c_keeps_what_is_finished(split: FileSplit, tmp_path: Path) -> None:
    def interrupt(done: int, _total: int, _text: str) -> None:
        if done == 16:
            raise KeyboardInterrupt

    for workers in (0, 1):
        place = tmp_path / f"c{workers}"
        with pytest.raises(KeyboardInterrupt):
            teacher_vectors(ColourTeacher(), split, flip=False, folder=place, workers=workers, progress=interrupt)
        teacher = ColourTeacher()
        teacher_vectors(teacher, split, flip=False, folder=place).close()
        assert teacher.embedded == 4


def test_an_image_that_cannot_be_read_is_named(split: FileSplit, tmp_path: Path) -> None:
    broken = Path(split.names[10])
    content = broken.read_bytes()
    broken.write_bytes(content[:60])
    for workers in (0, 1):
        with pytest.raises(InvalidInput, match=broken.name):
            teacher_vectors(ColourTeacher(), split, flip=False, folder=tmp_path / "c", workers=workers)
    broken.unlink()
    with pytest.raises(InvalidInput, match=broken.name):
        teacher_vectors(ColourTeacher(), split, flip=False, folder=tmp_path / "c")
    broken.write_bytes(content)
    teacher_vectors(ColourTeacher(), split, flip=False, folder=tmp_path / "c").close()
    broken.unlink()
    with pytest.raises(InvalidInput, match=broken.name):
        teacher_vectors(ColourTeacher(), split, flip=False, folder=tmp_path / "c")


@pytest.mark.parametrize("spoil", ["nan", "zero"])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_vector_that_is_none_is_refused(split: FileSplit, tmp_path: Path, spoil: str, workers: int) -> None:
    teacher = ColourTeacher(spoil=spoil)
    with pytest.raises(InvalidInput, match=r"001\.png.*zero or not finite") as caught:
        teacher_vectors(teacher, split, flip=False, folder=tmp_path / "c", views=2, batch_size=4, workers=workers)
    assert caught.value.hint


def test_a_process_that_dies_is_reported(split: FileSplit, tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="was killed") as caught:
        teacher_vectors(ColourTeacher(spoil="exit"), split, flip=False, folder=tmp_path / "c", workers=1)
    assert "fewer workers" in caught.value.hint


def test_a_model_that_changes_under_the_run_is_refused(split: FileSplit, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="has changed since"):
        teacher_vectors(ColourTeacher(reopened_as="b" * 64), split, flip=False, folder=tmp_path / "c", workers=1)


def test_a_disk_that_is_too_small(split: FileSplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")  # noqa: PYI024  # shutil's own is private
    free = 700
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1000, 300, free))
    with pytest.raises(StorageError, match=r"need 1\.68e-06 GB.*has 7\.00e-07 GB free"):
        teacher_vectors(ColourTeacher(), split, flip=False, folder=tmp_path / "c")
    monkeypatch.undo()
    teacher_vectors(ColourTeacher(), split, flip=False, folder=tmp_path / "c").close()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1000, 1000, 0))
    teacher_vectors(ColourTeacher(), split, flip=False, folder=tmp_path / "c").close()


def test_a_disk_that_fills_up(split: FileSplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "pwritev", full)
    with pytest.raises(StorageError, match="no space left") as caught:
        teacher_vectors(ColourTeacher(), split, flip=False, folder=tmp_path / "c")
    assert "free some space" in caught.value.hint
    monkeypatch.undo()
    monkeypatch.setattr(fill, "BLOCK", 8)
    teacher = ColourTeacher()
    teacher_vectors(teacher, split, flip=False, folder=tmp_path / "c").close()
    assert teacher.embedded == COUNT


def test_a_second_process_waits_for_the_first_and_uses_its_vectors(
    split: FileSplit, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="prunnet_export")
    cache = teacher_vectors(ColourTeacher(), split, flip=False, folder=tmp_path / "c")
    lock = FolderLock(cache.folder)
    lock.acquire()
    first = threading.Timer(0.5, lock.close)
    first.start()
    second = ColourTeacher()
    teacher_vectors(second, split, flip=False, folder=tmp_path / "c").close()
    first.join()
    cache.close()
    assert second.embedded == 0
    assert [line for line in caplog.messages if "waiting for another process that writes to" in line]
    assert [one.name for one in (tmp_path / "c").iterdir()] == [cache.folder.name]


@pytest.mark.parametrize("harm", ["short", "gone", "meta"])
def test_damaged_files_are_named(split: FileSplit, tmp_path: Path, harm: str) -> None:
    cache = teacher_vectors(ColourTeacher(), split, flip=False, folder=tmp_path / "c")
    cache.close()
    if harm == "short":
        os.truncate(cache.folder / "vectors", 5)
    elif harm == "gone":
        (cache.folder / "hashes").unlink()
    else:
        (cache.folder / "meta.json").write_text("{")
    with pytest.raises(StorageError) as caught:
        VectorCache(cache.folder)
    assert f"delete {cache.folder}" in caught.value.hint


def test_a_run_that_was_killed_while_it_made_the_files(split: FileSplit, tmp_path: Path) -> None:
    cache = teacher_vectors(ColourTeacher(), split, flip=False, folder=tmp_path / "c")
    whole = contents(cache)
    (cache.folder / "meta.json").unlink()
    os.truncate(cache.folder / "vectors", 5)
    assert contents(teacher_vectors(ColourTeacher(), split, flip=False, folder=tmp_path / "c")) == whole


def test_the_default_folder(split: FileSplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRUNNET_EXPORT_CACHE", str(tmp_path / "home"))
    cache = teacher_vectors(ColourTeacher(), split, flip=False)
    assert cache.folder.parent == tmp_path / "home" / "teachers"
    cache.close()


@pytest.mark.parametrize("wrong", [{"views": 0}, {"seed": -1}, {"workers": -1}, {"batch_size": 0}])
def test_numbers_out_of_range(split: FileSplit, tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidInput, match=str(next(iter(wrong.values())))):
        teacher_vectors(ColourTeacher(), split, flip=False, folder=tmp_path / "c", **wrong)  # type: ignore[arg-type]
    with pytest.raises(PrunnetError, match="0 images"):
        teacher_vectors(ColourTeacher(), FileSplit([], [], root=tmp_path), flip=False, folder=tmp_path / "c")
