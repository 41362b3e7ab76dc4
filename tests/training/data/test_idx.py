"""idx files: both spellings, gzipped or not, and every field of the header wrong once."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import open_dataset
from prunnet_export.training.data._arrays import ArraySplit
from prunnet_export.training.data.idx import FORMAT, STEMS

Bytes = npt.NDArray[np.uint8]
RNG = np.random.default_rng(0)
TRAIN, TEST = RNG.integers(0, 256, (6, 5, 4), np.uint8), RNG.integers(0, 256, (4, 5, 4), np.uint8)
ARRAYS = dict(
    zip(
        STEMS,
        (TRAIN, np.array([3, 0, 3, 9, 0, 9], np.uint8), TEST, np.array([0, 3, 3, 0], np.uint8)),
        strict=True,
    )
)


def _packed(array: Bytes) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def _write(folder: Path, *, suffix: str = "", dotted: bool = False) -> None:
    folder.mkdir(exist_ok=True)
    for stem, array in ARRAYS.items():
        name = stem.replace("-idx", ".idx") if dotted else stem
        content = _packed(array)
        (folder / f"{name}-ubyte{suffix}").write_bytes(gzip.compress(content) if suffix else content)


def _refused(root: Path, match: str) -> None:
    with pytest.raises(InvalidInput, match=match) as caught:
        FORMAT.load(root)
    assert caught.value.hint
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("folder", [".", "raw"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("dotted", [False, True])
def test_every_spelling_reads_the_same(tmp_path: Path, folder: str, suffix: str, dotted: bool) -> None:
    _write(tmp_path / folder, suffix=suffix, dotted=dotted)
    assert FORMAT.matches(tmp_path)
    data = open_dataset(str(tmp_path))
    assert data.train.labels.tolist() == [1, 0, 1, 2, 0, 2]  # numbered without gaps
    assert data.query.labels.tolist() == [0, 3, 3, 0]
    assert data.query is data.gallery
    assert data.exclude_self
    assert data.flip
    grey = np.asarray(data.train.image(2))
    assert grey.shape == (5, 4, 3)
    assert all(np.array_equal(grey[..., channel], TRAIN[2]) for channel in range(3))


def test_encoded_is_lossless(tmp_path: Path) -> None:
    from io import BytesIO

    from PIL import Image

    _write(tmp_path)
    query = FORMAT.load(tmp_path).query
    with Image.open(BytesIO(query.encoded(1))) as opened:
        assert np.array_equal(np.asarray(opened), np.asarray(query.image(1)))


class TestHostileFiles:
    @pytest.mark.parametrize("stem", STEMS)
    def test_missing(self, tmp_path: Path, stem: str) -> None:
        _write(tmp_path)
        (tmp_path / f"{stem}-ubyte").unlink()
        _refused(tmp_path, f"{stem}-ubyte: no such file")

    @pytest.mark.parametrize(
        ("content", "match"),
        [
            (b"", "truncated in its header"),
            (_packed(TRAIN)[:15], "truncated in its header"),
            (_packed(TRAIN)[:-1], "truncated, 1[0-9]+ bytes announced|truncated, 119 of 120"),
            (_packed(TRAIN) + b"x", "bytes follow after the announced 120"),
            (_packed(ARRAYS[STEMS[1]]) + bytes(99), "magic number 0x00000801 instead of 0x00000803"),
            (b"\x00\x00\x0d\x03" + _packed(TRAIN)[4:], "magic number 0x00000d03"),
            (b"\x03\x08\x00\x00" + _packed(TRAIN)[4:], "magic number 0x03080000"),
            (struct.pack(">HBB3I", 0, 8, 3, 0, 28, 28), r"the shape \[0, 28, 28\]"),
            (struct.pack(">HBB3I", 0, 8, 3, 6, 0, 28), r"the shape \[6, 0, 28\]"),
            (struct.pack(">HBB3I", 0, 8, 3, 6, 1 << 31, 28), r"the shape \[6, 2147483648, 28\]"),
            (struct.pack(">HBB3I", 0, 8, 3, (1 << 32) - 1, 4096, 4096), "truncated"),  # 64 PiB
        ],
    )
    @pytest.mark.parametrize("suffix", ["", ".gz"])
    def test_header_and_length(self, tmp_path: Path, content: bytes, match: str, suffix: str) -> None:
        _write(tmp_path, suffix=suffix)
        file = tmp_path / f"{STEMS[0]}-ubyte{suffix}"
        file.write_bytes(gzip.compress(content) if suffix else content)
        _refused(tmp_path, rf"{STEMS[0]}-ubyte{suffix}: .*({match})")

    @pytest.mark.parametrize("damage", ["cut", "flipped", "checksum", "plain"])
    def test_damaged_gzip(self, tmp_path: Path, damage: str) -> None:
        _write(tmp_path, suffix=".gz")
        file = tmp_path / f"{STEMS[2]}-ubyte.gz"
        good = bytearray(file.read_bytes())
        if damage == "cut":
            good = good[:-20]
        elif damage == "flipped":
            good[12] ^= 0xFF
        elif damage == "checksum":
            good[-6] ^= 0xFF
        else:
            good = bytearray(_packed(TEST))
        file.write_bytes(bytes(good))
        _refused(tmp_path, rf"{STEMS[2]}-ubyte\.gz: ")

    def test_counts_have_to_agree(self, tmp_path: Path) -> None:
        _write(tmp_path)
        (tmp_path / f"{STEMS[1]}-ubyte").write_bytes(_packed(np.zeros(5, np.uint8)))
        _refused(tmp_path, f"{STEMS[1]}-ubyte: 5 labels for the 6 images")

    def test_a_test_class_of_one_finds_nothing(self, tmp_path: Path) -> None:
        _write(tmp_path)
        (tmp_path / f"{STEMS[3]}-ubyte").write_bytes(_packed(np.array([0, 3, 0, 0], np.uint8)))
        _refused(tmp_path, "class 3 has a single image")

    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(at=st.integers(0, 60), value=st.integers(0, 255))
    def test_a_flipped_byte_of_a_gzip_file_is_noticed_or_harmless(self, tmp_path: Path, at: int, value: int) -> None:
        _write(tmp_path, suffix=".gz")
        file = tmp_path / f"{STEMS[0]}-ubyte.gz"
        content = bytearray(file.read_bytes())
        content[at] = value
        file.write_bytes(bytes(content))
        try:
            data = FORMAT.load(tmp_path)
        except InvalidInput:
            _refused(tmp_path, STEMS[0])
        else:
            assert np.array_equal(np.asarray(data.train.image(0))[..., 0], TRAIN[0])


class TestArraySplit:
    def test_colour(self) -> None:
        pixels = RNG.integers(0, 256, (2, 3, 4, 3), np.uint8)
        split = ArraySplit(pixels, np.array([0, 1]), name="photo")
        assert np.array_equal(np.asarray(split.image(1)), pixels[1])
        assert split.names == split.relative_names == ["photo[0]", "photo[1]"]

    @pytest.mark.parametrize(
        "images",
        [
            np.zeros((2, 3, 3)),
            np.zeros((2, 3), np.uint8),
            np.zeros((2, 3, 3, 4), np.uint8),
            np.zeros((2, 0, 3), np.uint8),
        ],
    )
    def test_other_arrays_are_refused(self, images: npt.NDArray[np.generic]) -> None:
        with pytest.raises(InvalidInput, match="photo is a"):
            ArraySplit(images, np.array([0, 1]), name="photo")

    @pytest.mark.parametrize("labels", [np.array([0]), np.array([0.0, 1.0]), np.array([[0], [1]])])
    def test_other_labels_are_refused(self, labels: npt.NDArray[np.integer]) -> None:
        with pytest.raises(InvalidInput, match="photo has 2 images"):
            ArraySplit(np.zeros((2, 3, 3), np.uint8), labels, name="photo")
