"""Safetensors files are read in place, and damaged ones are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from prunnet_export._errors import InvalidInput
from prunnet_export.vectors import open_vectors

ROWS = np.random.default_rng(0).standard_normal((20, 16)).astype(np.float32)


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
def test_what_the_library_writes_is_read(dtype: str, tmp_path: Path) -> None:
    file = tmp_path / "g.safetensors"
    save_file(
        {"embeddings": ROWS.astype(dtype), "labels": np.arange(20), "weights": np.ones(3, np.float32)},
        file,
        {"metric": "dot", "network": "f" * 64, "format": "pt"},
    )
    (tmp_path / "g.names.txt").write_text("\n".join(f"{row}.jpg" for row in range(20)))
    found = open_vectors(file)
    assert (found.count, found.dim, found.metric, found.network) == (20, 16, "dot", "f" * 64)
    assert found.stored == ("float16" if dtype == "float16" else "float32")
    assert found.labels is not None
    assert found.labels.tolist() == list(range(20))
    expected = ROWS.astype(dtype).astype(np.float32)
    np.testing.assert_array_equal(found.rows(3, 9), expected[3:9])
    np.testing.assert_array_equal(found.take(np.array([19, 0])), expected[[19, 0]])
    assert found.names is not None
    assert found.names[4] == "4.jpg"


def written(file: Path, header: Any, content: bytes = bytes(64)) -> Path:
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + content)
    return file


def facts(**changed: Any) -> dict[str, Any]:
    return {"embeddings": {"dtype": "F32", "shape": [2, 8], "data_offsets": [0, 64], **changed}}


def test_a_small_header_is_read(tmp_path: Path) -> None:
    assert open_vectors(written(tmp_path / "g.safetensors", facts())).count == 2


@pytest.mark.parametrize(
    "header",
    [
        facts(shape=[3, 8]),
        facts(shape=[-2, -8]),
        facts(shape=[2**40, 2**40]),
        facts(shape="2"),
        facts(data_offsets=[0, 65]),
        facts(data_offsets=[64, 0]),
        facts(data_offsets=[0]),
        facts(dtype="BF16"),
        facts(dtype=["F32"]),
        facts(shape=[16]),
        facts(shape=[0, 8], data_offsets=[0, 0]),
        {"vectors": facts()["embeddings"]},
        {**facts(), "labels": {"dtype": "I64", "shape": [3], "data_offsets": [0, 24]}},
        {**facts(), "__metadata__": {"metric": 1}},
        {**facts(), "__metadata__": {"metric": "hamming"}},
        {"embeddings": 3},
        {"embeddings": None},
        {},
    ],
    ids=str,
)
def test_a_header_that_does_not_fit_is_refused(header: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        open_vectors(written(tmp_path / "g.safetensors", header))


@pytest.mark.parametrize("length", [0, 5, 2**21, 2**63])
def test_a_wrong_length_is_refused(length: int, tmp_path: Path) -> None:
    file = written(tmp_path / "g.safetensors", facts())
    file.write_bytes(length.to_bytes(8, "little") + file.read_bytes()[8:])
    with pytest.raises(InvalidInput):
        open_vectors(file)
