"""Memory does not grow with the gallery. Each file is read in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prunnet_export.benchmarks.gallery_search import compare, write_gallery
from tests.vectors._files import lists

pytestmark = pytest.mark.slow

DIM = 64
READ = """
import sys
from pathlib import Path
import numpy as np
from prunnet_export.vectors import nearest, open_vectors
from prunnet_export.benchmarks.gallery_search import peak_mb
vectors = open_vectors(Path(sys.argv[1]))
queries = vectors.take(np.linspace(0, vectors.count - 1, 50).astype(np.int64))
assert nearest(queries, vectors, 5, "cosine").indices.shape == (50, 5)
print(peak_mb())
"""


def write(file: Path, rows: int, kind: str) -> None:
    part = np.random.default_rng(0).standard_normal((10_000, DIM), np.float32).astype(np.float16)
    gallery = np.tile(part, (rows // len(part), 1))
    if kind == "npy":
        with file.open("wb") as opened:  # numpy adds an ending to a path
            np.save(opened, gallery)
    elif kind == "npz":
        with file.open("wb") as opened:
            np.savez(opened, embeddings=gallery)
    else:
        names = pa.array(np.arange(rows)).cast(pa.string())
        pq.write_table(pa.table({"name": names, "embedding": lists(gallery)}), file, use_dictionary=False)


def peak_of(file: Path) -> float:
    return float(subprocess.run([sys.executable, "-c", READ, str(file)], check=True, capture_output=True).stdout)


@pytest.mark.parametrize(("kind", "growth_mb"), [("npy", 20), ("npz", 20), ("parquet", 100)])
def test_memory_stays_flat(tmp_path: Path, kind: str, growth_mb: float) -> None:
    # A million names take 40 MB; the numbers alone take 122 MB as float16, and 244 MB as float32.
    write(tmp_path / "small", 10_000, kind)
    write(tmp_path / "large", 1_000_000, kind)
    assert peak_of(tmp_path / "large") - peak_of(tmp_path / "small") < growth_mb


def test_finds_what_faiss_finds_in_less_memory(tmp_path: Path) -> None:
    write_gallery(tmp_path / "compare.npy", 400_000, 256)
    found = compare(tmp_path, ("faiss", "ours"), 1, queries=500)
    theirs, ours = found["faiss"][0], found["ours"][0]
    assert theirs["indices"] == ours["indices"]
    assert ours["peak_mb"] < theirs["peak_mb"]
