"""Images out of an LMDB store, under each spelling of their keys."""

from __future__ import annotations

import pickle
import shutil
from contextlib import closing
from io import BytesIO
from pathlib import Path

import lmdb
import numpy as np
import pytest
from PIL import Image

from prunnet_export._errors import InvalidInput
from prunnet_export.training.data._lmdb import LmdbSplit
from prunnet_export.training.data._lmdb_file import DamagedStoreError, LmdbFile
from prunnet_export.training.data.gldv2 import FORMAT
from tests._asserts import assert_one_line
from tests.training.data._trees import write_lines

PATHS = ["train/a/a/a/aaa1.jpg", "train/a/b/c/abc2.jpg", "train/a/a/b/aab3.jpg"]
KEYS = {"path": PATHS, "slash": [f"/{path}" for path in PATHS], "id": [Path(path).stem for path in PATHS]}


def encoded(shade: int) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (8, 6), (shade, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def write_store(folder: Path, keys: list[str]) -> Path:
    with lmdb.open(str(folder), map_size=2**20) as store, store.begin(write=True) as transaction:
        for shade, key in enumerate(keys):
            transaction.put(key.encode(), encoded(shade))
    return folder


@pytest.mark.parametrize("keys", list(KEYS.values()), ids=list(KEYS))
def test_a_landmark_set_takes_its_train_images_from_the_store(keys: list[str], tmp_path: Path) -> None:
    write_store(tmp_path / "train.lmdb", keys)
    rows = zip(PATHS, (93, 4, 93), strict=True)
    write_lines(tmp_path / "train_list.txt", [f"{path} {label}" for path, label in rows])
    assert FORMAT.matches(tmp_path)
    train = FORMAT.load(tmp_path).train
    assert train.labels.tolist() == [1, 0, 1]
    assert [train.image(index).getpixel((0, 0)) for index in (2, 0, 1)] == [(2, 0, 0), (0, 0, 0), (1, 0, 0)]
    assert train.encoded(1) == encoded(1)
    assert list(train.relative_names) == PATHS


def test_a_split_travels_to_another_process(tmp_path: Path) -> None:
    split = LmdbSplit(write_store(tmp_path / "s", PATHS), PATHS, np.arange(3))
    split.image(0)
    again = pickle.loads(pickle.dumps(split))  # noqa: S301 - as a worker process receives it
    assert again.image(1).getpixel((0, 0)) == (1, 0, 0)


def test_a_key_that_is_not_there_is_named(tmp_path: Path) -> None:
    split = LmdbSplit(write_store(tmp_path / "s", PATHS[:1]), PATHS, np.arange(3))
    with pytest.raises(InvalidInput, match=r"train/a/b/c/abc2\.jpg: no such key") as caught:
        split.image(1)
    assert_one_line(caught.value)


def test_a_value_that_is_no_image_is_named(tmp_path: Path) -> None:
    store = write_store(tmp_path / "s", PATHS)
    with lmdb.open(str(store)) as opened, opened.begin(write=True) as transaction:
        transaction.put(PATHS[2].encode(), b"no image")
    with pytest.raises(InvalidInput, match=r"aab3\.jpg: not a readable image"):
        LmdbSplit(store, PATHS, np.arange(3)).image(2)


def test_a_store_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"x" * 10_000)
    with pytest.raises(InvalidInput, match="cannot be read") as caught:
        LmdbSplit(tmp_path, PATHS, np.arange(3)).image(0)
    assert_one_line(caught.value)
    shutil.rmtree(tmp_path)
    with pytest.raises(InvalidInput, match="cannot be read"):
        LmdbSplit(tmp_path, PATHS, np.arange(3)).image(0)


def many(folder: Path, count: int) -> dict[bytes, bytes]:
    """A store of many pages with values on pages of their own, and what is in it."""
    draw = np.random.default_rng(0)
    keys = [draw.bytes(int(draw.integers(1, 200))) for _ in range(count)]
    content = {key: draw.bytes(int(draw.choice((0, 9, 900, 9000)))) for key in keys}
    with lmdb.open(str(folder), map_size=2**26) as store:
        for items in (list(content.items())[: count // 2], list(content.items())):
            with store.begin(write=True) as transaction:
                for key, value in items:
                    transaction.put(key, value)
    return content


@pytest.mark.parametrize("count", [0, 1, 30, 2000])
def test_every_value_is_found_and_no_other(tmp_path: Path, count: int) -> None:
    content = many(tmp_path, count)
    with closing(LmdbFile(tmp_path / "data.mdb")) as store:
        assert {key: store.get(key) for key in content} == content
        for key in content:
            for other in (key[:-1], key + b"\0", bytes([*key[:-1], key[-1] ^ 1])):
                assert store.get(other) == content.get(other)
        assert store.get(b"\xff" * 300) is None


def test_a_store_that_is_cut_off_is_an_error_and_no_signal(tmp_path: Path) -> None:
    keys = list(many(tmp_path, 100))
    file = tmp_path / "data.mdb"
    whole = file.read_bytes()
    for size in (len(whole) // 2, len(whole) - 4096, 10_000, 4096, 100, 0):
        file.write_bytes(whole[:size])
        with pytest.raises(InvalidInput, match="cannot be read"):
            LmdbSplit(tmp_path, PATHS, np.arange(3)).image(0)
    assert keys


def test_damage_anywhere_is_an_error_or_a_value(tmp_path: Path) -> None:
    keys = list(many(tmp_path, 100))
    file, draw = tmp_path / "data.mdb", np.random.default_rng(1)
    whole, refused = file.read_bytes(), 0
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(20):  # at the starts of pages, because most of the rest is the content of values
            damaged[draw.integers(len(whole) // 4096) * 4096 + draw.integers(80)] = draw.integers(256)
        file.write_bytes(damaged)
        try:
            with closing(LmdbFile(file)) as store:
                for key in keys:
                    store.get(key)
        except DamagedStoreError:
            refused += 1
    assert refused > 30


def test_a_store_of_another_kind_is_refused(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path), map_size=2**20, max_dbs=2) as store:
        store.open_db(b"inner")
    with (
        closing(LmdbFile(tmp_path / "data.mdb")) as opened,
        pytest.raises(DamagedStoreError, match="a store of its own"),
    ):
        opened.get(b"inner")
