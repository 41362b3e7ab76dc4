"""The In-shop list: labels, both layouts, and each malformed line by its number."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import open_dataset
from prunnet_export.training.data.in_shop import FORMAT, LIST
from tests.training.data._trees import assert_names_stay

HEADER = "image_name item_id evaluation_status"
ROWS = [
    "img/WOMEN/Tees/id_00000009/01_1_front.jpg   id_00000009   train",
    "img/WOMEN/Tees/id_00000001/01_1_front.jpg   id_00000001   train",
    "img/WOMEN/Tees/id_00000001/01_2_side.jpg    id_00000001   train",
    "img/MEN/Denim/id_00000007/01_1_front.jpg    id_00000007   query",
    "img/MEN/Denim/id_00000007/01_2_side.jpg     id_00000007   gallery",
    "img/MEN/Denim/id_00000004/01_2_side.jpg     id_00000004   gallery",
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for row in ROWS:
        file = tmp_path / row.split()[0]
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(file)
    _write(tmp_path, ROWS)
    return tmp_path


def _write(root: Path, rows: list[str], *, count: str | None = None, header: str = HEADER) -> None:
    lines = [str(len(rows)) if count is None else count, header, *rows]
    (root / LIST).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _refused(root: Path, match: str) -> None:
    with pytest.raises(InvalidInput, match=match) as caught:
        FORMAT.load(root)
    assert caught.value.hint
    assert "\n" not in caught.value.message


def test_splits_and_labels(root: Path) -> None:
    data = FORMAT.load(root)
    assert data.train.labels.tolist() == [1, 0, 0]
    assert data.query.labels.tolist() == [1]
    assert data.gallery.labels.tolist() == [1, 0]
    assert data.query.names == [str(root / ROWS[3].split()[0])]
    assert data.query.image(0).size == (8, 8)
    assert not data.exclude_self
    assert data.flip


def test_is_recognised_with_the_list_in_eval_and_the_images_in_img(root: Path) -> None:
    (root / "Eval").mkdir()
    (root / "Img").mkdir()
    (root / LIST).rename(root / "Eval" / LIST)
    (root / "img").rename(root / "Img" / "img")
    assert FORMAT.matches(root)
    assert open_dataset(str(root)).query.image(0).size == (8, 8)
    assert_names_stay(FORMAT, root)


def test_windows_line_ends_and_trailing_blank_lines(root: Path) -> None:
    (root / LIST).write_bytes("\r\n".join(["6", HEADER, *ROWS, "", ""]).encode())
    assert len(FORMAT.load(root).train) == 3


class TestHostileLists:
    def test_no_list(self, tmp_path: Path) -> None:
        assert not FORMAT.matches(tmp_path)
        _refused(tmp_path, f"no {LIST}")

    @pytest.mark.parametrize("count", ["six", "", "-6", "6 6", "٦", "0x6"])
    def test_count_line(self, root: Path, count: str) -> None:
        _write(root, ROWS, count=count)
        _refused(root, rf"{LIST}:1: ")

    @pytest.mark.parametrize("count", ["5", "7", "0", "9" * 10_000])
    def test_count_has_to_agree(self, root: Path, count: str) -> None:
        _write(root, ROWS, count=count)
        _refused(root, rf"{LIST}:1: announces {count[:20]} rows and 6 follow")

    @pytest.mark.parametrize("header", ["", ROWS[0], "image_name item_id"])
    def test_header_line(self, root: Path, header: str) -> None:
        _write(root, ROWS, header=header)
        _refused(root, rf"{LIST}:2: no header")

    @pytest.mark.parametrize(
        ("row", "match"),
        [
            ("img/a.jpg id_1", "2 fields"),
            ("img/a b.jpg id_1 train", "4 fields"),
            ("", "0 fields"),
            ("img/a.jpg id_1 Train", "unknown status 'Train'"),
            ("/etc/passwd id_1 train", "outside of the data set"),
            ("img/../../secret.jpg id_1 train", "outside of the data set"),
            ("img/\0.jpg id_1 train", "outside of the data set"),
            ("img/missing.jpg id_1 train", r"img/missing\.jpg does not exist"),
            (ROWS[0].replace("img/", "img/./"), "is already in line 3"),
        ],
    )
    def test_malformed_row_is_named_by_its_line(self, root: Path, row: str, match: str) -> None:
        _write(root, [*ROWS[:4], row, *ROWS[4:]])
        _refused(root, f"{LIST}:7: .*{match}")

    def test_bytes_that_are_no_text(self, root: Path) -> None:
        (root / LIST).write_bytes(b"6\n" + HEADER.encode() + b"\nimg/\xff.jpg id train\n")
        _refused(root, f"{LIST}:3: not UTF-8")

    @pytest.mark.parametrize("status", ["train", "query", "gallery"])
    def test_empty_split(self, root: Path, status: str) -> None:
        _write(root, [row for row in ROWS if not row.endswith(status)])
        _refused(root, f"no row has the status {status}")

    def test_query_item_without_gallery(self, root: Path) -> None:
        _write(root, [*ROWS[:4], ROWS[5]])
        _refused(root, f"{LIST}:6: the gallery has no image of id_00000007")

    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(content=st.binary(max_size=120) | st.text("0123 \n\tabquerytrain/.", max_size=120).map(str.encode))
    def test_anything_is_refused_in_one_line(self, root: Path, content: bytes) -> None:
        (root / LIST).write_bytes(content)
        _refused(root, LIST)
