from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from prunnet_export.artifact._exchange import exchange


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
