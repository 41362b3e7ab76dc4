"""ImageNet's folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunnet_export.datasets import open_dataset
from prunnet_export.training.data.train_val import FORMAT
from tests.training.data._trees import assert_recognised, assert_refused, below, write_images

FILES = (
    "train/n01/1.JPEG",
    "train/n01/2.JPEG",
    "train/n02/1.JPEG",
    "train/n03/1.JPEG",
    "val/n03/a.JPEG",
    "val/n03/b.JPEG",
    "val/n01/c.JPEG",
    "val/n01/d.JPEG",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_images(tmp_path, FILES)
    return tmp_path


def test_splits_and_labels(root: Path) -> None:
    data = FORMAT.load(root)
    assert data.train.labels.tolist() == [0, 0, 1, 2]
    assert below(root, data.query) == ["val/n01/c.JPEG", "val/n01/d.JPEG", "val/n03/a.JPEG", "val/n03/b.JPEG"]
    assert data.query.labels.tolist() == [0, 0, 2, 2]
    assert data.query is data.gallery
    assert data.exclude_self
    assert data.relevance.counts().tolist() == [1, 1, 1, 1]


def test_is_recognised(root: Path) -> None:
    assert_recognised(FORMAT, root)


def test_folders_with_query_and_gallery_are_of_the_other_layout(root: Path) -> None:
    write_images(root, ["query/n01/1.JPEG", "gallery/n01/2.JPEG"])
    assert open_dataset(str(root)).name.startswith("folder")


def test_a_class_that_nobody_learned(root: Path) -> None:
    write_images(root, ["val/n04/1.JPEG"])
    assert_refused(FORMAT, root, "val/n04: train has no such class")


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_missing_or_empty_folder(root: Path, split: str) -> None:
    (root / split).rename(root / "elsewhere")
    assert not FORMAT.matches(root)
    assert_refused(FORMAT, root, f"{split}: no such folder")
    (root / split).mkdir()
    assert_refused(FORMAT, root, f"{split}: this split has no class")


def test_images_that_are_not_sorted_into_classes(root: Path) -> None:
    write_images(root, ["val/stray.JPEG"])
    assert_refused(FORMAT, root, "val/stray.JPEG: this image lies outside of a class")
