"""Images in one folder per class.

Missing, empty and misplaced folders and images raise InvalidInput; a folder that cannot be read raises StorageError.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from unicodedata import normalize

from prunnet_export._decoding import image_suffixes
from prunnet_export._errors import InvalidInput
from prunnet_export.training.data._files import FileSplit
from prunnet_export.training.data._image_files import Skipped, find_images, is_folder, unreadable, visible, why_skipped


def class_files(split: Path, skipped: Skipped) -> dict[str, list[str]]:
    """The image files of each class below ``split``, sorted by name. The name of a class is in NFC.

    As in torchvision's ImageFolder, the images in subfolders of a class belong to the class.
    """
    if not split.is_dir():
        raise InvalidInput(f"{split}: no such folder", hint="put images into a folder per class below it")
    try:
        entries = visible(str(split))
    except OSError as error:
        raise unreadable(split, error) from None
    classes: dict[str, list[str]] = {}
    folders: dict[str, str] = {}
    suffixes = image_suffixes()
    for entry in entries:
        if is_folder(entry):
            name = normalize("NFC", entry.name)
            _refuse_two_spellings(split, folders.setdefault(name, entry.name), entry.name)
            classes[name] = sorted(find_images(Path(entry.path), skipped))
            if not classes[name]:
                raise InvalidInput(
                    f"{entry.path}: this class has no image that can be read",
                    hint="add one, e.g. a .jpg or .png, or remove the folder",
                )
        elif (reason := why_skipped(entry, suffixes)) is None:
            raise InvalidInput(f"{entry.path}: this image lies outside of a class", hint=f"move it to {split}/<class>/")
        else:
            skipped.add(reason, entry.path)
    if not classes:
        raise InvalidInput(f"{split}: this split has no class", hint=f"put images into {split}/<class>/")
    return classes


def _refuse_two_spellings(split: Path, one: str, other: str) -> None:
    """Refuse two folders whose names look the same, because one class would become two."""
    if one != other:
        raise InvalidInput(
            f"{split}: two folders have one name in different Unicode forms: {one!a} and {other!a}",
            hint="move the images into one of them, or rename one",
        )


def class_split(files: dict[str, list[str]], classes: Sequence[str], root: Path) -> FileSplit:
    """The files of all classes as one split. The label of a class is its index in ``classes``."""
    number = {name: label for label, name in enumerate(classes)}
    rows = [(file, number[name]) for name, members in files.items() for file in members]
    return FileSplit([file for file, _ in rows], [label for _, label in rows], root=root)
