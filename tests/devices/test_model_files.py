from __future__ import annotations

import os
from pathlib import Path

import pytest

from prunnet_export._errors import InvalidInput, PrunnetError
from prunnet_export.devices._model_files import read_model


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """A folder with a model of two files, and with what somebody planted in it."""
    folder, home = tmp_path / "artifact", tmp_path / "home"
    for place in (folder / "sub", home / "keys"):
        place.mkdir(parents=True)
    for name in ("model.onnx", "model.data", "manifest.json", "sub/part"):
        (folder / name).write_text(name)
    for name in ("secret", "keys/id"):
        (home / name).write_text("secret")
    (folder / "id_rsa").symlink_to(home / "secret")
    (folder / "model.onnx.extra").symlink_to(home / "secret")
    (folder / "model.d").symlink_to(home / "keys")
    os.mkfifo(folder / "model.fifo")
    return folder


def test_without_a_list_only_regular_files_with_the_stem_travel(artifact: Path) -> None:
    found = read_model(artifact / "model.onnx", [])
    assert (found.entry, found.contents) == ("model.onnx", {"model.data": b"model.data", "model.onnx": b"model.onnx"})


def test_exactly_the_listed_files_travel(artifact: Path) -> None:
    found = read_model(artifact / "model.onnx", [artifact / "sub" / "part", artifact / "model.onnx"])
    assert (found.entry, set(found.contents)) == ("model.onnx", {"model.onnx", "sub/part"})


def test_the_names_are_relative_to_the_folder_of_all_files(artifact: Path) -> None:
    found = read_model(artifact / "sub" / "part", [artifact / "sub" / "part", artifact / "model.data"])
    assert (found.entry, set(found.contents)) == ("sub/part", {"model.data", "sub/part"})


@pytest.mark.parametrize("name", ["id_rsa", "model.onnx.extra", "model.d/id"])
def test_a_listed_link_that_leads_out_is_refused(name: str, artifact: Path) -> None:
    with pytest.raises(InvalidInput, match=f"{name}: leads out"):
        read_model(artifact / "model.onnx", [artifact / "model.onnx", artifact / name])


def test_a_listed_link_in_a_circle_is_refused(artifact: Path) -> None:
    (artifact / "loop").symlink_to("loop")
    with pytest.raises(PrunnetError, match="loop"):
        read_model(artifact / "model.onnx", [artifact / "model.onnx", artifact / "loop"])


@pytest.mark.parametrize("name", ["model.fifo", "sub"])
def test_a_listed_file_that_is_none_is_refused(name: str, artifact: Path) -> None:
    with pytest.raises(InvalidInput, match=name):
        read_model(artifact / "model.onnx", [artifact / "model.onnx", artifact / name])


def test_a_link_inside_the_folder_is_the_file_that_it_names(artifact: Path) -> None:
    (artifact / "weights").symlink_to("sub/part")
    found = read_model(artifact / "model.onnx", [artifact / "model.onnx", artifact / "weights"])
    assert found.contents["weights"] == b"sub/part"


def test_an_artifact_may_be_reached_by_a_link(artifact: Path) -> None:
    link = artifact.with_name("link")
    link.symlink_to(artifact)
    assert set(read_model(link / "model.onnx", [link / "model.onnx"]).contents) == {"model.onnx"}


@pytest.mark.parametrize("listed", [[], ["Manifest.json", "Data/weight.bin"]])
def test_a_package_travels_whole_and_without_links(listed: list[str], artifact: Path) -> None:
    package = artifact / "model.mlpackage"
    (package / "Data").mkdir(parents=True)
    for name in ("Manifest.json", "Data/weight.bin"):
        (package / name).write_bytes(b"x")
    (package / "Data" / "link").symlink_to(artifact / "id_rsa")
    (package / "link").symlink_to(artifact.parent / "home")
    found = read_model(package / "Manifest.json", [package / name for name in listed])
    assert found.entry == "model.mlpackage/Manifest.json"
    assert set(found.contents) == {"model.mlpackage/Manifest.json", "model.mlpackage/Data/weight.bin"}


def test_a_missing_file_is_named(artifact: Path) -> None:
    for model in (artifact / "none.onnx", artifact / "nowhere" / "none.onnx"):
        with pytest.raises(InvalidInput, match=r"none\.onnx: No such file"):
            read_model(model, [])
    with pytest.raises(InvalidInput, match=r"none: No such file"):
        read_model(artifact / "model.onnx", [artifact / "none"])
