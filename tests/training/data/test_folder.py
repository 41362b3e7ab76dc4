"""One folder per class: labels, order, and each thing that can be wrong with the tree."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import open_dataset
from prunnet_export.preprocessing import decode
from prunnet_export.training.data.folder import FORMAT
from tests._asserts import assert_one_line
from tests._inputs import HAS_AVIF
from tests.training.data._trees import assert_names_stay

TREE = {
    "train": ("bag/1.png", "bag/2.JPG", "ant/0.png"),
    "query": ("shoe/a.png", "cup/b.png"),
    "gallery": ("cup/d.png", "cup/c.png", "hat/e.png", "shoe/f.png"),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for split, files in TREE.items():
        for shade, name in enumerate(files):
            file = tmp_path / split / name
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (9, 7), (40 * shade, 0, 0)).save(file)
    return tmp_path


def _below(root: Path, names: object) -> list[str]:
    assert isinstance(names, list)
    return [Path(name).relative_to(root).as_posix() for name in names]


def test_order_and_labels(root: Path) -> None:
    data = FORMAT.load(root)
    assert _below(root, data.train.names) == ["train/ant/0.png", "train/bag/1.png", "train/bag/2.JPG"]
    assert data.train.labels.tolist() == [0, 1, 1]
    assert data.train.labels.dtype == np.int64
    assert not data.exclude_self
    assert data.flip
    assert data.classes == (frozenset({"ant", "bag"}), frozenset({"cup", "shoe"}))


def test_one_name_has_one_label_in_query_and_gallery(root: Path) -> None:
    data = FORMAT.load(root)
    classes = {
        split: dict(zip([Path(name).parent.name for name in part.names], part.labels.tolist(), strict=True))
        for split, part in (("query", data.query), ("gallery", data.gallery))
    }
    assert classes == {"query": {"cup": 0, "shoe": 2}, "gallery": {"cup": 0, "hat": 1, "shoe": 2}}


def test_images_are_decoded_and_their_bytes_are_the_file(root: Path) -> None:
    gallery = FORMAT.load(root).gallery
    assert gallery.image(1).size == (9, 7)
    assert gallery.image(1).getpixel((0, 0)) == (0, 0, 0)  # cup/d.png was the first one saved
    assert gallery.encoded(1) == (root / "gallery/cup/d.png").read_bytes()


def test_is_recognised(root: Path) -> None:
    assert FORMAT.matches(root)
    assert len(open_dataset(str(root)).gallery) == 4
    assert not FORMAT.matches(root / "train")


def test_names_do_not_depend_on_the_place(root: Path) -> None:
    assert_names_stay(FORMAT, root)


def test_what_is_no_image_is_passed_over_and_named(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("train/README.md", "train/bag/Thumbs.db", "train/bag/.hidden.png", "train/.cache/x.png"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"no image")
    assert len(FORMAT.load(root).train) == 3
    [warning] = caplog.messages
    assert "2 files or folders are skipped" in warning
    assert "train/README.md" in warning
    assert "train/bag/Thumbs.db" in warning


def test_images_below_a_class_belong_to_it(root: Path) -> None:
    (root / "train/bag/more/a").mkdir(parents=True)
    (root / "train/bag/1.png").rename(root / "train/bag/more/a/1.png")
    train = FORMAT.load(root).train
    assert train.relative_names == ["train/ant/0.png", "train/bag/2.JPG", "train/bag/more/a/1.png"]
    assert train.labels.tolist() == [0, 1, 1]


def test_files_are_read_as_pillow_reads_them(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("1.jfif", "2.jpe", "3", "4.dat"):
        Image.new("RGB", (4, 4)).save(root / "train/bag" / name, "JPEG")
    Image.new("RGB", (16, 16)).save(root / "train/bag" / ("5.avif" if HAS_AVIF else "5.gif"))
    train = FORMAT.load(root).train
    assert len(train) == 8
    assert {train.image(index).mode for index in range(8)} == {"RGB"}
    assert not caplog.messages


def test_the_bytes_of_an_image_give_the_same_pixels(root: Path) -> None:
    image = Image.new("RGBA", (6, 4), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 2, 2))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    image.save(root / "query/cup/b.png", exif=exif)
    query = FORMAT.load(root).query
    assert query.image(0).size == (4, 6)
    assert query.image(0).getpixel((3, 0)) == (0, 0, 255)
    np.testing.assert_array_equal(np.asarray(decode(query.encoded(0), name="b")), np.asarray(query.image(0)))


class TestHostileTrees:
    @pytest.mark.parametrize("split", list(TREE))
    def test_missing_split(self, root: Path, split: str) -> None:
        (root / split).rename(root / "elsewhere")
        assert not FORMAT.matches(root)
        with pytest.raises(InvalidInput, match=f"{split}: no such folder") as caught:
            FORMAT.load(root)
        assert caught.value.hint

    def test_empty_split(self, root: Path) -> None:
        (root / "train").rename(root / "elsewhere")
        (root / "train").mkdir()
        with pytest.raises(InvalidInput, match="train: this split has no class"):
            FORMAT.load(root)

    def test_empty_class(self, root: Path) -> None:
        (root / "gallery" / "void").mkdir()
        with pytest.raises(InvalidInput, match="gallery/void: this class has no image"):
            FORMAT.load(root)

    def test_query_class_without_gallery(self, root: Path) -> None:
        (root / "query" / "shoe").rename(root / "query" / "boot")
        with pytest.raises(InvalidInput, match="query/boot: the gallery has no image"):
            FORMAT.load(root)

    def test_image_outside_of_a_class(self, root: Path) -> None:
        (root / "train" / "stray.png").write_bytes(b"")
        with pytest.raises(InvalidInput, match=r"train/stray\.png: .* outside of a class"):
            FORMAT.load(root)

    def test_broken_image_is_named_when_it_is_read(self, root: Path) -> None:
        (root / "query/cup/b.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
        with pytest.raises(InvalidInput, match=r"query/cup/b\.png: not a readable image"):
            FORMAT.load(root).query.image(0)

    def test_image_that_vanished_is_named(self, root: Path) -> None:
        query = FORMAT.load(root).query
        (root / "query/cup/b.png").unlink()
        with pytest.raises(InvalidInput, match=r"query/cup/b\.png: no such image"):
            query.image(0)
        with pytest.raises(InvalidInput, match=r"query/cup/b\.png: cannot be read"):
            query.encoded(0)


def test_a_class_is_one_in_either_unicode_form(root: Path) -> None:
    for split, name in (("query", "caf\u00e9"), ("gallery", "cafe\u0301")):
        shutil.copytree(root / split / "cup", root / split / name)
    data = FORMAT.load(root)
    query, gallery = (
        dict(zip([Path(name).parent.name for name in part.names], part.labels.tolist(), strict=True))
        for part in (data.query, data.gallery)
    )
    assert query["caf\u00e9"] == gallery["cafe\u0301"]


def test_two_folders_of_one_name_are_refused(root: Path) -> None:
    for name in ("caf\u00e9", "cafe\u0301"):
        shutil.copytree(root / "train" / "bag", root / "train" / name)
    if len(list((root / "train").iterdir())) < 4:
        pytest.skip("this file system takes both for one name")
    with pytest.raises(InvalidInput, match=r"'cafe\\u0301' and 'caf\\xe9'") as caught:
        FORMAT.load(root)
    assert_one_line(caught.value)
