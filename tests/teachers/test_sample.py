from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prunnet_export import InvalidInput
from prunnet_export.teachers import TeacherSample, load_sample, save_sample


def sample() -> TeacherSample:
    generator = np.random.default_rng(0)
    return TeacherSample(
        names=("a/1.jpg", "a/2.jpg", "ü.png"),
        embeddings=generator.normal(size=(3, 5)).astype(np.float32),
        is_query=np.array([True, False, True]),
        image_sha256=("0" * 64, "1" * 64, "2" * 64),
    )


def test_is_read_as_it_was_written(tmp_path: Path) -> None:
    save_sample(sample(), tmp_path / "teacher.npz")
    read = load_sample(tmp_path / "teacher.npz")
    assert (read.names, read.image_sha256, read.dim) == (sample().names, sample().image_sha256, 5)
    np.testing.assert_array_equal(read.embeddings, sample().embeddings)
    np.testing.assert_array_equal(read.is_query, sample().is_query)


@pytest.mark.parametrize(
    "changes",
    [
        {"names": ("a", "a", "b")},
        {"names": ("a", "b")},
        {"image_sha256": ("0" * 64,)},
        {"is_query": np.array([1, 0, 1])},
        {"is_query": np.array([True])},
        {"embeddings": np.zeros((3, 5), np.float32)},
        {"embeddings": np.full((3, 5), np.nan, np.float32)},
        {"embeddings": np.ones(3, np.float32)},
        {"embeddings": np.array([["a"], ["b"], ["c"]])},
    ],
)
def test_parts_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    save_sample(replace(sample(), **changes), tmp_path / "teacher.npz")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(InvalidInput, match=r"teacher\.npz"):
        load_sample(tmp_path / "teacher.npz")


def test_other_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "teacher.npz"
    with pytest.raises(InvalidInput, match="missing"):
        load_sample(file)
    file.write_bytes(b"no zip")
    with pytest.raises(InvalidInput, match="not a sample"):
        load_sample(file)
    np.savez(file, names=np.array(["a"]))
    with pytest.raises(InvalidInput, match="not a sample"):
        load_sample(file)
