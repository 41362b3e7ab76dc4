"""Vectors of a file in the order of the images: no image gets a row of zeros."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.training import _match_file
from prunnet_export.training._match_file import is_vector_file, match_file
from prunnet_export.training.data._arrays import ArraySplit
from prunnet_export.vectors import open_vectors
from prunnet_export.vectors._stored import StoredVectors, vectors_in_memory
from tests._inputs import array_split

N, DIM = 40, 5
ROWS = np.random.default_rng(0).normal(1, 2, (N, DIM)).astype(np.float32)
COMPOSED, DECOMPOSED = "caf\u00e9.png", "cafe\u0301.png"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRUNNET_EXPORT_CACHE", str(tmp_path / "cache"))


class Named(ArraySplit):
    """Images in memory with given names."""

    given: Sequence[str]

    @property
    def relative_names(self) -> Sequence[str]:
        return self.given


def split(names: Sequence[str]) -> Named:
    plain = array_split(len(names))
    made = Named(np.stack([np.asarray(plain.image(row)) for row in range(len(names))]), plain.labels)
    made.given = names
    return made


def write(folder: Path, names: Sequence[str]) -> Path:
    file = folder / "their.npz"
    np.savez(file, names=np.array(names), embeddings=ROWS[: len(names)])
    return file


def test_every_image_has_its_own_vector(tmp_path: Path) -> None:
    names = [COMPOSED, DECOMPOSED, *(f"{row}.png" for row in range(N - 2))]
    images = list(reversed(names))
    made = match_file(write(tmp_path, names), split(images))
    rows = np.arange(N)
    expected = ROWS[::-1] / np.linalg.norm(ROWS[::-1], axis=1, keepdims=True)
    np.testing.assert_allclose(made.targets.take(rows, np.zeros(N, np.int64)), expected, rtol=1e-6)


@pytest.mark.parametrize("stored", [COMPOSED, DECOMPOSED])
def test_one_vector_for_two_images_is_refused_by_their_names(tmp_path: Path, stored: str) -> None:
    others = [f"{row}.png" for row in range(N - 1)]
    with pytest.raises(InvalidInput, match="one vector for two images") as caught:
        match_file(write(tmp_path, [stored, *others]), split([COMPOSED, *others, DECOMPOSED]))
    assert ascii(COMPOSED) in caught.value.message
    assert ascii(DECOMPOSED) in caught.value.message


@pytest.mark.parametrize("change", [lambda rows: rows[:-1], lambda rows: np.concatenate([rows, rows[:1]])])
def test_a_file_that_gives_other_vectors_than_it_announces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    names = [f"{row}.png" for row in range(N)]

    def opened(file: Path, *, names: Path | None = None) -> StoredVectors:
        stored = open_vectors(file, names=names)
        rows = change(ROWS)
        source = vectors_in_memory(rows, file).source
        monkeypatch.setattr(type(stored.source), "scan", lambda _self, _count, size: source.scan(len(rows), size))
        return stored

    monkeypatch.setattr(_match_file, "open_vectors", opened)
    with pytest.raises(InvalidInput, match="does not give the 40 vectors that it announces"):
        match_file(write(tmp_path, names), split(names))


def test_a_folder_of_a_network_is_a_model(tmp_path: Path) -> None:
    write(tmp_path, ["a"])
    assert is_vector_file(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    assert not is_vector_file(str(tmp_path))
