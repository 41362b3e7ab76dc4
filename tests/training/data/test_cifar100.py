"""CIFAR-100 in both versions, which hold the same pictures."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prunnet_export.datasets import open_dataset
from prunnet_export.training.data.cifar100 import FORMAT
from tests.training.data._trees import assert_refused

PIXELS = np.random.default_rng(0).integers(0, 256, (10, 3, 32, 32)).astype(np.uint8)
LABELS = {"train": [7, 3, 7, 99, 3, 7], "test": [3, 3, 7, 7]}
ROWS = {"train": slice(0, 6), "test": slice(6, 10)}


def document(split: str, **changed: Any) -> dict[str, Any]:
    """As the official pickle holds it."""
    data = PIXELS[ROWS[split]].reshape(-1, 3072)
    return {"data": data, "fine_labels": LABELS[split], "coarse_labels": LABELS[split], "batch_label": "x", **changed}


def write_binary(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for split, labels in LABELS.items():
        pictures = zip(labels, PIXELS[ROWS[split]], strict=True)
        (root / f"{split}.bin").write_bytes(b"".join(bytes([0, label]) + image.tobytes() for label, image in pictures))
    return root


def write_python(root: Path, **changed: Any) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for split in LABELS:
        (root / split).write_bytes(pickle.dumps(document(split, **changed), protocol=2))
    (root / "meta").write_bytes(b"")
    return root


@pytest.mark.parametrize("write", [write_binary, write_python])
@pytest.mark.parametrize("folder", ["", "cifar-100-binary", "cifar-100-python"])
def test_both_versions(write: Any, folder: str, tmp_path: Path) -> None:
    write(tmp_path / folder)
    assert FORMAT.matches(tmp_path)
    data = open_dataset(str(tmp_path))
    assert data.name.startswith("cifar-100 ")
    assert data.train.labels.tolist() == [1, 0, 1, 2, 0, 1]  # without gaps
    assert data.query.labels.tolist() == [3, 3, 7, 7]
    assert data.query is data.gallery
    assert data.exclude_self
    for split, start in ((data.train, 0), (data.query, 6)):
        np.testing.assert_array_equal(np.asarray(split.image(1)), PIXELS[start + 1].transpose(1, 2, 0))


class TestHostileFiles:
    @pytest.mark.parametrize("content", [b"", b"x", bytes(3073), bytes(3074 + 3073)], ids=len)
    @pytest.mark.parametrize("split", list(LABELS))
    def test_truncated_records(self, split: str, content: bytes, tmp_path: Path) -> None:
        (write_binary(tmp_path) / f"{split}.bin").write_bytes(content)
        assert_refused(FORMAT, tmp_path, rf"{split}\.bin: {len(content)} bytes are no records")

    @pytest.mark.parametrize(
        "changed",
        [
            {"data": np.zeros((6, 3071), np.uint8)},
            {"data": np.zeros((5, 3072), np.uint8)},
            {"data": np.zeros((6, 3072), np.int16)},
            {"data": np.zeros((6, 3072), object)},
            {"data": "x"},
            {"data": None},
            {"fine_labels": [0.5] * 6},
            {"fine_labels": ["a"] * 6},
            {"fine_labels": [[1]] * 6},
            {"fine_labels": [10**30] * 6},
            {"fine_labels": np.zeros((6, 1), np.int64)},
            {"fine_labels": np.array(3)},
            {"fine_labels": [], "data": np.zeros((0, 3072), np.uint8)},
        ],
        ids=str,
    )
    def test_other_values(self, changed: dict[str, Any], tmp_path: Path) -> None:
        write_python(tmp_path, **changed)
        assert_refused(FORMAT, tmp_path, "train: ")

    @pytest.mark.parametrize("content", [{}, [], 3, {"data": 1}])
    def test_another_document(self, content: Any, tmp_path: Path) -> None:
        (write_python(tmp_path) / "test").write_bytes(pickle.dumps(content))
        assert_refused(FORMAT, tmp_path, "test: no 'data' and 'fine_labels'")

    def test_no_files(self, tmp_path: Path) -> None:
        assert not FORMAT.matches(tmp_path)
        assert_refused(FORMAT, tmp_path, "no CIFAR-100")
