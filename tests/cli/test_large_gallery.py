"""An export with a million vectors: neither its memory nor its artifact grows with the gallery."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests._cli import command_file, environment, tiny_data, write_network

__all__ = ["environment", "tiny_data"]

pytestmark = pytest.mark.slow

ROWS, DIM = 1_000_000, 256
LIMIT_KIB = 6 * 2**20
MORE_MIB = 128  # the numbers of the large gallery take 488
PART = 50_000


def run(environment: dict[str, str], *words: str) -> float:
    """Run a command that may reserve 6 GiB; returns its peak memory in MiB."""
    limited = ["/bin/sh", "-c", f'ulimit -v {LIMIT_KIB}; exec "$@"', "sh", command_file(words[0]), *words[1:]]
    with subprocess.Popen(
        limited, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        written = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, written
    return usage.ru_maxrss / 1024


def write_large(small: Path, large: Path) -> None:
    """Write a gallery that begins like a small one and goes on with random unit vectors of another label."""
    with np.load(small, allow_pickle=False) as stored:
        fields = {name: stored[name] for name in stored.files}
    known = fields.pop("embeddings")
    vectors = np.empty((ROWS, DIM), np.float16)
    vectors[: len(known)] = known
    draw = np.random.default_rng(0)
    for start in range(len(known), ROWS, PART):
        part = draw.standard_normal((min(PART, ROWS - start), DIM), np.float32)
        vectors[start : start + PART] = part / np.linalg.norm(part, axis=1, keepdims=True)
    labels = fields.pop("labels")
    others = np.full(ROWS - len(known), labels.max() + 1, labels.dtype)
    np.savez(large, embeddings=vectors, labels=np.concatenate([labels, others]), **fields)


def size_mb(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def test_memory_and_artifact_do_not_grow(environment: dict[str, str], tiny_data: Path, tmp_path: Path) -> None:
    network = write_network(tmp_path / "network", dim=DIM)
    small, large = tmp_path / "small.npz", tmp_path / "large.npz"
    own = [f"--network={network}", f"--data={tiny_data}"]
    run(environment, "prunnet-bench", "gallery", *own, f"--out={small}")
    write_large(small, large)
    peaks = {}
    for file in (small, large):
        words = ["--target=x86-onnxruntime", "--budget-mb=50", "--precision=fp32", "--min-recall=0"]
        out = tmp_path / f"dist-{file.stem}"
        peaks[file] = run(environment, "prunnet-export", *words, *own, f"--gallery={file}", f"--out={out}")
    assert peaks[large] <= peaks[small] + MORE_MIB
    assert size_mb(tmp_path / "dist-large") <= size_mb(tmp_path / "dist-small") + 1
