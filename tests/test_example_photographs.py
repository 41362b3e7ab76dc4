"""The example that makes a data set of photographs out of stamps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from examples.photographs.make_photographs import add_cliparts, make
from prunnet_export.datasets import open_dataset

SCRIPT = Path(__file__).parents[1] / "examples" / "photographs" / "make_photographs.py"
STAMPS = {
    "animals/birds/owl.png": (60, 80),  # photographs: every third one is for the test
    "animals/cartoon/tux.png": (60, 80),  # a drawing
    "animals/owl_mirror.png": (60, 80),  # a picture that is there already
    "animals/small.png": (30, 80),
    "food/apple.png": (80, 60),
    "food/pear.png": (80, 60),
    "space/moon.png": (90, 90),
}


@pytest.fixture
def stamps(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    for name, (width, height) in STAMPS.items():
        pixels = np.zeros((height + 20, width + 20, 4), np.uint8)  # the edge is transparent
        pixels[10:-10, 10:-10] = [*generator.integers(0, 256, 3), 255]
        file = tmp_path / "stamps" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
    return tmp_path / "stamps"


def test_instances_of_the_test_are_not_in_training(stamps: Path, tmp_path: Path) -> None:
    make(stamps, tmp_path / "out")
    data = open_dataset(str(tmp_path / "out"))
    assert {Path(name).parent.name for name in data.train.relative_names} == {
        "animals-cartoon-tux",
        "food-apple",
        "food-pear",
    }
    assert {Path(name).parent.name for name in data.query.relative_names} == {"animals-birds-owl", "space-moon"}
    assert (len(data.train), len(data.query), len(data.gallery)) == (60, 16, 6)


def test_the_gallery_is_on_white_and_queries_are_not(stamps: Path, tmp_path: Path) -> None:
    make(stamps, tmp_path / "out")

    def corner(split: str) -> list[int]:
        [*files] = (tmp_path / "out" / split).rglob("*.jpg")
        return [int(np.asarray(Image.open(file))[0, 0].min()) for file in files]

    assert min(corner("gallery")) > 250
    assert max(corner("query")) < 250


def test_the_same_stamps_make_the_same_files(stamps: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        make(stamps, tmp_path / name)
    files = sorted((tmp_path / "one").rglob("*.jpg"))
    assert files
    assert all(
        (tmp_path / "two" / file.relative_to(tmp_path / "one")).read_bytes() == file.read_bytes() for file in files
    )


def test_cliparts_are_for_training_only(stamps: Path, tmp_path: Path) -> None:
    cliparts = tmp_path / "cliparts"
    (cliparts / "signs").mkdir(parents=True)
    for name, size in (("signs/stop.png", (500, 300)), ("small.png", (39, 80)), ("huge.png", (2001, 2000))):
        Image.new("RGBA", size, (200, 0, 0, 255)).save(cliparts / name)
    (cliparts / "broken.png").write_bytes(b"\x89PNG")
    make(stamps, tmp_path / "out")
    before = open_dataset(str(tmp_path / "out"))
    add_cliparts(cliparts, tmp_path / "out")
    after = open_dataset(str(tmp_path / "out"))
    added = set(after.train.relative_names) - set(before.train.relative_names)
    assert {Path(name).parent.name for name in added} == {"clip-signs-stop"}
    assert len(added) == 4
    assert (len(after.query), len(after.gallery)) == (len(before.query), len(before.gallery))


def test_the_script_names_what_is_missing(stamps: Path, tmp_path: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, SCRIPT, *words], capture_output=True, text=True, check=False)

    absent = run(str(tmp_path / "out"), "--stamps", str(tmp_path / "absent"))
    assert absent.returncode == 2
    assert "apt-get install tuxpaint-stamps-default" in absent.stderr
    assert run(str(tmp_path / "out"), "--stamps", str(stamps)).returncode == 0
    again = run(str(tmp_path / "out"), "--stamps", str(stamps))
    assert again.returncode == 2
    assert "exists; give a new folder" in again.stderr
    new = str(tmp_path / "new")
    no_cliparts = run(new, "--stamps", str(stamps), "--cliparts", str(tmp_path / "absent"))
    assert no_cliparts.returncode == 2
    assert "apt-get install openclipart-png" in no_cliparts.stderr
    assert run(new, "--stamps", str(stamps), "--cliparts", str(stamps)).returncode == 0
