"""DeepFashion In-shop Clothes Retrieval: clothes, with one list file that assigns every image to a split."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import DatasetFormat, RetrievalData
from prunnet_export.protocol import Protocol
from prunnet_export.training.data._files import FileSplit
from prunnet_export.training.data._lists import check_unique, checked_path, find_image, read_lines, read_rows

LIST = "list_eval_partition.txt"
STATUSES = ("train", "query", "gallery")
COLUMNS = ("path", "item_id", "status")
_FIRST_ROW = 3  # line 1 is the count, line 2 the header


class _Row(NamedTuple):
    """One image of the list."""

    where: str
    file: str
    item: str
    status: str


class InShop(DatasetFormat):
    """``list_eval_partition.txt``, in the folder or in ``Eval/``. Image paths start in the folder or in ``Img/``."""

    name = "in-shop"
    marks = (LIST,)
    places = ("", "Eval")

    def load(self, path: Path) -> RetrievalData:
        """See :class:`DatasetFormat`."""
        listing = self.root(path) / LIST
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


def _load(path: Path, rows: list[_Row], items: list[str]) -> FileSplit:
    number = {item: label for label, item in enumerate(items)}
    folders = (path, path / "Img")
    files = [find_image(row.where, row.file, folders) for row in rows]
    return FileSplit(files, [number[row.item] for row in rows], root=path)


def _parse(listing: Path) -> list[_Row]:
    """The rows of the list file, checked one by one."""
    lines = read_lines(listing)
    count = lines[0].strip()
    if not (count.isascii() and count.isdigit()):
        raise InvalidInput(f"{listing}:1: {count[:40]!r} is not a count", hint="line 1 is the number of rows")
    header = lines[1].split() if len(lines) > 1 else []
    if len(header) != len(COLUMNS) or header[-1] in STATUSES:
        raise InvalidInput(f"{listing}:2: no header line", hint="line 2 is 'image_name item_id evaluation_status'")
    seen: dict[str, str] = {}
    rows = [
        _Row(where, checked_path(where, file), item, status)
        for where, (file, item, status) in read_rows(listing, COLUMNS, first=_FIRST_ROW)
    ]
    for row in rows:
        if row.status not in STATUSES:
            raise InvalidInput(f"{row.where}: unknown status {row.status[:40]!r}", hint=f"known: {', '.join(STATUSES)}")
        check_unique(row.where, row.file, seen)
    # The counts are compared as text, because int() fails for a number with many thousand digits.
    if count.lstrip("0") != str(len(rows)).lstrip("0"):
        raise InvalidInput(
            f"{listing}:1: announces {count[:20]} rows and {len(rows)} follow", hint="the file may be cut short"
        )
    return rows


FORMAT = InShop()
