"""Adapters of other packages: what they give becomes rows, and what they do wrong becomes one error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from prunnet_export._errors import InvalidInput, PrunnetError, UnknownName, UsageError
from prunnet_export.galleries import DatabaseRows, open_database
from prunnet_export.gallery_address import GalleryAddress
from prunnet_export.vectors import nearest

pytestmark = pytest.mark.usefixtures("our_galleries")
COUNT, DIM = 1500, 8


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rows = np.random.default_rng(0).standard_normal((COUNT, DIM)).astype(np.float16)
    names = np.array([f"a/{row}.jpg" for row in range(COUNT)])
    np.savez(tmp_path / "g.npz", embeddings=rows, names=names, labels=np.arange(COUNT) % 7, metric=np.array("dot"))
    return tmp_path / "g.npz"


def address(file: Path, kind: str = "npz") -> GalleryAddress:
    return GalleryAddress(f"our-{kind}", str(file), "products")


def test_a_collection_becomes_rows(file: Path) -> None:
    vectors = open_database(address(file))
    assert (vectors.count, vectors.dim, vectors.metric, vectors.stored) == (COUNT, DIM, "dot", "float16")
    assert vectors.labels is not None
    assert vectors.labels.dtype == np.int64
    assert vectors.names is not None
    assert vectors.names[1234] == "a/1234.jpg"
    stored = np.load(file)["embeddings"].astype(np.float32)
    np.testing.assert_array_equal(vectors.rows(990, 1010), stored[990:1010])
    np.testing.assert_array_equal(vectors.take(np.array([1400, 3, 3])), stored[[1400, 3, 3]])
    assert isinstance(vectors.source, DatabaseRows)
    assert vectors.source.engine == "our database 1.2"
    queries = np.random.default_rng(1).standard_normal((1003, DIM), np.float32)
    np.testing.assert_array_equal(vectors.source.nearest(queries, 4), nearest(queries, stored, 4, "dot").indices)


def test_fewer_neighbours_than_asked_repeat_the_best(file: Path) -> None:
    source = open_database(address(file, "few")).source
    assert isinstance(source, DatabaseRows)
    found = source.nearest(np.ones((2, DIM), np.float32), 3)
    assert (found == found[:, :1]).all()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("noclass", "NoClass is no GalleryDatabase"),
        ("absent", "cannot be loaded from our_galleries:Absent"),
        ("exits", "failed: SystemExit the licence has expired"),
        ("metric", "'hamming'"),
        ("entries", "failed, entries(): 'page 2'"),
        ("twice", "1 name is there more than once, e.g. a 2 times"),
        ("empty", "products is empty"),
        ("somelabels", "only some vectors have a label"),
    ],
)
def test_a_wrong_adapter_is_named_when_it_opens(kind: str, message: str, file: Path) -> None:
    with pytest.raises(UsageError) as raised:
        open_database(address(file, kind))
    assert message in raised.value.message
    assert raised.value.hint


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("search", "search(): 30 s have passed"),
        ("nothing", "it finds nothing for a query"),
        ("unlisted", "it finds 'x/y.jpg', which it did not list"),
        ("fewanswers", "it answers 1 of 2 queries"),
    ],
)
def test_a_wrong_adapter_is_named_when_it_searches(kind: str, message: str, file: Path) -> None:
    source = open_database(address(file, kind)).source
    assert isinstance(source, DatabaseRows)
    with pytest.raises(PrunnetError) as raised:
        source.nearest(np.ones((2, DIM), np.float32), 3)
    assert message in raised.value.message


def test_vectors_of_another_length_are_refused(file: Path) -> None:
    vectors = open_database(address(file, "fetch"))
    with pytest.raises(InvalidInput, match=r"it gives float32 \(2, 7\) for 2 names"):
        vectors.rows(0, 2)


def test_an_unknown_scheme_names_the_known_ones(file: Path) -> None:
    with pytest.raises(UnknownName, match="unknown gallery database 'pinecone'") as raised:
        open_database(GalleryAddress("pinecone", str(file), "x"))
    assert "milvus" in raised.value.hint
    assert "our-npz" in raised.value.hint
