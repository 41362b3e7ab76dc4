"""Which files and folders hold vectors, and what identifies them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from prunnet_export.vectors import holds_vectors, identity_of, open_vectors
from tests.teachers._teachers import onnx_teacher
from tests.vectors._files import numbers, write_parquet

KINDS = ("npy", "npz", "parquet", "safetensors", "faiss")


def write(folder: Path, kind: str) -> Path:
    """Four vectors in a file of a kind."""
    file, rows = folder / f"g.{kind}", numbers(4)
    if kind == "npy":
        np.save(file, rows)
    elif kind == "npz":
        np.savez(file, embeddings=rows)
    elif kind == "parquet":
        write_parquet(file, list(rows))
    elif kind == "safetensors":
        save_file({"embeddings": rows}, file)
    else:
        faiss = pytest.importorskip("faiss")
        index = faiss.IndexFlatIP(rows.shape[1])
        index.add(rows)
        faiss.write_index(index, str(file))
    return file


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["G.{}", "g.dat", "g"])
def test_a_file_is_known_by_its_content(tmp_path: Path, kind: str, name: str) -> None:
    file = write(tmp_path, kind).rename(tmp_path / name.format(kind.upper()))
    assert holds_vectors(file)
    np.testing.assert_array_equal(open_vectors(file).rows(0, 4), numbers(4))


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_is_known_by_its_files(tmp_path: Path, kind: str) -> None:
    (tmp_path / "README.md").write_text("ours")
    assert not holds_vectors(tmp_path)
    write(tmp_path, kind).rename(tmp_path / f"PART.{kind.upper()}")
    assert holds_vectors(tmp_path)
    assert open_vectors(tmp_path).count == 4


def test_a_file_that_cannot_be_looked_at_is_known_by_its_ending(tmp_path: Path) -> None:
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "empty.bin").write_bytes(b"")
    assert [holds_vectors(tmp_path / name) for name in ("none.NPZ", "empty.npz", "none.bin", "empty.bin")] == [
        True,
        True,
        False,
        False,
    ]


def test_models_are_no_vectors(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "w.pth")
    assert not holds_vectors(tmp_path / "w.pth")
    assert not holds_vectors(onnx_teacher(tmp_path / "m.onnx"))


def test_the_identity_is_that_of_the_vectors_and_their_names(tmp_path: Path) -> None:
    file, listed, other = write(tmp_path, "npy"), tmp_path / "g.names.txt", tmp_path / "other.txt"
    bare = identity_of(open_vectors(file))
    listed.write_text("a\nb\nc\nd\n")
    named = identity_of(open_vectors(file))
    other.write_text("a\r\nb\r\nc\r\nd")
    assert named == identity_of(open_vectors(file, names=other)) != bare
    seen = {bare, named}
    for names in ("d\nc\nb\na\n", "a\nb\nc\nx\n", "ab\nc\nd\ne\n"):
        listed.write_text(names)
        seen.add(identity_of(open_vectors(file)))
    assert len(seen) == 5
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in (file.name, listed.name):
        shutil.copy(tmp_path / name, folder)
    whole = identity_of(open_vectors(folder))
    (folder / listed.name).write_text("a\nb\nc\nd\n")
    assert identity_of(open_vectors(folder)) != whole


@pytest.mark.parametrize("kind", ["npz", "parquet"])
def test_the_identity_of_a_file_that_holds_its_names_is_that_of_the_file(tmp_path: Path, kind: str) -> None:
    from prunnet_export._files import sha256

    file, rows = tmp_path / f"g.{kind}", numbers(4)
    if kind == "npz":
        np.savez(file, embeddings=rows, names=np.array([*"abcd"]))
    else:
        write_parquet(file, list(rows))
    assert identity_of(open_vectors(file)) == sha256(file)
