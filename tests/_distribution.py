"""Building what is published, from a copy of this tree: a build leaves files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PARTS = ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "prunnet_export", "training", "targets", "benchmarks")


def build_distribution(home: Path) -> tuple[Path, Path]:
    """Build in a folder; returns the source and the wheel. The wheel is built from the source, without our links."""
    (home / "tree").mkdir(parents=True)
    for part in PARTS:
        if (ROOT / part).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / part, home / "tree" / part, symlinks=True, ignore=ignored)
        else:
            shutil.copy(ROOT / part, home / "tree" / part)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(home / "dist"), str(home / "tree")]
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=home, env=clean, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    [source], [wheel] = (home / "dist").glob("*.tar.gz"), (home / "dist").glob("*.whl")
    return source, wheel
