"""Miniature data sets on disk, and how a bad one is refused."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from PIL import Image

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import DatasetFormat, ImageSplit, open_dataset
from tests._asserts import assert_one_line


def write_images(root: Path, names: Iterable[str], *, size: tuple[int, int] = (8, 6)) -> None:
    """Small images, each of another grey."""
    for index, name in enumerate(names):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (index, index, index)).save(file)


def write_lines(file: Path, lines: Iterable[str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def below(root: Path, split: ImageSplit) -> list[str]:
    """The names of a split's files, from the root on."""
    return [Path(name).relative_to(root).as_posix() for name in split.names]


def assert_refused(layout: DatasetFormat, root: Path, match: str) -> None:
    """Loading ends in an error of one line."""
    with pytest.raises(InvalidInput, match=match) as caught:
        layout.load(root)
    assert_one_line(caught.value)


def assert_names_stay(layout: DatasetFormat, root: Path) -> None:
    """The relative names are paths below the root, and are the same where the root has another name."""
    elsewhere = root.with_name(f"{root.name} elsewhere")
    elsewhere.symlink_to(root)
    here, there = layout.load(root), layout.load(elsewhere)
    for part in ("train", "query", "gallery"):
        names = list(getattr(here, part).relative_names)
        assert names == list(getattr(there, part).relative_names)
        assert len(names) == len(getattr(here, part))
        assert all((root / name).is_file() for name in names)
    elsewhere.unlink()


def assert_recognised(layout: DatasetFormat, root: Path) -> None:
    """The layout claims the folder, what opens it without being told is this layout, and an empty folder is none."""
    assert layout.matches(root)
    assert open_dataset(str(root)).name.startswith(layout.name)
    assert_names_stay(layout, root)
    nothing = root / "nothing here"
    nothing.mkdir()
    assert not layout.matches(nothing)
    nothing.rmdir()
