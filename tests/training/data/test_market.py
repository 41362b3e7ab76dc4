"""Market-1501: persons, junk and distractors."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunnet_export.datasets import default_input
from prunnet_export.training.data.market import FORMAT, SPLITS
from tests.training.data._trees import assert_recognised, assert_refused, below, write_images

FILES = (
    "bounding_box_train/0002_c1s1_000451_03.jpg",
    "bounding_box_train/0010_c2s1_000551_01.jpg",
    "query/0001_c1s1_001051_00.jpg",
    "bounding_box_test/-1_c1s1_000401_03.jpg",
    "bounding_box_test/0000_c1s1_000151_01.jpg",
    "bounding_box_test/0001_c1s1_001051_03.jpg",
    "bounding_box_test/0001_c6s4_001902_01.jpg",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_images(tmp_path, FILES)
    return tmp_path


def test_junk_leaves_the_gallery_and_distractors_stay(root: Path) -> None:
    data = FORMAT.load(root)
    assert data.train.labels.tolist() == [0, 1]
    assert data.query.labels.tolist() == [1]
    assert data.classes == (frozenset({"2", "10"}), frozenset({"1"}))
    assert below(root, data.gallery) == sorted(FILES[4:])
    assert data.gallery.labels.tolist() == [0, 1, 1]
    assert data.gallery.cameras is not None
    assert data.gallery.cameras.tolist() == [1, 1, 6]
    relevant, junk = data.relevance.rows(0, 1)
    assert relevant.tolist() == [[False, False, True]]
    assert junk.tolist() == [[False, True, False]]  # a distractor is wrong, of whatever camera


def test_the_names_of_duke(root: Path) -> None:
    write_images(root, ["bounding_box_test/0005_c2_f0046985.jpg"])
    assert FORMAT.load(root).gallery.labels.tolist() == [0, 1, 1, 5]


def test_is_recognised(root: Path) -> None:
    assert_recognised(FORMAT, root)


@pytest.mark.parametrize("split", SPLITS)
def test_a_missing_folder(root: Path, split: str) -> None:
    (root / split).rename(root / "elsewhere")
    assert not FORMAT.matches(root)
    assert_refused(FORMAT, root, f"{split}: no such folder")


@pytest.mark.parametrize("name", ["query/-1_c1s1_000401_00.jpg", "bounding_box_train/0000_c1s1_000151_00.jpg"])
def test_nobody_is_no_query_and_nothing_to_learn(root: Path, name: str) -> None:
    write_images(root, [name])
    assert_refused(FORMAT, root, f"{name}: id -?[01] names no person")


def test_the_input_shows_the_whole_person(root: Path) -> None:
    assert default_input(str(root)) == ((256, 128), "squash")
