"""One folder per class: ``train/<class>/*``, ``query/<class>/*``, ``gallery/<class>/*``."""

from __future__ import annotations

from pathlib import Path

from prunnet_export._errors import InvalidInput, StorageError
from prunnet_export.datasets import DatasetFormat, RetrievalData
from prunnet_export.training.data._files import FileSplit

SPLITS = ("train", "query", "gallery")
IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})


class Folder(DatasetFormat):
    """Images sorted into folders by the user; hidden files and files that are no images are passed over."""

    name = "folder"

    def matches(self, path: Path) -> bool:
        """Whether ``path`` has the folders train, query and gallery."""
        return all((path / split).is_dir() for split in SPLITS)

    def load(self, path: Path | None, *, seed: int = 0) -> RetrievalData:  # noqa: ARG002 - nothing here is drawn
        """The data set at ``path``.

        Train classes are numbered from 0 in the order of their names; so are the classes of query and gallery
        together, so that one name has one label in both.

        Raises:
            InvalidInput: a folder is missing or empty, an image lies outside of a class, or a query class has
                no gallery image.
            StorageError: a folder cannot be read.
        """
        if path is None:
            raise InvalidInput("the layout 'folder' needs a path", hint="give the folder that holds train/")
        train, query, gallery = (_class_files(path / split) for split in SPLITS)
        for name in query:
            if name not in gallery:
                raise InvalidInput(
                    f"{path / 'query' / name}: the gallery has no image of this class",
                    hint=f"add images to {path / 'gallery' / name}, or take the class out of query/",
                )
        return RetrievalData(
            name=f"folder {path}",
            train=_split(train, sorted(train)),
            query=_split(query, sorted(gallery)),
            gallery=_split(gallery, sorted(gallery)),
        )


def _split(files: dict[str, list[Path]], classes: list[str]) -> FileSplit:
    number = {name: label for label, name in enumerate(classes)}
    rows = [(file, number[name]) for name, members in files.items() for file in members]
    return FileSplit([file for file, _ in rows], [label for _, label in rows])


def _class_files(split: Path) -> dict[str, list[Path]]:
    """The image files of each class below ``split``, sorted by name."""
    if not split.is_dir():
        raise InvalidInput(
            f"{split}: no such folder",
            hint="the folder needs train/, query/ and gallery/, each with a folder per class",
        )
    classes: dict[str, list[Path]] = {}
    for entry in _visible(split):
        if entry.is_dir():
            classes[entry.name] = [file for file in _visible(entry) if _is_image(file)]
            if not classes[entry.name]:
                raise InvalidInput(
                    f"{entry}: this class has no image",
                    hint=f"add one ({' '.join(sorted(IMAGE_SUFFIXES))}) or remove the folder",
                )
        elif _is_image(entry):
            raise InvalidInput(f"{entry}: this image lies outside of a class", hint=f"move it to {split}/<class>/")
    if not classes:
        raise InvalidInput(f"{split}: this split has no class", hint=f"put images into {split}/<class>/")
    return classes


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise StorageError(f"{folder}: cannot be read ({error.strerror})", hint="check its permissions") from None


FORMAT = Folder()
