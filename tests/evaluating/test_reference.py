from __future__ import annotations

import io
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from prunnet_export._errors import InvalidInput, StorageError
from prunnet_export.artifact import REFERENCE_FILE, GalleryEntry
from prunnet_export.evaluating import Reference, load_reference, save_reference
from prunnet_export.evaluating._images import inputs_of_files
from prunnet_export.preprocessing import Preprocessing
from prunnet_export.protocol import Protocol
from prunnet_export.relevance import ByLabel, Listed, Lists, Relevance
from tests._asserts import assert_one_line, assert_same_relevance
from tests.evaluating._hostile import FOREIGN, Touch, with_arrays

N, M, DIM = 3, 5, 4
_DRAW = np.random.default_rng(0)
REFERENCE = Reference(
    network="a" * 64,
    source="synthetic, é",
    images=(b"one", b"", b"three"),
    teacher_queries=_DRAW.normal(size=(N, DIM)).astype(np.float32),
    subnetwork_queries=_DRAW.normal(size=(N, DIM)).astype(np.float32),
    gallery=_DRAW.normal(size=(M, DIM)).astype(np.float16).astype(np.float32),
    entry=GalleryEntry(count=M, dim=DIM, stored="float16", metric="l2", query_scale=2.5),
    relevance=ByLabel(np.array([0, 1, 1]), np.array([0, 1, 2, 1, 0])),
)
EXCERPT = replace(
    REFERENCE,
    entry=GalleryEntry(count=1000, dim=3, stored="float16", metric="cosine", file="g.npy", made_by="teacher"),
    gallery=REFERENCE.gallery[:, :3],
    rows=np.array([0, 7, 8, 500, 999]),
)
CAMERAS = ByLabel(
    np.array([0, 1, 1]), np.array([0, 1, 2, 1, 0]), np.array([5, 6, 5]), np.array([5, 6, 6, 5, 7]), np.array([0, -1, 3])
)
LISTED = Listed(Lists.of([[4], [1, 3], []]), Lists.of([[0], [], [2]]), M)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    place = tmp_path / REFERENCE_FILE
    save_reference(REFERENCE, place)
    return place


def assert_same(actual: Reference, expected: Reference) -> None:
    for field in fields(Reference):
        mine, theirs = getattr(actual, field.name), getattr(expected, field.name)
        if isinstance(theirs, np.ndarray):
            np.testing.assert_array_equal(mine, theirs, strict=True)
        elif isinstance(theirs, Relevance):
            assert_same_relevance(mine, theirs)
        else:
            assert mine == theirs, field.name


def test_round_trip(file: Path) -> None:
    assert_same(load_reference(file), REFERENCE)
    assert [entry.name for entry in file.parent.iterdir()] == [REFERENCE_FILE]


@pytest.mark.parametrize("relevance", [None, CAMERAS, LISTED], ids=["unknown", "cameras", "listed"])
def test_round_trip_of_variants(relevance: Relevance | None, tmp_path: Path) -> None:
    protocol = Protocol(recall_at=(1, 10), precision_at=(5,), depth=100, trapezoid=True)
    variant = replace(REFERENCE, relevance=relevance, protocol=protocol)
    save_reference(variant, tmp_path / "x.npz")
    assert_same(load_reference(tmp_path / "x.npz"), variant)


def test_round_trip_of_some_rows_of_a_large_gallery(tmp_path: Path) -> None:
    save_reference(EXCERPT, tmp_path / "x.npz")
    assert_same(load_reference(tmp_path / "x.npz"), EXCERPT)


def test_without_files_there_are_the_pixels_of_the_input(tmp_path: Path) -> None:
    steps = Preprocessing(crop=(6, 8), resize=(8, 12))
    images = [Image.fromarray(_DRAW.integers(0, 256, (20, 30, 3), np.uint8)) for _ in range(N)]
    files = tuple(map(as_jpeg, images))
    whole = replace(REFERENCE, images=files)
    kept = whole.without_files(steps)
    save_reference(kept, tmp_path / "x.npz")
    assert_same(load_reference(tmp_path / "x.npz"), kept)
    packed = (tmp_path / "x.npz").read_bytes()
    assert b"JFIF" not in packed
    assert b"alice" not in packed
    [inputs] = inputs_of_files(kept.images, steps, pixels=True)
    np.testing.assert_array_equal(inputs, steps(files))
    with pytest.raises(InvalidInput, match="6 x 8 pixels, the input has 8 x 8"):
        next(inputs_of_files(kept.images, Preprocessing(crop=8, resize=8), pixels=True))


def as_jpeg(image: Image.Image) -> bytes:
    """A JPEG with the name of its artist."""
    exif = Image.Exif()
    exif[0x013B] = "alice"
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "rows",
    [[0, 7, 8, 500], [0, 7, 8, 500, 1000], [-1, 7, 8, 500, 999], [7, 0, 8, 500, 999], [0, 7, 7, 8, 9], [0.0] * 5, None],
    ids=str,
)
def test_rows_that_are_no_rows_of_the_gallery(rows: list[float] | None, tmp_path: Path) -> None:
    file = tmp_path / "x.npz"
    save_reference(EXCERPT, file)
    file.write_bytes(with_arrays(file.read_bytes(), rows=None if rows is None else np.array(rows)))
    with pytest.raises(InvalidInput) as caught:
        load_reference(file)
    assert_one_line(caught.value)


@given(st.lists(st.binary(max_size=20), min_size=2, max_size=6))
def test_images_come_back_byte_by_byte(tmp_path_factory: pytest.TempPathFactory, images: list[bytes]) -> None:
    file = tmp_path_factory.mktemp("images") / "x.npz"
    rows = np.ones((len(images), DIM), np.float32)
    save_reference(
        replace(REFERENCE, images=tuple(images), teacher_queries=rows, subnetwork_queries=rows, relevance=None),
        file,
    )
    assert load_reference(file).images == tuple(images)


@pytest.mark.parametrize("name", ["network", "images", "teacher_queries", "gallery", "query_labels", "protocol"])
def test_a_pickle_is_refused_and_not_executed(name: str, file: Path, tmp_path: Path) -> None:
    name = {"images": "bytes"}.get(name, name)
    mark = tmp_path / "executed"
    attack = np.empty(1, object)
    attack[0] = Touch(mark)
    file.write_bytes(with_arrays(file.read_bytes(), **{name: attack}))
    with np.load(file, allow_pickle=True) as opened:
        opened[name]
    assert mark.exists()  # the attack works on a reader that allows pickles
    mark.unlink()
    with pytest.raises(InvalidInput) as caught:
        load_reference(file)
    assert_one_line(caught.value)
    assert not mark.exists()


@pytest.mark.parametrize("attack", FOREIGN)
def test_foreign_files_are_refused(attack: str, file: Path) -> None:
    file.write_bytes(FOREIGN[attack](file.read_bytes()))
    with pytest.raises(InvalidInput) as caught:
        load_reference(file)
    assert_one_line(caught.value)


@pytest.mark.parametrize("name", ["network", "source", "bytes", "lengths", "teacher_queries", "gallery", "entry"])
def test_a_missing_part_is_refused(name: str, file: Path) -> None:
    file.write_bytes(with_arrays(file.read_bytes(), **{name: None}))
    with pytest.raises(InvalidInput, match=name):
        load_reference(file)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("gallery", np.ones((M, DIM + 1), np.float32)),
        ("gallery", np.ones(M, np.float32)),
        ("entry", np.array("{}")),
        ("entry", np.array('{"count": 6, "dim": 4, "stored": "float32", "metric": "cosine"}')),
        ("entry", np.array('{"count": 5, "dim": 3, "stored": "float32", "metric": "cosine"}')),
        ("gallery", np.float32(1)),
        ("gallery", np.ones((M, DIM), np.float64)),
        ("gallery", np.full((M, DIM), "x")),
        ("teacher_queries", np.ones((N - 1, DIM), np.float32)),
        ("subnetwork_queries", np.ones((N, DIM - 1), np.float32)),
        ("pixels", np.array("yes")),
        ("pixels", np.array([1, 0])),
        ("lengths", np.array([3, 5])),
        ("lengths", np.array([3, 0, 6])),
        ("lengths", np.array([9, -4, 3])),
        ("lengths", np.array(8)),
        ("lengths", np.array([[3], [0], [5]])),
        ("query_labels", np.array([0, 1])),
        ("query_labels", np.array([0.0, 1.0, np.nan])),
        ("gallery_labels", np.array(["a"] * M)),
        ("protocol", np.array("{")),
        ("protocol", np.array('{"depth": 0}')),
        ("protocol", np.array('{"depth": "x"}')),
        ("own", np.array([0, 1, M])),
        ("own", np.array([0, 1])),
        ("query_cameras", np.array([0, 1, 2])),
    ],
    ids=str,
)
def test_parts_that_do_not_fit_together_are_refused(name: str, array: Any, file: Path) -> None:
    file.write_bytes(with_arrays(file.read_bytes(), **{name: array}))
    with pytest.raises(InvalidInput) as caught:
        load_reference(file)
    assert_one_line(caught.value)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("positives", None),
        ("junk_starts", None),
        ("positives", np.array([4, 1, M])),
        ("positives", np.array([4, 1, -1])),
        ("positives", np.array([4, 1])),
        ("positives", np.array([4.0, 1.0, 3.0])),
        ("positives", np.array([0, 1, 3])),  # row 0 is junk for the first query
        ("positive_starts", np.array([0, 1, 3])),
        ("positive_starts", np.array([0, 3, 1, 3])),
        ("positive_starts", np.array([1, 1, 3, 3])),
        ("junk_starts", np.array([], np.int64)),
        ("junk_starts", np.array([[0, 1, 1, 2]])),
    ],
    ids=str,
)
def test_lists_that_do_not_fit_together_are_refused(name: str, array: Any, tmp_path: Path) -> None:
    file = tmp_path / "x.npz"
    save_reference(replace(REFERENCE, relevance=LISTED), file)
    file.write_bytes(with_arrays(file.read_bytes(), **{name: array}))
    with pytest.raises(InvalidInput) as caught:
        load_reference(file)
    assert_one_line(caught.value)


@settings(max_examples=150)
@given(st.data())
def test_damage_is_seen_or_harmless(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    file = tmp_path_factory.mktemp("damaged") / "x.npz"
    save_reference(REFERENCE, file)
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(content)
    try:
        loaded = load_reference(file)
    except InvalidInput as error:
        assert_one_line(error)
    else:
        assert loaded.gallery.shape == (M, DIM)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=REFERENCE_FILE) as caught:
        load_reference(tmp_path / REFERENCE_FILE)
    assert_one_line(caught.value)
    with pytest.raises(InvalidInput):
        load_reference(tmp_path)


def test_one_query_is_not_enough(tmp_path: Path) -> None:
    single = replace(
        REFERENCE,
        images=(b"one",),
        teacher_queries=REFERENCE.teacher_queries[:1],
        subnetwork_queries=REFERENCE.teacher_queries[:1],
        relevance=None,
    )
    save_reference(single, tmp_path / "x.npz")
    with pytest.raises(InvalidInput):
        load_reference(tmp_path / "x.npz")


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(StorageError):
        save_reference(REFERENCE, tmp_path / "file" / "x.npz")
    assert (tmp_path / "file").read_bytes() == b"mine"
