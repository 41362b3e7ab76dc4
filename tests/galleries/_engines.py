"""Vectors in the embedded forms of the databases, and which clients have to be installed."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prunnet_export.vectors import Vectors

COUNT, DIM = 300, 8
FEW = 60  # the local mode of Qdrant takes long to write a point
NAMES = [f"ü b/{row}'.jpg" for row in range(COUNT)]
METRICS = {"cosine": ("COSINE", "Cosine"), "dot": ("IP", "Dot"), "l2": ("L2", "Euclid")}


def needs(name: str, *modules: str) -> pytest.MarkDecorator:
    """Skips if modules are missing, unless ``PRUNNET_TESTS_NEED_NAME`` says that they are there."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    allowed = not os.environ.get(f"PRUNNET_TESTS_NEED_{name}")
    return pytest.mark.skipif(bool(missing) and allowed, reason=f"not installed: {', '.join(missing)}")


def vectors(count: int = COUNT) -> Vectors:
    return np.random.default_rng(0).standard_normal((count, DIM)).astype(np.float32)


def write_milvus(file: Path, metric: str, **fields: Any) -> None:
    """A collection ``products`` in a file of Milvus Lite: names as the primary key, or numbers with ``numbered``."""
    from pymilvus import DataType, MilvusClient

    client = MilvusClient(str(file))
    try:
        schema = MilvusClient.create_schema(auto_id=False)
        if fields.get("numbered"):
            schema.add_field("id", DataType.INT64, is_primary=True)
        else:
            schema.add_field("name", DataType.VARCHAR, is_primary=True, max_length=100)
        schema.add_field("clip", DataType.FLOAT_VECTOR, dim=DIM)
        schema.add_field("label", DataType.INT64)
        index = client.prepare_index_params()
        index.add_index("clip", index_type="FLAT", metric_type=METRICS[metric][0])
        client.create_collection("products", schema=schema, index_params=index)
        keys = [{"id": 7 * row} if fields.get("numbered") else {"name": NAMES[row]} for row in range(COUNT)]
        rows = [
            {**key, "clip": row, "label": number % 5}
            for number, (key, row) in enumerate(zip(keys, vectors(), strict=True))
        ]
        client.insert("products", rows)
    finally:
        client.close()


def write_qdrant(folder: Path, metric: str, *, named: bool) -> None:
    """A collection ``products`` in a folder of Qdrant's local mode, with a named vector or without names at all."""
    from qdrant_client import QdrantClient, models

    client = QdrantClient(path=str(folder))
    try:
        settings = models.VectorParams(size=DIM, distance=models.Distance(METRICS[metric][1]))
        client.create_collection("products", vectors_config={"clip": settings} if named else settings)
        client.upsert(
            "products",
            [
                models.PointStruct(
                    id=7 * row,
                    vector={"clip": vector.tolist()} if named else vector.tolist(),
                    payload={"name": NAMES[row], "label": f"class {row % 5}"} if named else {},
                )
                for row, vector in enumerate(vectors()[:FEW])
            ],
        )
    finally:
        client.close()
