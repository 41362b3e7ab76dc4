"""The same search by bare FAISS and by ``nearest``, side by side: time and peak memory, each in a process of its own.

Run in the checkout: ``python -m tests.vectors.compare_with_faiss FOLDER [--rows 1000000] [--rounds 3]``. It writes a
gallery of 768 dimensions in float16 to FOLDER (1.5 GB for a million rows), and takes it away at the end. Each round
runs all ways one after another, so that other work on the machine meets all of them.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from prunnet_export.vectors import nearest, open_vectors

DIM, QUERIES, K = 768, 500, 10
WAYS = ("faiss-flat", "faiss-float16", "nearest")


def main() -> None:
    """Run the comparison and print its table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", default=WAYS, choices=WAYS)
    arguments = parser.parse_args()
    file = arguments.folder / "compare.npy"
    write_gallery(file, arguments.rows)
    try:
        found = compare(file, arguments.ways, arguments.rounds)
    finally:
        file.unlink()
    for way, runs in found.items():
        middle = {key: median(run[key] for run in runs) for key in ("whole_s", "search_s", "cpu_s", "peak_mb")}
        print(  # noqa: T201  # the result of the script
            f"{way:14} n = {len(runs)}, medians: whole {middle['whole_s']:.2f} s, search {middle['search_s']:.2f} s, "
            f"processor {middle['cpu_s']:.2f} s, peak {middle['peak_mb']:.0f} MB"
        )


def peak_mb() -> float:
    """The peak memory of this process. The system's own count would begin with that of the parent process."""
    status = Path("/proc/self/status").read_text("utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def write_gallery(file: Path, rows: int) -> None:
    """A float16 gallery [rows, 768], written in parts."""
    draw = np.random.default_rng(0)
    gallery = np.lib.format.open_memmap(file, "w+", np.float16, (rows, DIM))
    for start in range(0, rows, 20_000):
        part = gallery[start : start + 20_000]
        part[:] = draw.standard_normal(part.shape, np.float32)
    gallery.flush()


def compare(file: Path, ways: tuple[str, ...], rounds: int) -> dict[str, list[dict[str, Any]]]:
    """What each way took in each round."""
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            source = f"from tests.vectors.compare_with_faiss import search; search({str(file)!r}, {way!r})"
            done = subprocess.run([sys.executable, "-c", source], check=True, capture_output=True, text=True)
            found[way].append(json.loads(done.stdout))
    return found


def search(file: str, way: str) -> None:
    """Search in this process, and print the indices, the seconds and the peak memory as JSON."""
    queries = np.random.default_rng(1).standard_normal((QUERIES, DIM), np.float32)
    begin, searched = time.perf_counter(), 0.0
    if way == "nearest":
        indices = nearest(queries, open_vectors(Path(file)), K, "dot").indices
    else:
        import faiss

        rows = np.load(file, mmap_mode="r")
        flat = way == "faiss-flat"
        index = faiss.IndexFlatIP(DIM) if flat else faiss.IndexScalarQuantizer(DIM, 4, faiss.METRIC_INNER_PRODUCT)
        index.is_trained = True
        for start in range(0, len(rows), 20_000):
            index.add(rows[start : start + 20_000].astype(np.float32))
        loaded = time.perf_counter()
        _, indices = index.search(queries, K)
        searched = time.perf_counter() - loaded
    whole = time.perf_counter() - begin
    used = resource.getrusage(resource.RUSAGE_SELF)
    result = {
        "indices": indices.tolist(),
        "whole_s": whole,
        "search_s": searched or whole,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_mb": peak_mb(),
    }
    print(json.dumps(result))  # noqa: T201  # read by compare


if __name__ == "__main__":
    main()
