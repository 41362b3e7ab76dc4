"""Files of vectors in one folder are one gallery, and only if they belong together and are all there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.vectors import nearest, open_vectors, sha256_of, shard_name

ROWS = np.random.default_rng(0).standard_normal((30, 8)).astype(np.float32)


def write(file: Path, part: slice, **more: Any) -> None:
    np.savez(file, allow_pickle=False, **{"embeddings": ROWS[part], **more})


def test_the_order_is_that_of_the_names(tmp_path: Path) -> None:
    for name, part in (("b.npy", slice(7, 20)), ("a.npy", slice(0, 7)), ("c.npy", slice(20, 30))):
        np.save(tmp_path / name, ROWS[part])
        (tmp_path / f"{name[0]}.names.txt").write_text("\n".join(f"{row}.jpg" for row in range(30)[part]))
    (tmp_path / ".part.npz.3f").write_bytes(b"half")
    (tmp_path / "README.md").write_text("ours")
    found = open_vectors(tmp_path)
    assert (found.count, found.dim, found.stored, found.file) == (30, 8, "float32", tmp_path)
    np.testing.assert_array_equal(found.rows(0, 30), ROWS)
    np.testing.assert_array_equal(found.rows(5, 22), ROWS[5:22])
    np.testing.assert_array_equal(found.take(np.array([29, 7, 6, 7])), ROWS[[29, 7, 6, 7]])
    assert found.names is not None
    assert list(found.names.find(["19.jpg", "29.jpg"])) == [19, 29]
    of_array = nearest(ROWS[:5], ROWS, 4, "cosine")
    np.testing.assert_array_equal(nearest(ROWS[:5], found, 4, "cosine", rows_at_once=6).indices, of_array.indices)


def test_the_hash_is_of_all_files(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", ROWS)
    before = sha256_of(tmp_path)
    np.save(tmp_path / "b.npy", ROWS)
    assert sha256_of(tmp_path) != before
    (tmp_path / "b.npy").rename(tmp_path / "c.npy")
    assert len({sha256_of(tmp_path), before, sha256_of(tmp_path / "a.npy")}) == 3


def test_missing_parts_are_noticed(tmp_path: Path) -> None:
    for number in (0, 1, 3):
        write(tmp_path / shard_name(number, 4), slice(number, number + 1))
    with pytest.raises(InvalidInput, match="1 of 4 parts are missing, the first is number 2"):
        open_vectors(tmp_path)
    write(tmp_path / shard_name(2, 4), slice(2, 3))
    np.testing.assert_array_equal(open_vectors(tmp_path).rows(0, 4), ROWS[:4])
    write(tmp_path / shard_name(0, 5), slice(0, 1))
    with pytest.raises(InvalidInput, match="parts of several galleries"):
        open_vectors(tmp_path)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"embeddings": ROWS[:, :4]}, "dim is 8 in a.npz and 4 in b.npz"),
        ({"embeddings": ROWS.astype(np.float16)}, "stored is float32 in a.npz and float16 in b.npz"),
        ({"network": np.array("f" * 64)}, "network is"),
        ({"metric": np.array("l2")}, "metric is None in a.npz and l2 in b.npz"),
        ({"labels": np.arange(30)}, "only some files have names, or labels"),
        ({"embeddings": ROWS[:0]}, "the vectors have shape"),
    ],
)
def test_files_that_do_not_fit_together(other: dict[str, Any], message: str, tmp_path: Path) -> None:
    write(tmp_path / "a.npz", slice(0, 30))
    write(tmp_path / "b.npz", slice(0, 30), **other)
    with pytest.raises(InvalidInput, match=message):
        open_vectors(tmp_path)


def test_a_name_in_two_files_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.npz", slice(0, 2), names=np.array(["x.jpg", "y.jpg"]))
    write(tmp_path / "b.npz", slice(2, 4), names=np.array(["z.jpg", "x.jpg"]))
    with pytest.raises(InvalidInput, match=r"x\.jpg 2 times"):
        open_vectors(tmp_path)


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="holds no files of vectors"):
        open_vectors(tmp_path)
    write(tmp_path / "a.npz", slice(0, 2), labels=np.array(["a", "b"]))
    write(tmp_path / "b.npz", slice(0, 2), labels=np.array([1, 2]))
    with pytest.raises(InvalidInput, match="some labels are texts"):
        open_vectors(tmp_path)
    with pytest.raises(InvalidInput, match="is a folder"):
        open_vectors(tmp_path, names=tmp_path / "names.txt")
