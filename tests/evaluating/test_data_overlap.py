from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prunnet_export.datasets import ImageSplit, RetrievalData, open_dataset
from prunnet_export.evaluating import SomeImages, warn_of_overlap
from prunnet_export.evaluating import _data_overlap as module
from prunnet_export.relevance import Listed, Lists
from tests._inputs import retrieval_data, write_folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder data set whose classes of the training are not those of the test."""
    return write_folder(tmp_path / "data")


def warnings(data: RetrievalData, caplog: pytest.LogCaptureFixture) -> list[str]:
    caplog.clear()
    warn_of_overlap(data)
    return [record.message for record in caplog.records if record.levelname == "WARNING"]


def queries(root: Path) -> list[Path]:
    return sorted((root / "query").rglob("*.png"))


def test_a_clean_data_set_is_not_warned_of(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert not warnings(open_dataset(str(root)), caplog)


@pytest.mark.parametrize("how", ["copy", "symlink", "hard link"])
def test_a_query_that_is_in_the_gallery(how: str, root: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, _ = queries(root)
    place = root / "gallery" / first.parent.name / "again.png"
    if how == "copy":
        shutil.copy(first, place)
    elif how == "symlink":
        place.symlink_to(first)
    else:
        os.link(first, place)
    [warning] = warnings(open_dataset(str(root)), caplog)
    assert warning.endswith(f"1 of the 2 queries are also in the gallery and find themselves, e.g. {first}")


def test_an_image_of_the_same_size_is_another_image(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, _ = queries(root)
    content = first.read_bytes()
    (root / "gallery" / first.parent.name / "again.png").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert not warnings(open_dataset(str(root)), caplog)


@pytest.mark.parametrize("at_once", [1, 1000])
def test_a_query_that_is_removed_from_its_own_ranking_is_no_fault(
    at_once: int, root: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAIRS", at_once)
    data = open_dataset(str(root))
    itself = replace(data, gallery=data.query)
    assert "2 of the 2 queries" in warnings(itself, caplog)[0]
    assert not warnings(replace(itself, exclude_self=True), caplog)
    junk = Listed(Lists.of([[1], [0]]), Lists.of([[0], [1]]), 2)
    assert not warnings(replace(itself, judged={"main": junk}), caplog)
    itself.query.cameras = np.array([1, 2])
    assert not warnings(itself, caplog)


class _Packed(SomeImages):
    """Images whose names are no files."""

    def __init__(self, split: ImageSplit) -> None:
        super().__init__((split, np.arange(len(split))))
        self.names = [f"shard:{index}" for index in range(len(split))]


def test_images_in_shards_are_compared_by_their_bytes(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, _ = queries(root)
    data = open_dataset(str(root))
    assert not warnings(replace(data, gallery=_Packed(data.gallery)), caplog)
    shutil.copy(first, root / "gallery" / first.parent.name / "again.png")
    data = open_dataset(str(root))
    for changed in (replace(data, gallery=_Packed(data.gallery)), replace(data, query=_Packed(data.query))):
        assert "1 of the 2 queries" in warnings(changed, caplog)[0]


def test_images_that_are_drawn_are_not_encoded(caplog: pytest.LogCaptureFixture) -> None:
    data = retrieval_data()
    assert not warnings(replace(data, gallery=data.query), caplog)


def test_of_many_images_some_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert module._spread(range(3)) == [0, 1, 2]
    monkeypatch.setattr(module, "_MOST_READ", 3)
    assert module._spread(range(9)) == [0, 4, 8]


def test_classes_of_the_training_among_the_queries(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = root / "train" / "class-3"
    folder.rename(folder.with_name("class-1"))
    [warning] = warnings(open_dataset(str(root)), caplog)
    assert "1 of the 2 classes of the queries are also in the train split, e.g. class-1" in warning


def test_a_layout_that_means_to_share_its_classes_is_not_warned_of(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(root / "train", tmp_path / "shared" / "train")
    shutil.copytree(root / "train", tmp_path / "shared" / "val")
    assert not warnings(open_dataset(str(tmp_path / "shared")), caplog)
