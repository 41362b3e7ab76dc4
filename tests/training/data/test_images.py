"""Trees of images without splits: classes of folders, and one folder without classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import open_dataset
from prunnet_export.training.data.images import FORMAT
from tests.training.data._trees import assert_recognised, assert_refused, below, write_images

NESTED = ["b/x/1.png", "a/2.png", "b/x/0.png", "a-b/3.png"]


def test_the_folders_of_a_tree_are_its_classes(tmp_path: Path) -> None:
    write_images(tmp_path, NESTED)
    data = FORMAT.load(tmp_path)
    assert data.has_labels
    assert data.train.relative_names == below(tmp_path, data.train) == sorted(NESTED)
    assert data.train.labels.tolist() == [1, 0, 2, 2]
    assert (len(data.query), len(data.gallery), data.relevance.shape) == (0, 0, (0, 0))
    assert data.train.image(0).size == (8, 6)


@pytest.mark.parametrize("folder", ["", "all/"])
def test_one_folder_has_no_labels(folder: str, tmp_path: Path) -> None:
    write_images(tmp_path, [f"{folder}{index}.png" for index in range(3)])
    data = FORMAT.load(tmp_path)
    assert not data.has_labels
    assert data.train.labels.tolist() == [0, 0, 0]


def test_is_recognised(tmp_path: Path) -> None:
    write_images(tmp_path, NESTED)
    assert_recognised(FORMAT, tmp_path)


def test_another_layout_comes_first(tmp_path: Path) -> None:
    write_images(tmp_path, [f"{split}/{label}/1.png" for split in ("train", "val") for label in "ab"])
    assert open_dataset(str(tmp_path)).name.startswith("train-val ")


def test_splits_are_not_mixed_by_mistake(tmp_path: Path) -> None:
    write_images(tmp_path, [f"{split}/a/1.png" for split in ("train", "query", "galery")])
    with pytest.raises(InvalidInput, match="none of the known layouts"):
        open_dataset(str(tmp_path))
    assert len(open_dataset(str(tmp_path), layout="images").train) == 3


def test_no_image(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    assert not FORMAT.matches(tmp_path)
    assert_refused(FORMAT, tmp_path, "no image that can be read")
    assert_refused(FORMAT, tmp_path / "notes.txt", "no such folder")
