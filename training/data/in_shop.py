"""DeepFashion In-shop Clothes Retrieval: one list file that assigns every image to a split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import DatasetFormat, RetrievalData
from prunnet_export.protocol import Protocol
from prunnet_export.training.data._files import FileSplit
from prunnet_export.training.data._lists import inside, locate, once, read_lines

LIST = "list_eval_partition.txt"
STATUSES = ("train", "query", "gallery")
_COLUMNS = 3
_FIRST_ROW = 3  # line 1 is the count, line 2 the header


@dataclass(frozen=True)
class _Row:
    """One image of the list; ``where`` is its line, for messages."""

    where: str
    file: str
    item: str
    status: str


class InShop(DatasetFormat):
    """``list_eval_partition.txt`` (or ``Eval/`` before it); images beside it or in ``Img/``."""

    name = "in-shop"

    def matches(self, path: Path) -> bool:
        """Whether the list file is there."""
        return any(candidate.is_file() for candidate in _places(path))

    def load(self, path: Path | None, *, seed: int = 0) -> RetrievalData:  # noqa: ARG002 - nothing here is drawn
        """The data set at ``path``.

        Train items are numbered from 0 in the order of their ids; so are those of query and gallery together.

        Raises:
            InvalidInput: the first malformed or duplicated line, the first missing image, a count that does
                not agree, an empty split, or a query item without a gallery image.
            StorageError: the list cannot be read.
        """
        if path is None:
            raise InvalidInput("the layout 'in-shop' needs a path", hint=f"give the folder that holds {LIST}")
        listing = next((candidate for candidate in _places(path) if candidate.is_file()), None)
        if listing is None:
            raise InvalidInput(f"{path}: no {LIST}", hint=f"give the folder that holds {LIST} or Eval/{LIST}")
        rows = _parse(listing)
        split = {status: [row for row in rows if row.status == status] for status in STATUSES}
        for status in STATUSES:
            if not split[status]:
                raise InvalidInput(f"{listing}: no row has the status {status}", hint="download the list again")
        searched = {row.item for row in split["gallery"]}
        for row in split["query"]:
            if row.item not in searched:
                raise InvalidInput(f"{row.where}: the gallery has no image of {row.item}", hint="remove the line")
        return RetrievalData(
            name=f"in-shop {path}",
            train=_load(path, split["train"], sorted({row.item for row in split["train"]})),
            query=_load(path, split["query"], sorted(searched)),
            gallery=_load(path, split["gallery"], sorted(searched)),
            protocol=Protocol(recall_at=(1, 2, 4, 8)),
        )


def _places(path: Path) -> tuple[Path, Path]:
    return path / LIST, path / "Eval" / LIST


def _load(path: Path, rows: list[_Row], items: list[str]) -> FileSplit:
    number = {item: label for label, item in enumerate(items)}
    folders = (path, path / "Img")
    return FileSplit([locate(row.where, row.file, folders) for row in rows], [number[row.item] for row in rows])


def _parse(listing: Path) -> list[_Row]:
    """The rows of the list file, checked one by one."""
    lines = read_lines(listing)
    count = lines[0].strip()
    if not (count.isascii() and count.isdigit()):
        raise InvalidInput(f"{listing}:1: {count[:40]!r} is not a count", hint="line 1 is the number of rows")
    header = lines[1].split() if len(lines) > 1 else []
    if len(header) != _COLUMNS or header[-1] in STATUSES:
        raise InvalidInput(f"{listing}:2: no header line", hint="line 2 is 'image_name item_id evaluation_status'")
    rows = [_parse_row(line, f"{listing}:{number}") for number, line in enumerate(lines[_FIRST_ROW - 1 :], _FIRST_ROW)]
    once((row.where, row.file) for row in rows)
    # Compared as text of a bounded length: int() refuses, slowly, a number of many thousand digits.
    if count.lstrip("0") != str(len(rows)).lstrip("0"):
        raise InvalidInput(
            f"{listing}:1: announces {count[:20]} rows and {len(rows)} follow",
            hint="the file may be cut short",
        )
    return rows


def _parse_row(line: str, where: str) -> _Row:
    fields = line.split()
    if len(fields) != _COLUMNS:
        raise InvalidInput(f"{where}: {len(fields)} fields", hint="a row is 'path item_id status'")
    file, item, status = fields
    if status not in STATUSES:
        raise InvalidInput(f"{where}: unknown status {status[:40]!r}", hint=f"known: {', '.join(STATUSES)}")
    return _Row(where, inside(where, file), item, status)


FORMAT = InShop()
