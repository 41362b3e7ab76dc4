"""The page for people who have a gallery: its steps are run from the first to the last, on images made here."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from tests._cli import environment, shell

__all__ = ["environment"]

PAGE = Path(__file__).parents[1] / "docs" / "your-gallery.md"
COUNT, DIM = 300, 24


def write_photos(root: Path) -> None:
    """Images with two colours that run into each other, in folders."""
    draw = np.random.default_rng(0)
    for index in range(COUNT):
        top, bottom = draw.integers(20, 236, (2, 3))
        share = np.linspace(0, 1, 40)[:, None, None]
        pixels = top * (1 - share) + bottom * share + draw.normal(0, 4, (40, 40, 1))
        file = root / str(index % 6) / f"{index:04}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, quality=95)


def their_model() -> Callable[[Path], npt.NDArray[np.float32]]:
    """A teacher: a random layer on the colours at the top and at the bottom."""
    weights = np.random.default_rng(1).normal(size=(6, DIM))

    def embed(file: Path) -> npt.NDArray[np.float32]:
        pixels = np.asarray(Image.open(file), np.float32) / 255
        colours = np.concatenate([half.mean((0, 1)) for half in np.split(pixels, 2)])
        return np.maximum(colours @ weights + 0.3, 0).astype(np.float32)

    return embed


def blocks() -> list[tuple[str, str]]:
    """The language and the code of each block of the page."""
    return re.findall(r"^```(python|sh)\n(.*?)^```$", PAGE.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def test_the_page_runs_from_start_to_end(
    tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photos(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"your_model": their_model()}
    assert [language for language, _ in blocks()] == ["python", "sh", "sh", "python"]
    for language, code in blocks():
        if language == "python":
            exec(compile(code, str(PAGE), "exec"), names)  # noqa: S102  # the page of this repository
        else:
            ran = shell(environment, *shlex.split(code), cwd=tmp_path)
            assert ran.code == 0, ran.err
    assert np.asarray(names["queries"]).shape == (1, DIM)
    manifest = json.loads((tmp_path / "dist" / "phone" / "manifest.json").read_text())
    assert manifest["network"]["teacher"]["name"] == "gallery.parquet"
    verification = manifest["verification"]
    assert verification["gallery"]["count"] == COUNT
    assert verification["gallery"]["metric"] == "cosine"
    [overlap] = [gate for gate in verification["gates"] if gate["name"] == "neighbour overlap"]
    assert overlap["threshold"] <= overlap["interval"][0] <= overlap["value"] <= overlap["interval"][1]
    assert verification["match_thresholds"]
    assert [folder.name for folder in (tmp_path / "dist").iterdir()] == ["phone"]
