from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from prunnet_export._errors import InvalidInput, StorageError
from prunnet_export.evaluating import Gallery, save_gallery
from prunnet_export.evaluating._given_gallery import open_gallery
from prunnet_export.network_config import NetworkConfig
from prunnet_export.preprocessing import Preprocessing
from prunnet_export.vectors import Metric
from tests._asserts import assert_one_line
from tests.evaluating._hostile import FOREIGN, Touch, pickled, with_arrays, zipped

M, DIM = 6, 4
NETWORK = "a" * 64
CONFIG = NetworkConfig(
    backbone="resnet18", embedding_dim=DIM, preprocessing=Preprocessing(crop=8, resize=8), weights_sha256=NETWORK
)
ROWS = np.random.default_rng(0).normal(size=(M, DIM)).astype(np.float32)
UNIT = ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True)
LABELS = np.arange(M) % 3


def load(file: Path) -> Gallery:
    return open_gallery(file, CONFIG, None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    place = tmp_path / "gallery.npz"
    save_gallery(place, UNIT, labels=LABELS, network=NETWORK)
    return place


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def test_round_trip(file: Path) -> None:
    loaded = load(file)
    np.testing.assert_array_equal(loaded.embeddings, UNIT)
    assert loaded.embeddings.dtype == np.float32
    assert loaded.labels is not None
    assert loaded.labels.tolist() == [0, 1, 2, 0, 1, 2]


def test_the_facts_of_a_file(file: Path) -> None:
    entry = load(file).entry
    assert (entry.file, entry.made_by, entry.count, entry.dim) == ("gallery.npz", "dense network", M, DIM)
    assert (entry.stored, entry.metric, entry.unit, entry.query_scale) == ("float32", "cosine", True, 1)
    assert entry.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


def test_what_is_not_known_stays_unknown(tmp_path: Path) -> None:
    (tmp_path / "g.npy").write_bytes(npy(UNIT))
    loaded = load(tmp_path / "g.npy")
    assert (loaded.labels, loaded.names) == (None, None)


@pytest.mark.parametrize("scale", [1, 1e-3, 100])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_vectors_of_any_length_are_kept_as_they_are(scale: float, dtype: type, tmp_path: Path) -> None:
    file = tmp_path / "g.npy"
    file.write_bytes(npy((UNIT * scale).astype(dtype)))
    loaded = load(file)
    np.testing.assert_allclose(loaded.embeddings, UNIT * scale, rtol=5e-3)
    assert loaded.entry.unit == (scale == 1)


@pytest.mark.parametrize(
    ("stated", "of_file", "used"), [(None, None, "cosine"), (None, "dot", "dot"), ("l2", None, "l2")]
)
def test_the_metric_is_the_stated_one_else_the_files(
    stated: Metric | None, of_file: str | None, used: str, tmp_path: Path
) -> None:
    arrays = {"embeddings": UNIT} if of_file is None else {"embeddings": UNIT, "metric": np.array(of_file)}
    np.savez(tmp_path / "g.npz", allow_pickle=False, **arrays)
    assert open_gallery(tmp_path / "g.npz", CONFIG, None, metric=stated).entry.metric == used


def test_a_gallery_of_another_network(file: Path) -> None:
    with pytest.raises(InvalidInput, match="was made by network aaaaaaaaaaaa, not bbbbbbbbbbbb") as caught:
        open_gallery(file, msgspec.structs.replace(CONFIG, weights_sha256="b" * 64), None)
    assert_one_line(caught.value)


def test_a_gallery_of_another_dimension(file: Path) -> None:
    with pytest.raises(InvalidInput, match="length 4, the network's have 8") as caught:
        open_gallery(file, msgspec.structs.replace(CONFIG, embedding_dim=8), None)
    assert_one_line(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0])
def test_a_row_without_direction_is_named(value: float, tmp_path: Path) -> None:
    rows = ROWS.copy()
    rows[4] = value
    (tmp_path / "g.npy").write_bytes(npy(rows))
    with pytest.raises(InvalidInput, match="vector 4") as caught:
        load(tmp_path / "g.npy")
    assert_one_line(caught.value)


@pytest.mark.parametrize(
    "array",
    [
        np.ones(DIM, np.float32),
        np.ones((0, DIM), np.float32),
        np.ones((M, DIM, 1), np.float32),
        np.float32(1),
        np.ones((M, DIM), np.complex64),
        np.full((M, DIM), "x"),
        np.full((M, DIM), 1, "datetime64[s]"),
    ],
    ids=str,
)
def test_an_array_that_is_no_gallery(array: Any, tmp_path: Path) -> None:
    (tmp_path / "g.npy").write_bytes(npy(array))
    with pytest.raises(InvalidInput) as caught:
        load(tmp_path / "g.npy")
    assert_one_line(caught.value)


@pytest.mark.parametrize(
    "labels",
    [
        np.arange(M - 1),
        np.ones((M, 1), int),
        np.full(M, np.nan),
        np.array([0.5] * M),
        np.int64(1),
    ],
    ids=str,
)
def test_labels_that_are_none(labels: Any, file: Path) -> None:
    file.write_bytes(with_arrays(file.read_bytes(), labels=labels))
    with pytest.raises(InvalidInput, match="label") as caught:
        load(file)
    assert_one_line(caught.value)


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.uint16])
def test_labels_of_any_integer_type(dtype: type, file: Path) -> None:
    file.write_bytes(with_arrays(file.read_bytes(), labels=np.arange(M, dtype=dtype)))
    labels = load(file).labels
    assert labels is not None
    assert labels.dtype == np.int64
    assert labels.tolist() == list(range(M))


@pytest.mark.parametrize("attack", FOREIGN)
def test_foreign_files_are_refused(attack: str, file: Path) -> None:
    file.write_bytes(FOREIGN[attack](file.read_bytes()))
    with pytest.raises(InvalidInput) as caught:
        load(file)
    assert_one_line(caught.value)


@pytest.mark.parametrize("name", ["embeddings", "labels", "network"])
def test_a_pickle_is_refused_and_not_executed(name: str, file: Path, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    attack = np.empty(1, object)
    attack[0] = Touch(mark)
    for content in (with_arrays(file.read_bytes(), **{name: attack}), pickled(attack)):
        file.write_bytes(content)
        with pytest.raises(InvalidInput):
            load(file)
    assert not mark.exists()


def test_a_zip_of_something_else(file: Path) -> None:
    file.write_bytes(zipped({"readme.txt": b"hello"}))
    with pytest.raises(InvalidInput, match="no `embeddings`"):
        load(file)
    file.write_bytes(zipped({"rows.npy": npy(ROWS)}))
    with pytest.raises(InvalidInput, match="embeddings"):
        load(file)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    for place in (tmp_path / "missing.npz", tmp_path):
        with pytest.raises(InvalidInput, match=r"cannot read|holds no files") as caught:
            load(place)
        assert_one_line(caught.value)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(StorageError):
        save_gallery(tmp_path / "file" / "g.npz", UNIT, labels=LABELS, network=NETWORK)
    assert (tmp_path / "file").read_bytes() == b"mine"
