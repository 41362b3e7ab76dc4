"""Stanford Online Products: both lists, and each malformed line by its number."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunnet_export.training.data.sop import COLUMNS, FORMAT, TEST, TRAIN
from tests.training.data._trees import assert_recognised, assert_refused, below, write_images, write_lines

HEADER = " ".join(COLUMNS)
ROWS = {
    TRAIN: ["1 7 1 bicycle_final/11_0.JPG", "2 7 1 bicycle_final/11_1.JPG", "3 2 1 bicycle_final/12_0.JPG"],
    TEST: ["4 11 2 lamp_final/13_0.JPG", "5 11 2 lamp_final/13_1.JPG"],
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, rows in ROWS.items():
        write_images(tmp_path, [row.split()[-1] for row in rows])
        write_lines(tmp_path / name, [HEADER, *rows])
    return tmp_path


def test_splits_and_labels(root: Path) -> None:
    data = FORMAT.load(root)
    assert data.train.labels.tolist() == [1, 1, 0]
    assert below(root, data.gallery) == ["lamp_final/13_0.JPG", "lamp_final/13_1.JPG"]
    assert data.query is data.gallery
    assert data.relevance.rows(0, 2)[0].tolist() == [[False, True], [True, False]]
    assert data.protocol.recall_at == (1, 10, 100, 1000)


def test_is_recognised_as_it_is_unpacked(root: Path, tmp_path: Path) -> None:
    assert_recognised(FORMAT, root)
    inner = tmp_path / "outer" / "Stanford_Online_Products"
    inner.mkdir(parents=True)
    for name in ("bicycle_final", "lamp_final", TRAIN, TEST):
        (root / name).rename(inner / name)
    assert len(FORMAT.load(inner.parent).train) == 3


@pytest.mark.parametrize("name", [TRAIN, TEST])
@pytest.mark.parametrize(
    ("lines", "match"),
    [
        ([], "1: no header line"),
        (["1 1 1 a.JPG"], "1: no header line"),
        ([HEADER], " no row"),
        ([HEADER, "1 1 1"], "2: 3 fields"),
        ([HEADER, "1 1 1 none.JPG"], "2: none.JPG does not exist"),
        ([HEADER, "1 1 1 /etc/passwd"], "2: .*outside of the data set"),
        ([HEADER, "1 x 1 lamp_final/13_0.JPG"], "2: 'x' is no class"),
        ([HEADER, "1 1 1 lamp_final/13_0.JPG", "2 1 1 lamp_final/13_0.JPG"], "3: .* is already in line 2"),
    ],
)
def test_a_malformed_list(root: Path, name: str, lines: list[str], match: str) -> None:
    write_lines(root / name, lines)
    assert_refused(FORMAT, root, f"{name}:{match}")


def test_a_class_of_both_lists(root: Path) -> None:
    write_lines(root / TEST, [HEADER, "4 2 2 lamp_final/13_0.JPG"])
    assert_refused(FORMAT, root, f"{TEST}: class 2 is in {TRAIN} too")


def test_no_lists(tmp_path: Path) -> None:
    assert_refused(FORMAT, tmp_path, f"no {TRAIN} beside {TEST}")
