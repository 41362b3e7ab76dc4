"""The same search by bare FAISS, by this tool and by Milvus Lite, side by side: time and peak memory.

Run: ``python -m prunnet_export.benchmarks.gallery_search FOLDER [--rows 1000000] [--dim 256] [--dtype float32]
[--queries 10000]``. It writes a random gallery to FOLDER, and takes it away at the end. Each way runs in a process of
its own. Each round runs all ways one after another, so that other work on the machine meets all of them.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from prunnet_export._console import script_errors
from prunnet_export._files import PACKAGE_HOME
from prunnet_export.devices import fingerprint
from prunnet_export.galleries import DatabaseRows, open_database
from prunnet_export.gallery_address import GalleryAddress
from prunnet_export.vectors import nearest, open_vectors

K = 10
WAYS = ("faiss", "ours", "milvus")
_PART = 20_000
_FILE, _DATABASE = "compare.npy", "compare.db"


def main() -> None:
    """Run the comparison and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--dtype", default="float32", choices=("float32", "float16"))
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--ways", nargs="+", default=WAYS[:2], choices=WAYS)
    arguments = parser.parse_args()
    fingerprint().require_real()
    folder: Path = arguments.folder.absolute()
    write_gallery(folder / _FILE, arguments.rows, arguments.dim, arguments.dtype)
    try:
        if "milvus" in arguments.ways:
            begin = time.perf_counter()
            run(f"write_milvus({str(folder)!r})")  # the process that wrote it keeps it locked until it ends
            print(f"written to Milvus Lite in {time.perf_counter() - begin:.0f} s")  # noqa: T201  # the script's result
        found = compare(folder, arguments.ways, arguments.rounds, queries=arguments.queries)
    finally:
        (folder / _FILE).unlink()
        shutil.rmtree(folder / _DATABASE, ignore_errors=True)
    for way, runs in found.items():
        middle = {key: median(run[key] for run in runs) for key in ("whole_s", "search_s", "cpu_s", "peak_mb")}
        agreement = np.mean(np.array(runs[0]["indices"]) == np.array(found[arguments.ways[0]][0]["indices"]))
        print(  # noqa: T201  # the result of the script
            f"{way:8} n = {len(runs)}, medians: whole {middle['whole_s']:.1f} s, search {middle['search_s']:.1f} s, "
            f"processor {middle['cpu_s']:.1f} s, peak {middle['peak_mb']:.0f} MB; {agreement:.4%} of the places equal"
        )


def peak_mb() -> float:
    """The peak memory of this process. The system's own count would begin with that of the parent process."""
    status = Path("/proc/self/status").read_text("utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def write_gallery(file: Path, rows: int, dim: int, dtype: str = "float32") -> None:
    """A gallery [rows, dim], written in parts."""
    draw = np.random.default_rng(0)
    gallery = np.lib.format.open_memmap(file, "w+", np.dtype(dtype), (rows, dim))
    for start in range(0, rows, _PART):
        part = gallery[start : start + _PART]
        part[:] = draw.standard_normal(part.shape, np.float32)
    gallery.flush()


def write_milvus(folder: str) -> None:
    """The same vectors in a file of Milvus Lite, with their row numbers as keys and a flat index."""
    import pymilvus

    client = pymilvus.MilvusClient(str(Path(folder) / _DATABASE))
    rows = np.load(Path(folder) / _FILE, mmap_mode="r")
    schema = pymilvus.MilvusClient.create_schema(auto_id=False)
    schema.add_field("id", pymilvus.DataType.INT64, is_primary=True)
    schema.add_field("embedding", pymilvus.DataType.FLOAT_VECTOR, dim=rows.shape[1])
    index = client.prepare_index_params()
    index.add_index("embedding", index_type="FLAT", metric_type="IP")
    client.create_collection("gallery", schema=schema, index_params=index)
    for start in range(0, len(rows), _PART // 2):
        part = np.asarray(rows[start : start + _PART // 2], np.float32)
        client.insert("gallery", [{"id": start + row, "embedding": vector} for row, vector in enumerate(part)])
    client.flush("gallery")
    client.close()


def compare(folder: Path, ways: Sequence[str], rounds: int, *, queries: int) -> dict[str, list[dict[str, Any]]]:
    """What each way took in each round."""
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            found[way].append(json.loads(run(f"search({str(folder)!r}, {way!r}, {queries})")))
    return found


def run(call: str) -> str:
    """What a function of this module prints in a process of its own."""
    source = f"from prunnet_export.benchmarks import gallery_search; gallery_search.{call}"
    command = [sys.executable, "-c", source]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=PACKAGE_HOME).stdout


def search(folder: str, way: str, count: int) -> None:
    """Search in this process, and print the indices, the seconds and the peak memory as JSON."""
    file = Path(folder) / _FILE
    dim = np.load(file, mmap_mode="r").shape[1]
    queries = np.random.default_rng(1).standard_normal((count, dim), np.float32)
    begin = time.perf_counter()
    indices, loaded = {"faiss": _by_faiss, "ours": _by_us, "milvus": _by_milvus}[way](file, queries)
    end = time.perf_counter()
    used = resource.getrusage(resource.RUSAGE_SELF)
    result = {
        "indices": indices.tolist(),
        "whole_s": end - begin,
        "search_s": end - loaded,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_mb": peak_mb(),
    }
    print(json.dumps(result))  # noqa: T201  # read by compare


def _by_faiss(file: Path, queries: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int64], float]:
    import faiss

    rows = np.load(file, mmap_mode="r")
    index = faiss.IndexFlatIP(rows.shape[1])
    for start in range(0, len(rows), _PART):
        index.add(np.ascontiguousarray(rows[start : start + _PART], np.float32))
    loaded = time.perf_counter()
    return index.search(queries, K)[1], loaded


def _by_us(file: Path, queries: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int64], float]:
    vectors = open_vectors(file)
    loaded = time.perf_counter()
    return nearest(queries, vectors, K, "dot").indices, loaded


def _by_milvus(file: Path, queries: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int64], float]:
    vectors = open_database(GalleryAddress("milvus", str(file.with_name(_DATABASE)), "gallery"))
    if not isinstance(vectors.source, DatabaseRows) or vectors.names is None:
        raise TypeError("a database has names and searches itself")
    loaded = time.perf_counter()
    rows = vectors.source.nearest(queries, K)
    keys = np.array([int(name) for name in vectors.names], np.int64)
    return keys[rows], loaded


if __name__ == "__main__":
    with script_errors():
        main()
