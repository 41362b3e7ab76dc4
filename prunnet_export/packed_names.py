"""Millions of names in little memory."""

from __future__ import annotations

from abc import abstractmethod
from array import array
from collections.abc import Sequence
from typing import overload

import numpy as np
import numpy.typing as npt


class NameSequence(Sequence[str]):
    """A sequence of names that makes each name when it is asked for. A slice is a list."""

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self._name(one) for one in range(len(self))[index]]
        return self._name(range(len(self))[index])

    @abstractmethod
    def _name(self, index: int) -> str:
        """The name at an index from 0."""


class PackedNames(NameSequence):
    """Names in one block of bytes. A name takes 8 bytes and its text; in a list of strings it takes 57 and its text."""

    def __init__(self) -> None:
        self._text, self._ends = bytearray(), array("q", [0])

    def append(self, name: str) -> None:
        """Add a name at the end."""
        self._text += name.encode("utf-8", "surrogatepass")  # names of files need not be valid Unicode
        self._ends.append(len(self._text))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def _name(self, index: int) -> str:
        return self._text[self._ends[index] : self._ends[index + 1]].decode("utf-8", "surrogatepass")


class PrefixedNames(NameSequence):
    """Names, each behind the prefix of its group.

    Args:
        names: n names.
        group: The group of each name, integers [n].
        prefixes: The prefix of each group.
    """

    def __init__(self, names: Sequence[str], group: npt.NDArray[np.int32], prefixes: Sequence[str]) -> None:
        self._names, self._group, self._prefixes = names, group, prefixes

    def __len__(self) -> int:
        return len(self._names)

    def _name(self, index: int) -> str:
        return f"{self._prefixes[self._group[index]]}{self._names[index]}"
