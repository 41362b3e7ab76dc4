"""Arrays that announce more than their file holds, and archives that expand."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.lib import format as npy_format

from prunnet_export._errors import InvalidInput
from prunnet_export.vectors import open_vectors, read_arrays
from prunnet_export.vectors._members import read_array
from tests._asserts import assert_one_line


def header(shape: tuple[int, ...], dtype: str = "<f4", *, fortran: bool = False) -> bytes:
    made = io.BytesIO()
    npy_format.write_array_header_2_0(made, {"descr": dtype, "fortran_order": fortran, "shape": shape})
    return made.getvalue()


def archive(file: Path, members: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(file, "w", kind) as made:
        for name, content in members.items():
            made.writestr(f"{name}.npy", content)
    return file


def assert_refused(file: Path, match: str) -> None:
    for read in (open_vectors, lambda one: read_arrays(one, what="a sample", hint="copy it again")):
        with pytest.raises(InvalidInput, match=match) as caught:
            read(file)
        assert_one_line(caught.value)


@pytest.mark.parametrize("fortran", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.int8, np.dtype("<U3"), np.dtype(">f2")])
def test_an_array_is_read_as_numpy_reads_it(fortran: bool, dtype: np.dtype[np.generic]) -> None:
    array = np.arange(12).reshape(3, 4).astype(dtype, order="F" if fortran else "C")
    made = io.BytesIO()
    np.save(made, array)
    size = len(made.getvalue())
    made.seek(0)
    found = read_array(made, left=size, at_most=1000)
    assert found.dtype == array.dtype
    assert found.flags.writeable
    np.testing.assert_array_equal(found, array)


def test_an_archive_that_expands_is_refused(tmp_path: Path) -> None:
    big = header((2**20, 8)) + bytes(2**25)
    assert_refused(archive(tmp_path / "x.npz", {"embeddings": big}), "expands to more than")


def test_an_archive_of_another_compression_is_refused(tmp_path: Path) -> None:
    content = {"embeddings": header((1, 4)) + bytes(16)}
    assert_refused(archive(tmp_path / "x.npz", content, zipfile.ZIP_LZMA), "unknown compression")


def test_labels_are_not_larger_than_the_vectors_allow(tmp_path: Path) -> None:
    vectors = header((4, 8)) + np.ones((4, 8), np.float32).tobytes()
    labels = header((2**19,), "<i8") + np.arange(2**19).tobytes()
    file = archive(tmp_path / "x.npz", {"embeddings": vectors, "labels": labels}, zipfile.ZIP_STORED)
    with pytest.raises(InvalidInput, match="is too large"):
        open_vectors(file)


@pytest.mark.parametrize(
    "content",
    [
        header((2**60, 2**10)),
        header((2**20, 2**10)) + bytes(100),
        b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b"{" * 1000,
        header((-1, -4)) + bytes(100),
        header((2, 4), "|O") + bytes(100),
        b"\x93NUMPY",
    ],
)
def test_a_header_that_does_not_fit_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    assert_refused(tmp_path / "x.npy", ".")
    assert_refused(archive(tmp_path / "x.npz", {"embeddings": content}), ".")
