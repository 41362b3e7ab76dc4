from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

import pytest

from prunnet_export._errors import StorageError
from prunnet_export.artifact import ArtifactWriter, Manifest
from prunnet_export.artifact._exchange import exchange


def write(destination: Path, manifest: Manifest, content: bytes) -> Path:
    with ArtifactWriter(destination) as writer:
        (writer.folder / "model.onnx").write_bytes(content)
        return writer.finish(manifest)


@pytest.fixture
def _no_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that cannot exchange two folders."""
    monkeypatch.setattr("prunnet_export.artifact._writer.exchange", lambda _first, _second: False)


def test_two_folders_take_each_others_name_or_nothing_happens(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    done = exchange(tmp_path / "a", tmp_path / "b")
    contents = [(tmp_path / name / "file").read_text() for name in ("a", "b")]
    assert contents == (["b", "a"] if done else ["a", "b"])


def test_a_missing_folder_is_not_exchanged(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert not exchange(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a").is_dir()


def test_a_system_without_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    assert not exchange(tmp_path, tmp_path)


@pytest.mark.usefixtures("_no_exchange")
def test_when_the_last_rename_fails_the_old_artifact_comes_back(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "tiny", manifest, b"old")
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if ".partial-" in self.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(StorageError, match="no space"):
        write(tmp_path / "tiny", manifest, b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["tiny"]
    assert (tmp_path / "tiny" / "model.onnx").read_bytes() == b"old"


@pytest.mark.usefixtures("_no_exchange")
@pytest.mark.parametrize("part", ["the old one", ".partial-"])
def test_a_signal_right_after_a_rename_leaves_one_of_both(
    part: str, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "tiny", manifest, b"old")
    rename = Path.rename
    signals = 0

    def interrupted(self: Path, target: Path) -> Path:
        nonlocal signals
        moved = rename(self, target)
        if (".partial-" in self.name) == (part == ".partial-") and not signals:
            signals += 1
            raise KeyboardInterrupt
        return moved

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "tiny", manifest, b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["tiny"]
    kept = (tmp_path / "tiny" / "model.onnx").read_bytes()
    assert kept == (b"new" if part == ".partial-" else b"old")
