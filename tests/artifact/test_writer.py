from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from prunnet_export._errors import InvalidInput, StorageError
from prunnet_export.artifact import ArtifactWriter, Manifest, read_manifest, verify_files
from tests._interrupting import interrupted_at_each_moment


def write(destination: Path, manifest: Manifest, content: bytes = b"model") -> Path:
    with ArtifactWriter(destination) as writer:
        (writer.folder / "model.onnx").write_bytes(content)
        return writer.finish(manifest)


def tree(folder: Path) -> list[str]:
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*"))


def _half_and_fail(folder: Path, error: type[BaseException]) -> None:
    (folder / "model.onnx").write_bytes(b"half")
    raise error


def rejected(manifest: Manifest) -> Manifest:
    return msgspec.structs.replace(manifest, status="rejected", reasons=["too slow"])


def test_writes_model_card_and_manifest_and_nothing_beside(manifest: Manifest, tmp_path: Path) -> None:
    place = write(tmp_path / "a" / "b" / "tiny", manifest)
    assert place == tmp_path / "a" / "b" / "tiny"
    names = ["tiny", "tiny/.gitattributes", "tiny/README.md", "tiny/manifest.json", "tiny/model.onnx"]
    assert tree(tmp_path / "a" / "b") == names
    written = read_manifest(place)
    assert sorted(written.files) == ["README.md", "model.onnx"]
    verify_files(place, written)


def test_permissions_are_those_of_any_new_folder(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    assert write(tmp_path / "tiny", manifest).stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_permissions_that_a_library_sets_are_those_of_a_new_file(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    (tmp_path / "plain-folder").mkdir()
    with ArtifactWriter(tmp_path / "tiny") as writer:
        (writer.folder / "sub").mkdir(mode=0o700)
        for file in (writer.folder / "model.onnx", writer.folder / "sub" / "more"):
            file.write_bytes(b"model")
            file.chmod(0o600)
        place = writer.finish(manifest)
    for file in place.rglob("*"):
        wanted = tmp_path / ("plain-folder" if file.is_dir() else "plain")
        assert file.stat().st_mode == wanted.stat().st_mode


@pytest.mark.usefixtures("_both_ways")
def test_replaces_an_artifact(manifest: Manifest, tmp_path: Path) -> None:
    write(tmp_path / "tiny", manifest, b"old")
    write(tmp_path / "tiny", manifest, b"new")
    assert (tmp_path / "tiny" / "model.onnx").read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["tiny"]


def test_replaces_an_empty_folder(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    assert write(tmp_path / "tiny", manifest).is_dir()


def test_rejected_artifacts_stand_beside_and_leave_the_good_one_alone(manifest: Manifest, tmp_path: Path) -> None:
    write(tmp_path / "tiny", manifest, b"good")
    for content in (b"bad", b"worse"):
        assert write(tmp_path / "tiny", rejected(manifest), content) == tmp_path / "tiny.rejected"
    assert (tmp_path / "tiny" / "model.onnx").read_bytes() == b"good"
    assert (tmp_path / "tiny.rejected" / "model.onnx").read_bytes() == b"worse"
    assert read_manifest(tmp_path / "tiny.rejected").reasons == ["too slow"]


def test_without_finish_nothing_is_left(tmp_path: Path) -> None:
    with ArtifactWriter(tmp_path / "tiny") as writer:
        (writer.folder / "model.onnx").write_bytes(b"half")
    assert not tree(tmp_path)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, MemoryError])
def test_after_an_error_the_old_artifact_stands(error: type[BaseException], manifest: Manifest, tmp_path: Path) -> None:
    write(tmp_path / "tiny", manifest, b"old")
    before = tree(tmp_path)
    with pytest.raises(error), ArtifactWriter(tmp_path / "tiny") as writer:
        _half_and_fail(writer.folder, error)
    assert tree(tmp_path) == before
    assert (tmp_path / "tiny" / "model.onnx").read_bytes() == b"old"


@pytest.fixture(params=["exchange", "two renames"])
def _both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "two renames":
        monkeypatch.setattr("prunnet_export.artifact._writer.exchange", lambda _first, _second: False)


def test_an_entry_that_is_not_there_is_not_shipped(manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"model\.onnx"), ArtifactWriter(tmp_path / "tiny") as writer:
        writer.finish(manifest)
    assert not tree(tmp_path)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_disk_that_gives_out_in_the_block_is_a_storage_error(code: int, tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught, ArtifactWriter(tmp_path / "tiny"):
        raise OSError(code, os.strerror(code))
    assert caught.value.hint
    assert "\n" not in caught.value.message
    assert not tree(tmp_path)


def test_an_error_about_another_file_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), ArtifactWriter(tmp_path / "tiny"):
        (tmp_path / "elsewhere").read_bytes()


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_parent_that_cannot_be_written_is_a_storage_error(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "mkdir", fail)
    with pytest.raises(StorageError), ArtifactWriter(tmp_path / "new" / "tiny"):
        pass


@pytest.mark.parametrize("destination", ["file", "file/tiny", "file/a/b"])
def test_a_file_in_the_way_is_a_storage_error(destination: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(StorageError), ArtifactWriter(tmp_path / destination):
        pass
    assert tree(tmp_path) == ["file"]


@pytest.mark.parametrize("name", ["manifest.json", "notes.txt"])
def test_a_folder_that_is_no_artifact_is_not_replaced(name: str, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / name).write_text('{"name": "a web app"}')
    with pytest.raises(StorageError, match="not an artifact"), ArtifactWriter(tmp_path / "site"):
        pass
    assert tree(tmp_path) == ["site", f"site/{name}"]


def test_an_artifact_that_holds_more_is_not_replaced(manifest: Manifest, tmp_path: Path) -> None:
    write(tmp_path / "tiny", manifest)
    (tmp_path / "tiny" / "thesis.tex").write_text("years of work")
    with pytest.raises(StorageError, match=r"thesis\.tex"), ArtifactWriter(tmp_path / "tiny"):
        pass
    assert (tmp_path / "tiny" / "thesis.tex").exists()


def test_a_changed_file_for_git_is_not_replaced(manifest: Manifest, tmp_path: Path) -> None:
    attributes = write(tmp_path / "tiny", manifest) / ".gitattributes"
    attributes.write_text("*.onnx filter=lfs\n")
    with pytest.raises(StorageError, match=r"\.gitattributes"), ArtifactWriter(tmp_path / "tiny"):
        pass
    attributes.unlink()
    assert write(tmp_path / "tiny", manifest) == tmp_path / "tiny"
    assert attributes.exists()


def test_root_is_no_place_for_an_artifact() -> None:
    with pytest.raises(StorageError), ArtifactWriter(Path("/")):
        pass


def test_a_link_to_an_artifact_stays_a_link(manifest: Manifest, tmp_path: Path) -> None:
    write(tmp_path / "real", manifest, b"old")
    (tmp_path / "link").symlink_to("real")
    write(tmp_path / "link", manifest, b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "model.onnx").read_bytes() == b"new"


def test_two_writers_of_one_destination(tmp_path: Path) -> None:
    with ArtifactWriter(tmp_path / "tiny"):
        with pytest.raises(StorageError, match="another process") as caught, ArtifactWriter(tmp_path / "tiny"):
            pass
        with ArtifactWriter(tmp_path / "other"):
            pass
    assert caught.value.hint
    assert not tree(tmp_path)


def test_the_lock_of_a_killed_export_is_gone_and_its_folder_is_cleaned(manifest: Manifest, tmp_path: Path) -> None:
    source = (
        "import os, signal, sys; from pathlib import Path\n"
        "from prunnet_export.artifact import ArtifactWriter\n"
        "with ArtifactWriter(Path(sys.argv[1])) as writer:\n"
        "    (writer.folder / 'model.onnx').write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", source, tmp_path / "tiny"], check=False)
    assert killed.returncode == -9
    assert any(".partial-" in name for name in tree(tmp_path))
    write(tmp_path / "tiny", manifest)
    assert [entry.name for entry in tmp_path.iterdir()] == ["tiny"]


def test_an_artifact_that_was_moved_away_by_a_killed_export_comes_back(manifest: Manifest, tmp_path: Path) -> None:
    write(tmp_path / "tiny", manifest, b"old")
    (tmp_path / "tiny").rename(tmp_path / ".tiny.old-0123456789ab")
    with ArtifactWriter(tmp_path / "tiny"):
        assert (tmp_path / "tiny" / "model.onnx").read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["tiny"]


def test_only_leftovers_of_the_same_name_are_cleaned(tmp_path: Path) -> None:
    others = [
        ".tiny.partial-x",
        ".tiny2.partial-0123456789ab",
        ".tiny.partial-0123456789ab.partial-0123456789ab",
        "tiny.old",
    ]
    for name in others:
        (tmp_path / name).mkdir()
    with ArtifactWriter(tmp_path / "tiny"):
        pass
    assert tree(tmp_path) == sorted(others)


def test_a_reader_sees_a_whole_artifact_or_none(manifest: Manifest, tmp_path: Path) -> None:
    place = tmp_path / "tiny"
    for content in (b"one", b"two"):
        with ArtifactWriter(place) as writer:
            (writer.folder / "model.onnx").write_bytes(content)
            assert not place.exists() or (place / "model.onnx").read_bytes() == b"one"
            writer.finish(manifest)
            verify_files(place, read_manifest(place))
    shutil.rmtree(place)


@pytest.mark.usefixtures("_both_ways")
def test_an_interrupt_at_any_moment_leaves_the_old_artifact_or_the_new_one(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "out"
    monkeypatch.setattr("prunnet_export.artifact._writer.render_card", lambda _: "")  # makes thousands of calls
    write(place, manifest, b"old")
    for _ in interrupted_at_each_moment(lambda: write(place, manifest, b"new")):
        # An interrupted process may leave the empty file of its lock. The next writer removes it.
        assert {entry.name for entry in tmp_path.iterdir()} <= {"out", ".out.lock"}
        verify_files(place, read_manifest(place))
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]
