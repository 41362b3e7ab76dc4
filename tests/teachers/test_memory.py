"""The memory of a cache does not grow with its number of vectors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SCRIPT = """
import io, resource, sys
from collections.abc import Sequence
from pathlib import Path
import numpy as np
from PIL import Image
from prunnet_export.datasets import ImageSplit
from prunnet_export.teachers import _fill, teacher_vectors
from tests.teachers._teachers import ColourTeacher, photos

class Names(Sequence):
    def __init__(self, count): self.count = count
    def __len__(self): return self.count
    def __getitem__(self, index):
        if not 0 <= index < self.count: raise IndexError
        return f"{index}.png"

class Same(ImageSplit):
    def __init__(self, count):
        self.names, self.labels = Names(count), np.broadcast_to(np.int64(0), count)
        buffer = io.BytesIO()
        photos(1, side=8)[0].save(buffer, "PNG")
        self.content = buffer.getvalue()
    def image(self, index): raise NotImplementedError
    def encoded(self, index): return self.content
    def stamp(self, index): return "1"

_fill.BLOCK = 4096  # fewer waits for the disk
count = int(sys.argv[1])
cache = teacher_vectors(ColourTeacher(), Same(count), flip=False, folder=Path(sys.argv[2]))
draw = np.random.default_rng(0)
for _ in range(4000):
    assert cache.take(0, draw.integers(0, count, 256)).all()
    cache.image_sha256(draw.integers(0, count, 16))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_a_million_vectors_take_the_memory_of_ten_thousand(tmp_path: Path) -> None:
    peaks = []
    for count in (10_000, 1_000_000):
        command = [sys.executable, "-c", SCRIPT, str(count), str(tmp_path / str(count))]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        peaks.append(int(done.stdout) / 1024)
    small, large = peaks
    assert large - small < 16, f"{small:.0f} MB and {large:.0f} MB"
