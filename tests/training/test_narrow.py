"""A narrow ResNet, and a narrow cut of a wider one, take a step: a kernel of oneDNN must not write over the heap."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests._inputs import write_folder

pytestmark = pytest.mark.slow

TRAIN = [sys.executable, "-c", "from prunnet_export.training.cli import main; main()"]
# If narrow shortcuts get channels last, this step ends with a segmentation fault.
STEP = ["--crop-px", "224", "--batch-size", "16", "--epochs", "1", "--embedding-dim", "8", "--device", "cpu"]


@pytest.mark.parametrize(
    ("channels", "capacity"),
    [
        ("8,16,32,64", "0.5"),
        ("16,32,64,128", "0.3"),  # here only the subnetwork is narrow, which is a copy with other shapes
    ],
)
def test_a_step_of_a_narrow_network(channels: str, capacity: str, tmp_path: Path) -> None:
    images, out = write_folder(tmp_path / "images", per_class=8), tmp_path / "run"
    words = ["--backbone-option", f"channels={channels}", "--capacities", capacity, "--out", str(out)]
    ran = subprocess.run([*TRAIN, str(images), *STEP, *words], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (out / "network.safetensors").exists()
