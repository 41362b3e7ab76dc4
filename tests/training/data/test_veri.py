"""VeRi-776: identities and cameras out of file names."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunnet_export.datasets import default_input
from prunnet_export.training.data.veri import FORMAT, SPLITS
from tests.training.data._trees import assert_recognised, assert_refused, below, write_images

FILES = (
    "image_train/0007_c001_00016450_0.jpg",
    "image_train/0003_c002_00016450_0.jpg",
    "image_query/0002_c002_00030600_0.jpg",
    "image_test/0002_c002_00030600_0.jpg",
    "image_test/0002_c003_00084280_0.jpg",
    "image_test/0005_c003_00084285_0.jpg",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_images(tmp_path, FILES)
    return tmp_path


def test_splits_labels_and_cameras(root: Path) -> None:
    data = FORMAT.load(root)
    assert below(root, data.train) == sorted(FILES[:2])
    assert data.train.labels.tolist() == [0, 1]
    assert data.query.labels.tolist() == [2]
    assert data.gallery.labels.tolist() == [2, 2, 5]
    assert data.gallery.cameras is not None
    assert data.gallery.cameras.tolist() == [2, 3, 3]
    assert not data.exclude_self
    assert data.query.image(0).size == (8, 6)


def test_the_same_camera_is_removed(root: Path) -> None:
    relevant, junk = FORMAT.load(root).relevance.rows(0, 1)
    assert relevant.tolist() == [[False, True, False]]
    assert junk.tolist() == [[True, False, False]]


def test_is_recognised(root: Path) -> None:
    assert_recognised(FORMAT, root)


def test_what_is_no_image_is_passed_over(root: Path) -> None:
    (root / "image_test" / "Thumbs.db").write_bytes(b"")
    assert len(FORMAT.load(root).gallery) == 3


@pytest.mark.parametrize("split", SPLITS)
def test_a_missing_or_empty_folder(root: Path, split: str) -> None:
    (root / split).rename(root / "elsewhere")
    assert not FORMAT.matches(root)
    assert_refused(FORMAT, root, f"{split}: no such folder")
    (root / split).mkdir()
    assert_refused(FORMAT, root, f"{split}: no image")


@pytest.mark.parametrize("name", ["0002.jpg", "c001_0002.jpg", "a_c001_.jpg", "0002_cx.jpg", "٢_c001_0.jpg"])
def test_another_name(root: Path, name: str) -> None:
    write_images(root, [f"image_query/{name}"])
    assert_refused(FORMAT, root, f"image_query/{name}: its name does not begin")


def test_the_input_shows_the_whole_vehicle(root: Path) -> None:
    assert default_input(str(root)) == (256, "squash")
