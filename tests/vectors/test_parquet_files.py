from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prunnet_export import InvalidInput
from prunnet_export.vectors import open_vectors
from tests._asserts import assert_one_line
from tests.vectors._files import assert_reads, lists, numbers, write_parquet


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("row_group_size", [8, 1000])
def test_vectors_are_read_as_they_are(tmp_path: Path, dtype: Any, fixed: bool, row_group_size: int) -> None:
    column = lists(numbers().astype(dtype), fixed=fixed)
    vectors = open_vectors(write_parquet(tmp_path / "g", column, row_group_size=row_group_size))
    assert vectors.stored == ("float16" if dtype == np.float16 else "float32")
    assert vectors.names is not None
    assert list(vectors.names) == [f"{row}.jpg" for row in range(50)]
    assert vectors.labels is None
    assert_reads(vectors, numbers())


def test_large_row_groups_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prunnet_export.vectors._parquet_files._KEPT_NUMBERS", 0)
    monkeypatch.setattr("prunnet_export.vectors._parquet_files._SIZE", 3)
    assert_reads(open_vectors(write_parquet(tmp_path / "g", lists(numbers()), row_group_size=20)), numbers())


def test_codes_are_read(tmp_path: Path) -> None:
    codes = np.random.default_rng(0).integers(-127, 128, (50, 16)).astype(np.int8)
    vectors = open_vectors(write_parquet(tmp_path / "g", lists(codes)))
    assert vectors.stored == "int8"
    assert_reads(vectors, codes.astype(np.float32) * np.float32(1 / 127))


@pytest.mark.parametrize("label", [[3, 1, 2], ["a", "b", "a"]])
def test_labels_are_numbers_or_texts(tmp_path: Path, label: list[Any]) -> None:
    labels = open_vectors(write_parquet(tmp_path / "g", lists(numbers(3)), label=label)).labels
    assert labels is not None
    assert labels.tolist() == label


@pytest.mark.parametrize(
    ("embedding", "columns", "message"),
    [
        ([[1.0, 2.0], [1.0], [1.0, 2.0, 3.0]], {}, "vector 1 is missing, incomplete, or has another length than 2"),
        ([[1.0, 2.0], None, [1.0, 2.0]], {}, "vector 1 is missing"),
        ([[1.0, 2.0], [1.0, 2.0], [1.0, None]], {}, "vector 2 is missing, incomplete"),
        ([[], [], []], {}, "vector 0 is missing"),
        ([1.0, 2.0, 3.0], {}, "of type double"),
        ([["a"], ["b"], ["c"]], {}, "the vectors are object"),
        ([[1, 2], [1, 2], [1, 2]], {}, "the vectors are int64"),
        (lists(numbers(3)), {"name": ["a", "b", "a"]}, "more than once"),
        (lists(numbers(3)), {"name": ["a", None, "b"]}, "name 1 is None"),
        (lists(numbers(3)), {"label": [1, None, 2]}, "`label` 1 is missing"),
        (lists(numbers(3)), {"label": [1.5, 2, 3]}, "labels are float64"),
        (lists(numbers(0)), {}, "no rows"),
    ],
)
def test_columns_that_are_wrong_are_refused(
    tmp_path: Path, embedding: Any, columns: dict[str, Any], message: str
) -> None:
    write_parquet(tmp_path / "g.parquet", embedding, **columns)
    with pytest.raises(InvalidInput, match=message) as caught:
        list(open_vectors(tmp_path / "g.parquet").chunks(2))  # vectors are looked at when they are read
    assert_one_line(caught.value)


def test_a_wrong_vector_in_a_later_row_group_is_named(tmp_path: Path) -> None:
    embedding = [[1.0, 2.0]] * 10 + [[1.0]]
    vectors = open_vectors(write_parquet(tmp_path / "g", embedding, row_group_size=4))
    for read in (lambda: list(vectors.chunks(4)), lambda: vectors.take(np.array([9]))):
        with pytest.raises(InvalidInput, match="vector 10 is missing"):
            read()


def test_other_column_names_are_shown(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a"], "vector": [[1.0]]}), tmp_path / "g.parquet")
    with pytest.raises(InvalidInput, match="has the columns id, vector") as caught:
        open_vectors(tmp_path / "g.parquet")
    assert "`name` and `embedding`" in caught.value.hint


def test_files_that_are_cut_off_are_refused(tmp_path: Path) -> None:
    content = write_parquet(tmp_path / "g", lists(numbers())).read_bytes()
    for length in (4, 100, len(content) - 1):
        (tmp_path / "g").write_bytes(content[:length])
        with pytest.raises(InvalidInput, match="not a readable Parquet file") as caught:
            open_vectors(tmp_path / "g")
        assert_one_line(caught.value)
