"""Galleries in the local mode of qdrant-client are those that were written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from prunnet_export._errors import InvalidInput, Unreachable
from prunnet_export.galleries import DatabaseRows, open_database
from prunnet_export.gallery_address import TOKEN_VARIABLE, GalleryAddress, gallery_place
from prunnet_export.vectors import Metric, StoredVectors, nearest, unit_vectors
from tests.galleries._engines import DIM, FEW, NAMES, needs, vectors, write_qdrant

pytestmark = needs("QDRANT", "qdrant_client")
METRICS: tuple[Metric, ...] = ("cosine", "dot", "l2")


def opened(text: str) -> StoredVectors:
    found = gallery_place(text)
    assert isinstance(found, GalleryAddress)
    return open_database(found)


@pytest.mark.parametrize("metric", METRICS)
def test_names_labels_vectors_and_neighbours(metric: Metric, tmp_path: Path) -> None:
    write_qdrant(tmp_path / "g", metric, named=True)
    found = opened(f"qdrant://{tmp_path}/g/products")
    assert (found.count, found.dim, found.metric) == (FEW, DIM, metric)
    assert found.names is not None
    assert found.labels is not None
    order = found.names.find(NAMES[:FEW])
    assert sorted(order) == list(range(FEW))
    assert found.labels[order].tolist() == [f"class {row % 5}" for row in range(FEW)]
    taken, written = found.take(order), vectors()[:FEW]
    if metric == "cosine":  # the server keeps unit vectors, and the local mode what it got
        taken, written = unit_vectors(taken), unit_vectors(written)
    np.testing.assert_allclose(taken, written, rtol=1e-5)
    assert isinstance(found.source, DatabaseRows)
    assert found.source.engine.startswith("local mode of qdrant-client ")
    queries = np.random.default_rng(1).standard_normal((5, DIM)).astype(np.float32)
    np.testing.assert_array_equal(found.source.nearest(queries, 10), nearest(queries, found, 10, metric).indices)


def test_ids_are_names_where_the_payload_has_none(tmp_path: Path) -> None:
    write_qdrant(tmp_path / "g", "dot", named=False)
    found = opened(f"qdrant://{tmp_path}/g/products")
    assert found.names is not None
    assert found.labels is None
    row = int(found.names.find(["21"])[0])
    np.testing.assert_allclose(found.take(np.array([row])), vectors()[3:4], rtol=1e-6)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is no folder"):
        opened(f"qdrant://{tmp_path}/g/products")
    write_qdrant(tmp_path / "g", "dot", named=True)
    with pytest.raises(InvalidInput, match="no such collection") as raised:
        opened(f"qdrant://{tmp_path}/g/produce")
    assert raised.value.hint == "known: products"


def test_an_unknown_vector_is_said(tmp_path: Path) -> None:
    write_qdrant(tmp_path / "g", "dot", named=True)
    with pytest.raises(InvalidInput, match="has the vectors clip"):
        opened(f"qdrant://{tmp_path}/g/products?vector=dino")


def test_a_server_that_does_not_answer_is_unreachable_and_the_token_stays_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "s3cret")
    with pytest.raises(Unreachable, match="products does not answer") as raised:
        opened("qdrant://127.0.0.1:9/products")
    assert "s3cret" not in raised.value.message
