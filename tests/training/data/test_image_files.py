"""Finding images below a folder: which files are read, which are skipped, and what is said about them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from prunnet_export._errors import StorageError
from prunnet_export.training.data import _image_files
from prunnet_export.training.data._image_files import Skipped, find_images, report_skipped
from tests.training.data._trees import write_images


def found(root: Path) -> list[str]:
    with report_skipped(root) as skipped:
        return [Path(file).relative_to(root).as_posix() for file in sorted(find_images(root, skipped))]


def test_all_images_below_a_folder(tmp_path: Path) -> None:
    names = ["a/1.PNG", "a/b/2.jpg", "a-b/3.webp", "4.tiff"]
    write_images(tmp_path, [*names, ".hidden.png", ".cache/5.png", "a/.6.png"])
    Image.new("RGB", (4, 4)).save(tmp_path / "seven", "JPEG")
    assert found(tmp_path) == sorted([*names, "seven"])


def test_one_warning_counts_and_names_what_is_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_images(tmp_path, ["a/1.png"])
    for name in ("a/1.heic", "a/2.txt", "a/3", "b.mp4"):
        (tmp_path / name).write_bytes(b"\0\0\0\x18ftypheic" + 40 * b"\0")
    (tmp_path / "a/gone.png").symlink_to("nowhere.png")
    (tmp_path / "a/circle.png").symlink_to("circle.png")
    os.mkfifo(tmp_path / "a/pipe.png")
    assert found(tmp_path) == ["a/1.png"]
    [warning] = caplog.messages
    assert warning.startswith(f"{tmp_path}: 7 files or folders are skipped: ")
    assert "no image that can be read: 4 (b.mp4, a/1.heic, a/2.txt, ...)" in warning
    assert "a link to nothing: 1 (a/gone.png)" in warning
    assert "no permission: 1 (a/circle.png)" in warning
    assert "no file: 1 (a/pipe.png)" in warning


def test_nothing_is_said_if_nothing_is_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_images(tmp_path, ["1.png"])
    found(tmp_path)
    assert not caplog.messages


def test_files_that_may_not_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_images(tmp_path, ["1.png", "2.png", "secret/3.png"])
    listed = _image_files.visible
    # The superuser may read everything, so the answers of the system are replaced.
    monkeypatch.setattr(os, "access", lambda path, _mode: not path.endswith("2.png"))

    def refuse(folder: str) -> list[os.DirEntry[str]]:
        if folder.endswith("secret"):
            raise PermissionError(13, "Permission denied")
        return listed(folder)

    monkeypatch.setattr(_image_files, "visible", refuse)
    assert found(tmp_path) == ["1.png"]
    assert "no permission: 2 (2.png, secret)" in caplog.text
    with pytest.raises(StorageError, match=r"secret: cannot be read \(Permission denied\)"):
        list(find_images(tmp_path / "secret", Skipped(tmp_path)))


def test_links_are_followed_and_circles_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tmp_path / "root"
    write_images(root, ["z/1.png", "z/deep/2.png"])
    write_images(tmp_path, ["other/3.png"])
    (root / "a-link").symlink_to("z")  # the images of z keep the names without the link
    (root / "b").symlink_to(tmp_path / "other")
    (root / "z/deep/up").symlink_to(root)
    (root / "z/out").symlink_to(tmp_path)  # a folder above the root
    (root / "one.png").symlink_to("z/1.png")
    assert found(root) == ["b/3.png", "one.png", "z/1.png", "z/deep/2.png"]
    assert "a link to a folder that is read already: 3" in caplog.text


def test_two_links_between_two_folders(tmp_path: Path) -> None:
    write_images(tmp_path, ["a/1.png", "b/2.png"])
    (tmp_path / "a/to-b").symlink_to("../b")
    (tmp_path / "b/to-a").symlink_to("../a")
    assert found(tmp_path) == ["a/1.png", "b/2.png"]
