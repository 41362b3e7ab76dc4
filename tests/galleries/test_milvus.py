"""Galleries in Milvus Lite, which speaks as a cluster does, are those that were written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from prunnet_export._errors import InvalidInput, Unreachable
from prunnet_export.galleries import DatabaseRows, open_database
from prunnet_export.gallery_address import TOKEN_VARIABLE, GalleryAddress, gallery_place
from prunnet_export.vectors import Metric, nearest
from tests.galleries._engines import COUNT, DIM, NAMES, needs, vectors, write_milvus

pytestmark = [needs("MILVUS", "pymilvus", "milvus_lite"), pytest.mark.filterwarnings("default")]
METRICS: tuple[Metric, ...] = ("cosine", "dot", "l2")


@pytest.fixture(autouse=True)
def released() -> Iterator[None]:
    """Milvus Lite keeps a file open until its server ends."""
    yield
    from milvus_lite.server_manager import server_manager_instance

    server_manager_instance.release_all()


def opened(text: str) -> GalleryAddress:
    found = gallery_place(text)
    assert isinstance(found, GalleryAddress)
    return found


@pytest.mark.parametrize("metric", METRICS)
def test_names_labels_vectors_and_neighbours(metric: Metric, tmp_path: Path) -> None:
    write_milvus(tmp_path / "g.db", metric)
    found = open_database(opened(f"milvus://{tmp_path}/g.db/products"))
    assert (found.count, found.dim, found.metric) == (COUNT, DIM, metric)
    assert found.names is not None
    assert found.labels is not None
    order = found.names.find(NAMES)
    assert sorted(order) == list(range(COUNT))
    np.testing.assert_array_equal(found.labels[order], np.arange(COUNT) % 5)
    np.testing.assert_allclose(found.take(order), vectors(), rtol=1e-6)
    assert isinstance(found.source, DatabaseRows)
    assert found.source.engine.startswith("Milvus Lite ")
    assert found.source.engine.endswith(", FLAT")
    queries = np.random.default_rng(1).standard_normal((5, DIM)).astype(np.float32)
    np.testing.assert_array_equal(found.source.nearest(queries, 10), nearest(queries, found, 10, metric).indices)


def test_numbers_are_names_too(tmp_path: Path) -> None:
    write_milvus(tmp_path / "g.db", "cosine", numbered=True)
    found = open_database(opened(f"milvus://{tmp_path}/g.db/products?vector=clip&label=label"))
    assert found.names is not None
    row = int(found.names.find(["21"])[0])
    np.testing.assert_allclose(found.take(np.array([row])), vectors()[3:4], rtol=1e-6)
    assert isinstance(found.source, DatabaseRows)
    assert found.source.nearest(vectors()[3:4], 1)[0, 0] == row


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"g\.db does not exist"):
        open_database(opened(f"milvus://{tmp_path}/g.db/products"))
    assert not (tmp_path / "g.db").exists()
    write_milvus(tmp_path / "g.db", "cosine")
    with pytest.raises(InvalidInput, match="no such collection") as raised:
        open_database(opened(f"milvus://{tmp_path}/g.db/produce"))
    assert raised.value.hint == "known: products"
    for option in ("vector=dino", "name=title", "label=brand"):
        with pytest.raises(InvalidInput, match="it has the fields name, clip, label"):
            open_database(opened(f"milvus://{tmp_path}/g.db/products?{option}"))


def test_a_server_that_does_not_answer_is_unreachable_and_the_token_stays_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "s3cret")
    with pytest.raises(Unreachable, match="products does not answer") as raised:
        open_database(opened("milvus://127.0.0.1:9/products"))
    assert "s3cret" not in raised.value.message
