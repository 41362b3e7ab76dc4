from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from prunnet_export._cache_folder import cache_folder
from prunnet_export._errors import StorageError
from tests._asserts import assert_one_line


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A user without a home folder; returns where temporary files go."""

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("PRUNNET_EXPORT_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_user_without_home_gets_a_private_folder(nobody: Path) -> None:
    folder = cache_folder()
    assert folder == nobody / f"prunnet-export-{nobody.stat().st_uid}"
    assert folder.stat().st_mode & 0o777 == 0o700
    (folder / "kept").touch()
    assert cache_folder() == folder
    assert (folder / "kept").exists()


@pytest.mark.usefixtures("nobody")
def test_a_folder_that_others_can_write_to_is_refused() -> None:
    cache_folder().chmod(0o770)
    with pytest.raises(StorageError, match="not a private folder") as caught:
        cache_folder()
    assert_one_line(caught.value)
    assert "PRUNNET_EXPORT_CACHE" in caught.value.hint


def test_a_link_is_refused(nobody: Path) -> None:
    (nobody / "elsewhere").mkdir(mode=0o700)
    (nobody / f"prunnet-export-{nobody.stat().st_uid}").symlink_to(nobody / "elsewhere")
    with pytest.raises(StorageError, match="not a private folder"):
        cache_folder()


def test_a_folder_of_another_user_is_refused(nobody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = nobody.stat().st_uid + 1
    (nobody / f"prunnet-export-{other}").mkdir(mode=0o700)
    monkeypatch.setattr("os.getuid", lambda: other)
    with pytest.raises(StorageError, match="not a private folder"):
        cache_folder()
