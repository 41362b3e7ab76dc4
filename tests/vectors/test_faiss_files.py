from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from prunnet_export import InvalidInput
from prunnet_export.vectors import open_vectors
from tests._asserts import assert_one_line
from tests.vectors._files import assert_reads, numbers

faiss: Any = pytest.importorskip("faiss")


def write(file: Path, description: str, rows: npt.NDArray[np.float32], ids: Any = None, metric: str = "L2") -> Path:
    index = faiss.index_factory(rows.shape[1], description, getattr(faiss, f"METRIC_{metric}"))
    index.verbose = False
    index.train(rows)
    if ids is None:
        index.add(rows)
    else:
        index.add_with_ids(rows, np.asarray(ids, np.int64))
    faiss.write_index(index, str(file))
    return file


@pytest.mark.parametrize("metric", ["L2", "INNER_PRODUCT"])
def test_a_flat_index_is_read_in_place(tmp_path: Path, metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "g.index", "Flat", numbers(), metric=metric)
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)  # not even imported
    vectors = open_vectors(file)
    assert (vectors.metric, vectors.stored, vectors.names) == ("l2" if metric == "L2" else "dot", "float32", None)
    assert_reads(vectors, numbers())


@pytest.mark.parametrize(
    ("description", "stored"),
    [
        ("SQfp16", "float16"),
        ("SQ8", "int8"),
        ("PQ4x4", "faiss"),
        ("IVF4,Flat", "float32"),
        ("IVF4,SQfp16", "float16"),
        ("IVF4,PQ4x4", "faiss"),
        ("HNSW8", "float32"),
    ],
)
def test_other_indexes_give_their_vectors_back(tmp_path: Path, description: str, stored: str) -> None:
    rows = numbers(800)
    vectors = open_vectors(write(tmp_path / "g.index", description, rows))
    assert (vectors.stored, vectors.names, vectors.count) == (stored, None, 800)
    tolerance = {"float32": 0, "float16": 1e-3, "int8": 0.05, "faiss": 4}[stored]
    np.testing.assert_allclose(vectors.rows(0, 800), rows, atol=tolerance)
    assert_reads(vectors, vectors.rows(0, 800))


@pytest.mark.parametrize("description", ["IDMap,Flat", "IDMap2,SQfp16", "IDMap,HNSW8", "IVF4,Flat"])
def test_ids_are_names(tmp_path: Path, description: str) -> None:
    ids = np.random.default_rng(0).permutation(1000)[:200]
    rows = numbers(200)
    vectors = open_vectors(write(tmp_path / "g.index", description, rows, ids))
    assert vectors.names is not None
    places = vectors.names.find([str(number) for number in ids])
    np.testing.assert_allclose(vectors.take(places), rows, atol=1e-3)
    assert_reads(vectors, vectors.rows(0, 200))


@pytest.mark.parametrize("with_ids", [False, True])
def test_binary_codes_are_read(tmp_path: Path, with_ids: bool) -> None:
    codes = np.random.default_rng(0).integers(0, 256, (50, 4)).astype(np.uint8)
    index = faiss.IndexBinaryFlat(32)
    if with_ids:
        index = faiss.IndexBinaryIDMap(index)
        index.add_with_ids(codes, np.arange(50) + 7)
    else:
        index.add(codes)
    faiss.write_index_binary(index, str(tmp_path / "g.index"))
    vectors = open_vectors(tmp_path / "g.index")
    assert (vectors.stored, vectors.dim, vectors.metric) == ("binary", 32, None)
    assert (vectors.names[3] if vectors.names is not None else None) == ("10" if with_ids else None)
    assert_reads(vectors, np.unpackbits(codes, axis=1).astype(np.float32) * 2 - 1)


def test_names_beside_an_index_are_found(tmp_path: Path) -> None:
    file = write(tmp_path / "g.index", "Flat", numbers(2))
    (tmp_path / "g.txt").write_text("a\nb")
    names = open_vectors(file).names
    assert names is not None
    assert list(names) == ["a", "b"]


@pytest.mark.parametrize("description", ["LSH", "PQ4x4fs", "PCA8,Flat", "IDMap,LSH"])
def test_indexes_without_their_vectors_are_refused(tmp_path: Path, description: str) -> None:
    ids = np.arange(800) if "IDMap" in description else None
    with pytest.raises(InvalidInput, match="does not give its vectors back") as caught:
        open_vectors(write(tmp_path / "g.index", description, numbers(800), ids))
    assert_one_line(caught.value)


def test_an_empty_index_is_refused(tmp_path: Path) -> None:
    faiss.write_index(faiss.IndexFlatL2(4), str(tmp_path / "g.index"))
    with pytest.raises(InvalidInput, match="empty"):
        open_vectors(tmp_path / "g.index")


@pytest.mark.parametrize("description", ["Flat", "SQfp16", "IVF4,Flat", "IDMap,Flat"])
def test_files_that_are_cut_off_are_refused(tmp_path: Path, description: str) -> None:
    ids = np.arange(200) if "IDMap" in description else None
    content = write(tmp_path / "g", description, numbers(200), ids).read_bytes()
    for length in (4, 30, 44, 60, len(content) // 2, len(content) - 1):
        (tmp_path / "g").write_bytes(content[:length])
        with pytest.raises(InvalidInput, match=r"FAISS index|the index is") as caught:
            open_vectors(tmp_path / "g")
        assert_one_line(caught.value)


@pytest.mark.parametrize("place", [4, 8, 33, 37])
def test_headers_that_lie_are_refused(tmp_path: Path, place: int) -> None:
    content = bytearray(write(tmp_path / "g", "Flat", numbers(200)).read_bytes())
    content[place : place + 2] = b"\x7f\x7f"
    (tmp_path / "g").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"FAISS index|the index|shape"):
        open_vectors(tmp_path / "g")
