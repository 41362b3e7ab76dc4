"""Holding an artifact while another process replaces it."""

from __future__ import annotations

import errno
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest

from prunnet_export._errors import InvalidInput, StorageError
from prunnet_export.artifact import ArtifactWriter, Manifest, held, load, read_manifest, verify_files
from prunnet_export.artifact._folder import OpenFolder

MakeArtifact = Callable[..., Path]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def write(place: Path, model: Path, manifest: Manifest, number: int) -> None:
    with ArtifactWriter(place) as writer:
        shutil.copy(model, writer.folder / "model.onnx")
        (writer.folder / "part").mkdir()
        (writer.folder / "part" / "extra.bin").write_bytes(bytes([number]) * (1000 + number))
        writer.finish(msgspec.structs.replace(manifest, files={}, size_mb=1.0 + number))


@contextmanager
def replaced_all_the_time(place: Path, model: Path, manifest: Manifest) -> Iterator[list[int]]:
    """Two artifacts take turns in one place, as fast as they are written. Yields the numbers that were written."""
    write(place, model, manifest, 0)
    written, stop = [0], threading.Event()

    def work() -> None:
        while not stop.is_set():
            write(place, model, manifest, len(written) % 2)
            written.append(len(written) % 2)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield written
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("exchanges", [True, False])
def test_no_reader_beside_a_writer_sees_two_artifacts_or_none(
    tiny_model: MakeArtifact, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, exchanges: bool
) -> None:
    if not exchanges:
        monkeypatch.setattr("prunnet_export.artifact._writer.exchange", lambda _first, _second: False)
    place, loads, end = tmp_path / "dist", 0, time.monotonic() + 3
    with replaced_all_the_time(place, tiny_model(), manifest) as written:
        while time.monotonic() < end or len(written) < 5:
            assert load(place, threads=1).manifest.size_mb in {1.0, 2.0}
            with held(place) as kept:
                verify_files(kept.folder, kept.manifest)
                content = (kept.folder / "part" / "extra.bin").read_bytes()
                assert len(content) == 999 + kept.manifest.size_mb
            loads += 1
    assert loads > 5


def test_the_copy_outlives_the_artifact(make_artifact: MakeArtifact, temporary: Path) -> None:
    folder = make_artifact()
    with held(folder) as kept:
        assert kept.origin == folder
        assert kept.manifest == read_manifest(folder)
        assert not kept.replaced()
        shutil.rmtree(folder)
        assert kept.replaced()
        verify_files(kept.folder, kept.manifest)
    assert not [*temporary.iterdir()]


def test_another_artifact_in_its_place_is_seen(make_artifact: MakeArtifact) -> None:
    with held(make_artifact()) as kept:
        make_artifact(target="another")
        assert kept.replaced()


@pytest.mark.parametrize("links", [True, False])
def test_files_are_linked_where_that_is_possible(
    make_artifact: MakeArtifact, temporary: Path, monkeypatch: pytest.MonkeyPatch, *, links: bool
) -> None:
    if not links:
        monkeypatch.setattr(OpenFolder, "link", lambda *_: False)
    folder = make_artifact()
    for check_hashes in (True, False):
        with held(folder, check_hashes=check_hashes) as kept:
            assert kept.folder.is_relative_to(temporary)
            assert (kept.folder / "model.onnx").samefile(folder / "model.onnx") is links
            assert (kept.folder / "model.onnx").read_bytes() == (folder / "model.onnx").read_bytes()


def test_only_what_is_needed_is_copied_and_everything_is_checked(make_artifact: MakeArtifact) -> None:
    folder = make_artifact()
    with held(folder, needed=lambda _: ["model.onnx"]) as kept:
        assert sorted(file.name for file in kept.folder.iterdir()) == ["manifest.json", "model.onnx"]
    (folder / "README.md").write_text("edited")
    with pytest.raises(InvalidInput, match=r"README\.md: 6 bytes"), held(folder, needed=lambda _: ["model.onnx"]):
        pass
    with held(folder, check_hashes=False, needed=lambda _: ["model.onnx"]) as kept:
        assert not (kept.folder / "README.md").exists()


def test_a_link_within_the_folder_is_followed_and_one_out_of_it_is_not(make_artifact: MakeArtifact) -> None:
    folder = make_artifact()
    (folder / "model.onnx").rename(folder / "blob")
    (folder / "model.onnx").symlink_to("blob")
    with held(folder) as kept:
        verify_files(kept.folder, kept.manifest)
        assert not (kept.folder / "model.onnx").is_symlink()
    (folder / "blob").rename(folder.parent / "blob")
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").symlink_to("../blob")
    with pytest.raises(InvalidInput, match="leads out"), held(folder):
        pass


def test_a_missing_file_is_named_by_the_place_that_the_user_knows(make_artifact: MakeArtifact) -> None:
    folder = make_artifact()
    (folder / "model.onnx").unlink()
    with pytest.raises(InvalidInput) as caught, held(folder):
        pass
    assert caught.value.message == f"{folder / 'model.onnx'}: missing"


def test_a_file_that_cannot_be_opened_is_named(make_artifact: MakeArtifact, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, real = make_artifact(), OpenFolder.open

    def refuse(self: OpenFolder, name: str) -> object:
        if name == "model.onnx":
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(self, name)

    monkeypatch.setattr(OpenFolder, "open", refuse)
    with pytest.raises(InvalidInput, match=r"model\.onnx: cannot be read \(Permission denied\)"), held(folder):
        pass


def test_a_link_to_an_artifact_may_change_its_target(
    make_artifact: MakeArtifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, link = make_artifact("dist/a"), make_artifact("dist/b", target="b"), tmp_path / "current"
    link.symlink_to(first)
    real = OpenFolder.open

    def switched(self: OpenFolder, name: str) -> object:
        opened = real(self, name)
        if name == "manifest.json" and link.readlink() == first:
            link.unlink()
            link.symlink_to(second)
            shutil.rmtree(first)
        return opened

    monkeypatch.setattr(OpenFolder, "open", switched)
    with held(link) as kept:
        assert kept.manifest.target == "b"
        verify_files(kept.folder, kept.manifest)


def test_a_reader_waits_for_the_second_rename(make_artifact: MakeArtifact) -> None:
    folder = make_artifact()
    old = folder.rename(folder.with_name(".tiny.old-0123456789ab"))
    timer = threading.Timer(0.2, lambda: old.rename(folder))
    timer.start()
    with held(folder) as kept:
        assert kept.manifest.target == "x86"
    timer.join()


def test_an_artifact_that_does_not_come_back_is_missing(
    make_artifact: MakeArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prunnet_export.artifact._folder._WAIT_S", 0.05)
    folder = make_artifact()
    folder.rename(folder.with_name(".tiny.old-0123456789ab"))
    with pytest.raises(InvalidInput, match="no such folder"), held(folder):
        pass


def test_without_a_place_for_temporary_files(
    make_artifact: MakeArtifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_artifact()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(StorageError, match="no place for temporary files") as caught, held(folder):
        pass
    assert "TMPDIR" in caught.value.hint
    images = [np.zeros((20, 20, 3), np.uint8)]
    assert load(folder, threads=1).embed(images).shape == (1, 8)  # a device may be read-only


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "mnn"])
def test_a_loaded_model_needs_neither_the_copy_nor_the_artifact(
    runtime: str, make_artifact: MakeArtifact, temporary: Path
) -> None:
    folder = make_artifact(runtime=runtime)
    images = [np.full((20, 20, 3), 100, np.uint8)]
    expected = load(folder, threads=1).embed(images)
    model = load(folder, threads=1)
    shutil.rmtree(folder)
    assert not [*temporary.iterdir()]
    np.testing.assert_array_equal(model.embed(images), expected)
