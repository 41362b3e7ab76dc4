"""The lists of Google Landmarks v2, from the official release or from the papers on compatible training.

The first malformed or duplicated line raises InvalidInput.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from prunnet_export._errors import InvalidInput
from prunnet_export.relevance import Lists
from prunnet_export.training.data._lists import check_unique, checked_path, integer, read_lines, read_rows

# The columns of the .csv lists of each split.
COLUMNS = {"train": (("id", "landmark_id"), ("landmark_id", "images")), "index": (("id",),)}
_LONGEST_FIELD = 2**24  # characters; Python's default limit is too small for a landmark with ten thousand images
USAGE = "Private"  # the queries of the ground truth that papers report


class Entry(NamedTuple):  # because a million of them are made faster than dataclasses
    """An image of a list.

    Attributes:
        where: The file and line, for messages.
        path: The image's path in the data set's folder.
        label: The other field of the line: landmark, number, or image ids.
    """

    where: str
    path: str
    label: str

    @property
    def id(self) -> str:
        """The image's id: its file name without the suffix."""
        return self.path.rpartition("/")[2].partition(".")[0]


def read_entries(file: Path, split: str) -> list[Entry]:
    """The images of a list.

    Args:
        file: ``.txt`` with rows ``PATH LABEL``, or a ``.csv`` of the release with the columns ``id`` and
            ``landmark_id`` (``train.csv``), ``landmark_id`` and ``images`` (``train_clean.csv``), or only ``id``
            (``index.csv``).
        split: ``train`` or ``index``. The file of image id ``abc...`` in a ``.csv`` is ``split/a/b/c/abc....jpg``.
    """
    if file.suffix == ".txt":
        entries = [
            Entry(where, checked_path(where, path), label)
            for where, (path, label) in read_rows(file, ("path", "label"))
        ]
    else:
        entries = [
            Entry(where, image_path(where, split, image), row.get("landmark_id", "0"))
            for where, row in _csv_rows(file, *COLUMNS[split])
            for image in ([row["id"]] if "id" in row else row["images"].split())
        ]
    if not entries:
        raise InvalidInput(f"{file}: no image", hint="download the list again")
    _check_once(entries)
    return entries


def read_ground_truth(file: Path, gallery: Sequence[Entry]) -> tuple[list[Entry], Lists]:
    """The queries of a ground truth, and the gallery rows that are relevant to each.

    Args:
        file: ``.csv`` with the columns ``id`` and ``images`` (ids, or empty), or ``.txt`` with rows
            ``PATH NUMBER ROW,ROW,...``. If a ``.csv`` has the column ``Usage``, only the rows with Private are used.
        gallery: The images of the gallery. A ``.txt`` refers to them by their numbers.
    """
    if file.suffix == ".txt":
        number = {str(integer(entry.where, entry.label, "number")): row for row, entry in enumerate(gallery)}
        queries = [
            Entry(where, checked_path(where, path), rows.replace(",", " "))
            for where, (path, _, rows) in read_rows(file, ("path", "number", "rows"))
        ]
    else:
        number = {entry.id: row for row, entry in enumerate(gallery)}
        queries = [
            Entry(where, image_path(where, "test", row["id"]), row["images"])
            for where, row in _csv_rows(file, ("id", "images"))
            if row.get("Usage", USAGE) == USAGE
        ]
    _check_once(queries)
    for query in queries:
        missing = next((image for image in query.label.split() if image not in number), None)
        if missing is not None:
            raise InvalidInput(f"{query.where}: the gallery has no image {missing[:40]}", hint="give the whole index")
    if not queries:
        raise InvalidInput(f"{file}: no {USAGE.lower()} query", hint="download the ground truth again")
    return queries, Lists.of([number[image] for image in query.label.split()] for query in queries)


def _check_once(entries: Sequence[Entry]) -> None:
    seen: dict[str, str] = {}
    for entry in entries:
        check_unique(entry.where, entry.path, seen)


def image_path(where: str, split: str, image: str) -> str:
    """``split/a/b/c/abc....jpg`` of an image id."""
    if not (image.isascii() and image.isalnum()) or len(image) < 3:  # noqa: PLR2004 - three folders
        raise InvalidInput(f"{where}: {image[:40]!r} is no image id", hint="ids are 16 hexadecimal digits")
    return "/".join((split, *image[:3], f"{image}.jpg"))


def _csv_rows(file: Path, *alternatives: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a comma-separated table with one of these sets of columns, and the place of each row."""
    csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader(read_lines(file), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        if not any(set(columns) <= set(header) for columns in alternatives):
            names = " or ".join(",".join(columns) for columns in alternatives)
            raise InvalidInput(f"{file}:1: no header line with {names}", hint="download the list again")
        for fields in reader:
            where = f"{file}:{reader.line_num}"
            if len(fields) != len(header):
                raise InvalidInput(f"{where}: {len(fields)} fields", hint=f"a row is {','.join(header)}"[:160])
            yield where, dict(zip(header, (field.strip() for field in fields), strict=True))
    except csv.Error as error:
        raise InvalidInput(f"{file}:{reader.line_num}: {error}", hint="download the list again") from None
