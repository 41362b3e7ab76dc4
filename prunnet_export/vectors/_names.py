"""Names of vectors: a million of them in the memory of their characters, and their rows by name."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal
from unicodedata import normalize

import numpy as np
import numpy.typing as npt

from prunnet_export._documents import parse_json
from prunnet_export._errors import InvalidInput
from prunnet_export._files import read_bytes
from prunnet_export._limits import LIST_BYTES
from prunnet_export._text import printable
from prunnet_export.gallery_address import GalleryAddress
from prunnet_export.packed_names import NameSequence, PackedNames

_FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")
_ENDINGS = (".names.txt", ".txt", ".names.json", ".json")


class Names(NameSequence):
    """An immutable sequence of names that are all different.

    Args:
        names: The names.
        file: The file, or the database, that they are from, for error messages.

    Raises:
        InvalidInput: a name is there twice, is empty, or is no text.
    """

    def __init__(self, names: Iterable[str], file: Path | GalleryAddress) -> None:
        self._names, hashes = PackedNames(), array("q")
        for name in names:
            if not isinstance(name, str) or not name:
                raise InvalidInput(f"{file}: name {len(hashes)} is {name!r}", hint="every vector needs a name, a text")
            self._names.append(name)
            hashes.append(hash(name))
        self._hashes = np.array(hashes, np.int64)
        self._refuse_repeated(file)

    def __len__(self) -> int:
        return len(self._hashes)

    def _name(self, index: int) -> str:
        return self._names[index]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.find([name])[0] >= 0)

    def find(self, names: Sequence[str]) -> npt.NDArray[np.int64]:
        """The rows of some names, int64 [n]; -1 for a name that is not there.

        A name that is not there as it is written is looked for in the other Unicode form of its accents too.
        """
        found = self._find(names)
        for form in _FORMS:
            rows = [row for row in np.flatnonzero(found < 0).tolist() if not names[row].isascii()]
            found[rows] = self._find([normalize(form, names[row]) for row in rows])
        return found

    def _find(self, names: Sequence[str]) -> npt.NDArray[np.int64]:
        wanted = np.fromiter(map(hash, names), np.int64, len(names))
        places = np.searchsorted(self._hashes, wanted, sorter=self._order)
        found = np.full(len(names), -1, np.int64)
        for index, (name, place) in enumerate(zip(names, places.tolist(), strict=True)):
            # Different names with one hash are rare, and lie side by side.
            while place < len(self) and self._hashes[self._order[place]] == wanted[index]:
                if self._names[int(self._order[place])] == name:
                    found[index] = self._order[place]
                    break
                place += 1  # noqa: PLW2901  # the search goes on from here
        return found

    @cached_property
    def _order(self) -> npt.NDArray[np.int64]:
        return np.argsort(self._hashes, kind="stable")

    def _refuse_repeated(self, file: Path | GalleryAddress) -> None:
        ordered = self._hashes[self._order]
        same_hash = np.flatnonzero(ordered[1:] == ordered[:-1])
        if len(same_hash) == 0:
            return
        counts: dict[str, int] = {}
        for row in np.union1d(self._order[same_hash], self._order[same_hash + 1]).tolist():
            counts[self._names[row]] = counts.get(self._names[row], 0) + 1
        repeated = [name for name, count in counts.items() if count > 1]
        if repeated:
            raise InvalidInput(
                f"{file}: {len(repeated)} name{'s are' if len(repeated) > 1 else ' is'} there more than once, e.g. "
                f"{printable(repeated[0])} {counts[repeated[0]]} times",
                hint="one vector a name; leave the others out",
            )


def read_names(file: Path) -> Names:
    """Names from a list: one on each line of a text file, or a JSON list of texts.

    Raises:
        InvalidInput: the file cannot be read, is no such list, or a name is there twice.
    """
    try:
        content = read_bytes(file, at_most=LIST_BYTES)
        listed = parse_json(content) if file.suffix.lower() == ".json" else _lines(content)
    except ValueError as error:
        raise InvalidInput(f"{file} is no list of names ({error})", hint="one name a line, or a JSON list") from None
    if not isinstance(listed, list):
        raise InvalidInput(f"{file} is no list of names", hint='a JSON list of texts, e.g. ["a.jpg", "b.jpg"]')
    return Names((name.removesuffix("\r") if isinstance(name, str) else name for name in listed), file)


def _lines(content: bytes) -> list[str]:
    return content.decode("utf-8-sig").removesuffix("\n").split("\n")


def names_beside(file: Path) -> Path | None:
    """The list of names that lies beside a file of vectors: ``X.names.txt``, ``X.txt`` or ``.json`` for ``X.npy``."""
    places = (file.with_name(file.stem + ending) for ending in _ENDINGS)
    return next((place for place in places if place != file and place.is_file()), None)
