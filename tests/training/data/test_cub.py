"""CUB-200: halves of the classes, and lists that do not agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunnet_export.training.data.cub import CLASSES, FORMAT, IMAGES
from tests.training.data._trees import assert_recognised, assert_refused, below, write_images, write_lines

# Two images each of the classes 1, 2, 9 and 10, in another order than their names have.
ROWS = [(1, "001.A/b.jpg", 1), (2, "001.A/a.jpg", 1), (3, "010.D/a.jpg", 10), (4, "009.C/a.jpg", 9)]
ROWS += [(5, "002.B/a.jpg", 2), (6, "002.B/b.jpg", 2), (7, "009.C/b.jpg", 9), (8, "010.D/b.jpg", 10)]


def write(root: Path, rows: list[tuple[int, str, int]]) -> None:
    write_lines(root / IMAGES, [f"{number} {file}" for number, file, _ in rows])
    write_lines(root / CLASSES, [f"{number} {label}" for number, _, label in rows])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_images(tmp_path / "images", [file for _, file, _ in ROWS])
    write(tmp_path, ROWS)
    return tmp_path


def test_the_first_half_of_the_classes_is_learned_from(root: Path) -> None:
    data = FORMAT.load(root)
    assert below(root / "images", data.train) == ["001.A/b.jpg", "001.A/a.jpg", "002.B/a.jpg", "002.B/b.jpg"]
    assert data.train.labels.tolist() == [0, 0, 1, 1]
    assert below(root / "images", data.query) == ["010.D/a.jpg", "009.C/a.jpg", "009.C/b.jpg", "010.D/b.jpg"]
    assert data.query is data.gallery
    assert data.exclude_self
    assert data.relevance.rows(0, 4)[0].tolist() == [
        [False, False, False, True],
        [False, False, True, False],
        [False, True, False, False],
        [True, False, False, False],
    ]
    assert data.protocol.recall_at == (1, 2, 4, 8)


def test_is_recognised_as_it_is_unpacked(root: Path, tmp_path: Path) -> None:
    assert_recognised(FORMAT, root)
    outer = tmp_path / "outer"
    outer.mkdir()
    for name in ("images", IMAGES, CLASSES):
        (outer / "CUB_200_2011" / name).parent.mkdir(exist_ok=True)
        (root / name).rename(outer / "CUB_200_2011" / name)
    assert len(FORMAT.load(outer).train) == 4


@pytest.mark.parametrize(
    ("row", "match"),
    [
        ((9, "001.A/none.jpg", 1), f"{IMAGES}:9: 001.A/none.jpg does not exist"),
        ((9, "../x.jpg", 1), f"{IMAGES}:9: .*outside"),
        ((3, "001.A/a.jpg", 1), f"{IMAGES}:9: 3 is already in line 3"),
    ],
)
def test_a_malformed_row_is_named_by_its_line(root: Path, row: tuple[int, str, int], match: str) -> None:
    write(root, [*ROWS, row])
    assert_refused(FORMAT, root, match)


def test_lists_that_do_not_agree(root: Path) -> None:
    write_lines(root / CLASSES, [f"{number} {label}" for number, _, label in ROWS[:-1]])
    assert_refused(FORMAT, root, f"{IMAGES}:8: image 8 has no class")
    write_lines(root / CLASSES, [f"{number} x" for number, _, _ in ROWS])
    assert_refused(FORMAT, root, f"{CLASSES}:1: 'x' is no class")
    write_lines(root / CLASSES, [f"{number}" for number, _, _ in ROWS])
    assert_refused(FORMAT, root, f"{CLASSES}:1: 1 fields")


def test_one_class_has_no_half(root: Path) -> None:
    write(root, ROWS[:2])
    assert_refused(FORMAT, root, "1 class")


def test_no_lists(tmp_path: Path) -> None:
    assert_refused(FORMAT, tmp_path, f"no {IMAGES} beside {CLASSES}")
