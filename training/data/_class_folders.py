"""Images in one folder per class. Hidden files and files that are no images are ignored.

Missing, empty and misplaced folders and images raise InvalidInput; a folder that cannot be read raises StorageError.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from prunnet_export._errors import InvalidInput, StorageError
from prunnet_export.training.data._files import FileSplit

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})


def class_files(split: Path) -> dict[str, list[Path]]:
    """The image files of each class below ``split``, sorted by name."""
    if not split.is_dir():
        raise InvalidInput(f"{split}: no such folder", hint="put images into a folder per class below it")
    classes: dict[str, list[Path]] = {}
    for entry in _visible(split):
        if entry.is_dir():
            classes[entry.name] = image_files(Path(entry.path))
            if not classes[entry.name]:
                raise InvalidInput(
                    f"{entry.path}: this class has no image",
                    hint=f"add one ({' '.join(sorted(IMAGE_SUFFIXES))}) or remove the folder",
                )
        elif _is_image(entry):
            raise InvalidInput(f"{entry.path}: this image lies outside of a class", hint=f"move it to {split}/<class>/")
    if not classes:
        raise InvalidInput(f"{split}: this split has no class", hint=f"put images into {split}/<class>/")
    return classes


def class_split(files: dict[str, list[Path]], classes: Sequence[str]) -> FileSplit:
    """The files of all classes as one split. The label of a class is its index in ``classes``."""
    number = {name: label for label, name in enumerate(classes)}
    rows = [(file, number[name]) for name, members in files.items() for file in members]
    return FileSplit([file for file, _ in rows], [label for _, label in rows])


def image_files(folder: Path) -> list[Path]:
    """The image files in a folder, sorted by name."""
    return [Path(entry.path) for entry in _visible(folder) if _is_image(entry)]


def _is_image(entry: os.DirEntry[str]) -> bool:
    return os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES and entry.is_file()  # noqa: PTH122 - a million times


def _visible(folder: Path) -> list[os.DirEntry[str]]:
    # The entries of scandir know which ones are files, without one more disk access for each of a million images.
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise StorageError(f"{folder}: cannot be read ({error.strerror})", hint="check its permissions") from None
