from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prunnet_export import InvalidInput
from prunnet_export.vectors import open_vectors
from tests._asserts import assert_one_line
from tests.vectors._files import assert_reads, numbers


@pytest.mark.parametrize(
    ("dtype", "stored"), [("<f4", "float32"), ("<f2", "float16"), ("<f8", "float32"), (">f4", "float32")]
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_floats_are_read_as_they_are(tmp_path: Path, dtype: str, stored: str, order: Any) -> None:
    np.save(tmp_path / "g.npy", np.asarray(numbers(), dtype, order=order))
    vectors = open_vectors(tmp_path / "g.npy")
    assert (vectors.stored, vectors.names, vectors.labels, vectors.metric) == (stored, None, None, None)
    assert_reads(vectors, numbers())


def test_int8_codes_are_hundred_and_twenty_sevenths(tmp_path: Path) -> None:
    codes = np.random.default_rng(0).integers(-127, 128, (50, 16)).astype(np.int8)
    np.save(tmp_path / "g.npy", codes)
    assert open_vectors(tmp_path / "g.npy").stored == "int8"
    assert_reads(open_vectors(tmp_path / "g.npy"), codes.astype(np.float32) * np.float32(1 / 127))
    scale = np.linspace(0.5, 2, 16)
    np.savez(tmp_path / "g.npz", embeddings=codes, scale=scale)
    assert_reads(open_vectors(tmp_path / "g.npz"), codes.astype(np.float32) * scale.astype(np.float32))


def test_bits_are_signs(tmp_path: Path) -> None:
    bits = np.random.default_rng(0).random((50, 24)) < 0.5
    np.save(tmp_path / "g.npy", np.packbits(bits, axis=1))
    vectors = open_vectors(tmp_path / "g.npy")
    assert (vectors.stored, vectors.dim) == ("binary", 24)
    assert_reads(vectors, np.where(bits, 1, -1).astype(np.float32))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_has_all_parts(tmp_path: Path, save: Any) -> None:
    names = np.array([f"ü/{row}.jpg" for row in range(50)])
    save(
        tmp_path / "g.npz",
        labels=np.arange(50, dtype=np.uint8),
        names=names,
        network=np.array("abc"),
        metric=np.array("dot"),
        embeddings=numbers().astype(np.float16),
    )
    vectors = open_vectors(tmp_path / "g.npz")
    assert_reads(vectors, numbers())
    assert vectors.names is not None
    assert list(vectors.names) == names.tolist()
    assert (vectors.network, vectors.metric, vectors.stored) == ("abc", "dot", "float16")
    np.testing.assert_array_equal(vectors.labels, np.arange(50))
    with pytest.raises(InvalidInput, match="names of its own"):
        open_vectors(tmp_path / "g.npz", names=tmp_path / "x.txt")


def test_labels_may_be_texts(tmp_path: Path) -> None:
    np.savez(tmp_path / "g.npz", embeddings=numbers(3), labels=np.array(["a", "b", "a"]))
    labels = open_vectors(tmp_path / "g.npz").labels
    assert labels is not None
    assert labels.tolist() == ["a", "b", "a"]


@pytest.mark.parametrize(
    "parts",
    [
        {"vectors": numbers()},
        {},
        {"embeddings": numbers()[0]},
        {"embeddings": numbers(0)},
        {"embeddings": np.zeros((3, 0), np.float32)},
        {"embeddings": numbers().astype(np.int32)},
        {"embeddings": numbers().astype(np.complex64)},
        {"embeddings": np.array([["a"]])},
        {"embeddings": numbers(), "names": np.array(["a"] * 50)},
        {"embeddings": numbers(), "names": np.array(["a", "b"])},
        {"embeddings": numbers(2), "names": np.array([1, 2])},
        {"embeddings": numbers(2), "names": np.array(["a", ""])},
        {"embeddings": numbers(), "labels": np.array([1, 2])},
        {"embeddings": numbers(2), "labels": np.array([1.5, 2])},
        {"embeddings": numbers(), "metric": np.array("hamming")},
        {"embeddings": numbers(), "network": np.array([1])},
        {"embeddings": numbers().astype(np.int8), "scale": np.array(-1.0)},
        {"embeddings": numbers(), "names": np.array([{}], object)},
    ],
)
def test_parts_that_are_wrong_are_refused(tmp_path: Path, parts: dict[str, Any]) -> None:
    np.savez(tmp_path / "g.npz", **parts)
    with pytest.raises(InvalidInput, match=r"g\.npz") as caught:
        open_vectors(tmp_path / "g.npz")
    assert_one_line(caught.value)


@pytest.mark.parametrize("part", ["embeddings", "names", "labels", "metric", "network", "scale"])
def test_a_part_of_python_objects_is_named(tmp_path: Path, part: str) -> None:
    parts: dict[str, Any] = {"embeddings": numbers(2), part: np.array([["a"], [1, 2]], object)}
    np.savez(tmp_path / "g.npz", **parts)
    with pytest.raises(InvalidInput, match=f"g.npz: `{part}` holds Python objects") as caught:
        open_vectors(tmp_path / "g.npz")
    assert caught.value.hint.startswith("save it as ")
    np.save(tmp_path / "g.npy", parts[part])
    with pytest.raises(InvalidInput, match=r"g\.npy holds Python objects"):
        open_vectors(tmp_path / "g.npy")


def test_repeated_names_are_counted(tmp_path: Path) -> None:
    np.savez(tmp_path / "g.npz", embeddings=numbers(5), names=np.array(["a", "b", "a", "b", "a"]))
    with pytest.raises(InvalidInput, match=r"2 names are there more than once, e\.g\. (a 3|b 2) times"):
        open_vectors(tmp_path / "g.npz")


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_files_that_are_cut_off_are_refused(tmp_path: Path, kind: str) -> None:
    buffer = io.BytesIO()
    if kind == "npy":
        np.save(buffer, numbers())
    else:
        np.savez(buffer, embeddings=numbers())
    content = buffer.getvalue()
    for length in (0, 1, 6, 20, 100, 200, len(content) - 1):
        (tmp_path / "g").write_bytes(content[:length])
        with pytest.raises(InvalidInput) as caught:
            open_vectors(tmp_path / "g")
        assert_one_line(caught.value)


def test_a_file_that_becomes_shorter_is_noticed(tmp_path: Path) -> None:
    np.save(tmp_path / "g.npy", numbers())
    vectors = open_vectors(tmp_path / "g.npy")

    def assert_refused(message: str) -> None:
        with pytest.raises(InvalidInput, match=message):
            vectors.rows(0, 50)
        with pytest.raises(InvalidInput, match=message):
            vectors.take(np.array([49]))

    (tmp_path / "g.npy").write_bytes((tmp_path / "g.npy").read_bytes()[:-4])
    assert_refused("shorter")
    (tmp_path / "g.npy").unlink()
    assert_refused("No such file")


def test_nothing_is_executed(tmp_path: Path) -> None:
    np.save(tmp_path / "g.npy", np.array([[{}]], object), allow_pickle=True)
    with pytest.raises(InvalidInput, match="object"):
        open_vectors(tmp_path / "g.npy")


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="No such file"):
        open_vectors(tmp_path / "none.npy")
    with pytest.raises(InvalidInput, match="holds no files of vectors"):
        open_vectors(tmp_path)
    (tmp_path / "g.npy").write_text("1,2,3")
    with pytest.raises(InvalidInput, match="no file of vectors"):
        open_vectors(tmp_path / "g.npy")
    with zipfile.ZipFile(tmp_path / "g.npz", "w") as archive:
        archive.writestr("embeddings.npy", b"text")
    with pytest.raises(InvalidInput, match=r"not a readable \.npz"):
        open_vectors(tmp_path / "g.npz")


def test_rows_outside_are_an_error_of_the_caller(tmp_path: Path) -> None:
    np.save(tmp_path / "g.npy", numbers())
    for index in (-1, 50):
        with pytest.raises(IndexError, match="50 vectors"):
            open_vectors(tmp_path / "g.npy").take(np.array([index]))


@pytest.mark.parametrize(
    ("value", "reason"), [(np.nan, "NaN"), (np.inf, "NaN or infinity"), (0, "is zero"), (1e30, "too large")]
)
def test_rows_without_a_direction_are_named(tmp_path: Path, value: float, reason: str) -> None:
    rows = numbers()
    rows[42] = value
    np.savez(tmp_path / "g.npz", embeddings=rows, names=np.array([f"{row}.jpg" for row in range(50)]))
    vectors = open_vectors(tmp_path / "g.npz")
    with pytest.raises(InvalidInput, match=rf"vector 42 \(42\.jpg\) .*{reason}"):
        vectors.check_rows(vectors.rows(40, 50), 40)
    np.testing.assert_allclose(vectors.check_rows(rows[:40], 0), np.linalg.norm(rows[:40], axis=1), rtol=1e-6)
