"""MSMT17: lists, folders of both releases, and each malformed line by its number."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunnet_export.datasets import default_input
from prunnet_export.training.data.msmt17 import FORMAT
from tests.training.data._trees import assert_recognised, assert_refused, below, write_images, write_lines

LISTS = {
    "list_train.txt": ["0001/0001_000_01_0303morning_0008_0.jpg 1", "0000/0000_001_02_0303morning_0008_0.jpg 0"],
    "list_val.txt": ["0000/0000_000_01_0303morning_0015_0.jpg 0"],
    "list_query.txt": ["0000/0000_000_04_0303morning_0022_0.jpg 0"],
    "list_gallery.txt": ["0000/0000_001_04_0303noon_0022_1.jpg 0", "0000/0000_002_15_0303noon_0022_1.jpg 0"],
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, rows in LISTS.items():
        folder = "train" if name in {"list_train.txt", "list_val.txt"} else "test"
        write_images(tmp_path, [f"{folder}/{row.split()[0]}" for row in rows])
        write_lines(tmp_path / name, rows)
    return tmp_path


def test_splits_labels_and_cameras(root: Path) -> None:
    data = FORMAT.load(root)
    assert data.train.labels.tolist() == [1, 0, 0]  # with what is for validation
    assert below(root, data.train)[2] == "train/0000/0000_000_01_0303morning_0015_0.jpg"
    assert data.query.cameras is not None
    assert data.gallery.cameras is not None
    assert (data.query.cameras.tolist(), data.gallery.cameras.tolist()) == ([4], [4, 15])
    relevant, junk = data.relevance.rows(0, 1)
    assert (relevant.tolist(), junk.tolist()) == ([[False, True]], [[True, False]])


def test_the_folders_of_the_second_release(root: Path) -> None:
    for name in ("train", "test"):
        (root / name).rename(root / f"mask_{name}_v2")
    assert below(root, FORMAT.load(root).query)[0].startswith("mask_test_v2/0000/")


def test_is_recognised(root: Path) -> None:
    assert_recognised(FORMAT, root)


@pytest.mark.parametrize("name", list(LISTS))
@pytest.mark.parametrize(
    ("row", "match"),
    [
        ("0000/0000_000_09_x_0022_0.jpg 0", "does not exist"),
        ("0000/0000_000_x_0022_0.jpg 0", "does not name a camera"),
        ("0000/0000_000_04_x_0022_0.jpg", "1 fields"),
        ("../0000_000_04_x_0022_0.jpg 0", "outside of the data set"),
        ("", "0 fields"),
    ],
)
def test_a_malformed_row_is_named_by_its_line(root: Path, name: str, row: str, match: str) -> None:
    write_lines(root / name, [LISTS[name][0], row, LISTS[name][-1].replace(".jpg", "_2.jpg")])
    assert_refused(FORMAT, root, f"{name}:2: .*{match}")


def test_a_number_that_is_none(root: Path) -> None:
    file = LISTS["list_query.txt"][0].split()[0]
    write_lines(root / "list_query.txt", [f"{file} zero"])
    assert_refused(FORMAT, root, "list_query.txt:1: 'zero' is no id")


def test_a_row_twice(root: Path) -> None:
    write_lines(root / "list_gallery.txt", LISTS["list_gallery.txt"][:1] * 2)
    assert_refused(FORMAT, root, "list_gallery.txt:2: .* is already in line 1")


def test_the_input_shows_the_whole_person(root: Path) -> None:
    assert default_input(str(root)) == ((256, 128), "squash")
